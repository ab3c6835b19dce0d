"""The archive for Gradescope, which a Docker image is built from too: the same program, same marks.

Gradescope unpacks it in ``/autograder/source``, runs ``setup.sh`` once as root, and for each
submission ``/autograder/run_autograder``, which writes ``/autograder/results/results.json``.
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What the grader imports to mark one submission.
NEEDED = (
    "torch",
    "numpy",
    "sympy",
    "mpmath",
    "ipython",
    "matplotlib",
    "matplotlib-inline",
    "jupytext",
    "nbformat",
    "PyYAML",
    "scikit-learn",  # the digits of an assignment
)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SETUP = """#!/usr/bin/env bash
# Run once, as root, when the image is built.
set -euo pipefail
apt-get update -qq && apt-get install -y -qq bubblewrap python3 python3-venv util-linux \\
  >/dev/null || true
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# Readable by the user that a submission runs as; what decides marks is not.
python3 -m venv /opt/grader
/opt/grader/bin/pip install -q --index-url "${TORCH_INDEX:-@INDEX@}" "@TORCH@"
/opt/grader/bin/pip install -q -r "$here/requirements.txt"
chmod -R a+rX /opt/grader
chmod 700 "$here"
mkdir -p "$(dirname "$here")/results" && chmod 700 "$(dirname "$here")/results"
"""
RUN = """#!/usr/bin/env bash
# Run for each submission; writes results/results.json whatever happens.
base="${AUTOGRADER:-/autograder}"
cd "$base/source" && exec "${GRADER_PYTHON:-/opt/grader/bin/python}" -m tools.grader.gradescope \\
  "$base/submission" "$base/results/results.json"
"""
DOCKERFILE = """# docker build -t grader . && docker run --rm -v FOLDER:/autograder/submission:ro \\
#   -v RESULTS:/autograder/results --network none grader
FROM python:@PYTHON@-slim
COPY . /autograder/source
RUN bash /autograder/source/setup.sh && cp /autograder/source/run_autograder /autograder/
CMD ["/autograder/run_autograder"]
"""


def lock() -> dict[str, str]:
    """The project's lock: distribution -> version."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;+]+)", line) for line in lines)
    return {m[1].lower().replace("_", "-"): m[2] for m in found if m}


def closure(names: Iterable[str], pinned: dict[str, str]) -> list[str]:
    """What these distributions need, themselves included, as far as the lock pins it."""
    found: set[str] = set()
    todo = [name.lower() for name in names]
    while todo:
        name = todo.pop()
        if name in found or name not in pinned or name == "torch":
            continue
        found.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            needs = []
        for need in needs:
            if "extra ==" not in need and (match := re.match(r"[A-Za-z0-9._-]+", need)):
                todo.append(match[0].lower().replace("_", "-"))
    return [f"{name}=={pinned[name]}" for name in sorted(found)]


def write(path: Path, name: str, seed: str, secret: str, sources: Path) -> None:
    """Write the archive of an assignment's variant; ``secret`` keys the draws, as in
    `make grade`."""
    pinned = lock()
    torch = f"torch=={pinned['torch']}"
    rest = closure(NEEDED, pinned)
    questions = (sources / name / "questions.py").read_bytes()
    files: dict[str, bytes] = {
        "setup.sh": SETUP.replace("@INDEX@", CPU_INDEX).replace("@TORCH@", torch).encode(),
        "run_autograder": RUN.encode(),
        "Dockerfile": DOCKERFILE.replace("@PYTHON@", "3.11").encode(),
        "requirements.txt": "\n".join([*rest, ""]).encode(),
        "assignment.txt": f"{name}\n{seed}\n{secret}\n".encode(),
        "tools/__init__.py": b"",
        f"exercises/{name}/questions.py": questions,
        f"exercises/{name}/source.md": (sources / name / "source.md").read_bytes(),
    }
    for module in sorted((ROOT / "tools" / "grader").glob("*.py")):
        files[f"tools/grader/{module.name}"] = module.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in files.items():
            info = zipfile.ZipInfo(inside, (2020, 1, 1, 0, 0, 0))
            executable = inside in ("setup.sh", "run_autograder")
            info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
