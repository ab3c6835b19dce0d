"""Make the environment ``.venv`` with the pinned packages: python3 tools/environment.py

Runs with the system's Python and the standard library alone. It can be run again, and after an
interruption: the stamp is written last, and only a stamp that matches the requirements counts.
"""

import argparse
import sys

# Before any newer syntax or module is needed; an old Python must be able to read this much.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        f"The book needs Python 3.11 or newer; {sys.executable} is "
        f"{sys.version_info[0]}.{sys.version_info[1]}. Install a newer one (python.org, or your "
        "system's packages), or name one that is there: make book PYTHON=python3.12"
    )

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
EXTRAS = "book,test"  # of pyproject.toml: all that the book, its tools and tests import
STAMP = "complete"  # in the environment's own folder

NO_VENV = """\
This Python ({python}) cannot make an environment: its module {module} is missing. On Debian and
Ubuntu it is a package of its own: sudo apt-get install python3-venv. Or name another Python that
has it: make book PYTHON=/path/to/python3"""
NO_NETWORK = """\
pip could not reach a package index while installing {what}. The first run needs the network once,
for about 3 GB on Linux (torch brings its CUDA libraries; less with
PIP_TORCH_OPTIONS="--index-url ADDRESS"). Check the connection or
pip's proxy and index settings, then run the same command again: what is done is kept.
pip said:
{log}"""
FAILED = """\
pip could not install {what}. Run the same command again after mending what it names; what is
done is kept. pip said:
{log}"""
OFFLINE_SIGNS = re.compile(
    r"name resolution|getaddrinfo|NewConnectionError|ConnectTimeout|Network is unreachable|"
    r"Connection refused|ConnectionError|from versions: none|ProxyError|Could not fetch URL"
)


class SetUpError(RuntimeError):
    """The environment could not be made; the message says what is missing."""


def digest(root: Path = ROOT) -> str:
    """Changes when the environment has to be brought up to date."""
    whole = hashlib.sha256(str(root).encode())
    for name in ("requirements.txt", "pyproject.toml"):
        path = root / name
        whole.update(path.read_bytes() if path.is_file() else b"")
    return whole.hexdigest()


def check_python() -> None:
    """Raise SetUpError if this Python cannot make an environment with pip in it."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetUpError(NO_VENV.format(python=sys.executable, module=module))


def works(venv: Path) -> bool:
    """Whether there is an environment with a new enough Python and pip that start."""
    python = venv / "bin" / "python"
    if not python.exists():
        return False
    test = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", test], capture_output=True, check=False).returncode == 0


def create(venv: Path) -> None:
    """A new, empty environment in place of a broken one."""
    check_python()
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        log = (done.stdout + done.stderr).strip()
        if "ensurepip" in log:
            raise SetUpError(NO_VENV.format(python=sys.executable, module="ensurepip"))
        raise SetUpError(f"the environment {venv} could not be made:\n{log}")


def pip(venv: Path, what: str, arguments: list[str]) -> None:
    """Run pip quietly, with a line that shows that it lives."""
    started = time.monotonic()
    finished = threading.Event()

    def beat() -> None:
        while not finished.wait(15):
            print(f"     ... {time.monotonic() - started:.0f} s", flush=True)

    threading.Thread(target=beat, daemon=True).start()
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    command += ["--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        finished.set()
    if done.returncode:
        log = (done.stdout + done.stderr).strip()
        message = NO_NETWORK if OFFLINE_SIGNS.search(log) else FAILED
        raise SetUpError(message.format(what=what, log="\n".join(log.splitlines()[-12:])))


def torch_requirement(root: Path = ROOT) -> str:
    """The pinned torch of the lock."""
    for line in (root / "requirements.txt").read_text().splitlines():
        if line.startswith("torch=="):
            return line.strip()
    raise SetUpError("requirements.txt pins no torch: restore the file, for example from git")


def make(venv: Path = VENV, torch_options: str = "", newest: bool = False) -> bool:
    """Bring the environment up to date; true if anything had to be done.

    ``newest`` installs the ranges of pyproject.toml in place of the lock.
    """
    stamp = venv / STAMP
    wanted = digest() + (" newest" if newest else "")
    if stamp.is_file() and stamp.read_text() == wanted and works(venv):
        return False
    stamp.unlink(missing_ok=True)
    if not works(venv):
        print(f"1/4  making the environment {venv}", flush=True)
        create(venv)
    torch = "torch" if newest else torch_requirement()
    print(f"2/4  installing {torch} (the large one)", flush=True)
    pip(venv, torch, [*torch_options.split(), torch])
    if not newest:
        print("3/4  installing the packages of requirements.txt", flush=True)
        pip(venv, "the packages of requirements.txt", ["-r", "requirements.txt"])
    print("4/4  installing ganlib itself", flush=True)
    itself = ["-e", f".[{EXTRAS}]"] if newest else ["--no-deps", "-e", "."]
    pip(venv, "ganlib", itself)
    part = stamp.with_name(STAMP + ".part")
    part.write_text(wanted)
    os.replace(part, stamp)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="make or bring up to date the environment .venv")
    parser.add_argument("--torch-options", default="", help="options for pip when it gets torch")
    parser.add_argument("--newest", action="store_true", help="newest versions, not the lock")
    parser.add_argument("--also", metavar="FILE", help="packages that one target alone needs")
    options = parser.parse_args()
    if shutil.disk_usage(ROOT).free < 3e9 and not (VENV / STAMP).is_file():
        print("warning: less than 3 GB of disk are free; the environment needs about 2", flush=True)
    try:
        if options.also:  # into the environment that is there
            pip(VENV, f"the packages of {options.also}", ["-r", options.also])
        else:
            make(torch_options=options.torch_options, newest=options.newest)
    except SetUpError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
