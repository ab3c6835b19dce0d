"""The notebooks that readers download, in a new environment with what their first cell installs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools import publish_notebooks
from tools.environment import OFFLINE_SIGNS
from tools.execute import NOTEBOOKS
from tools.sources import ROOT, code_cells

pytestmark = pytest.mark.slow

ADDRESS = "https://github.com/owner/name"
NAMES = ("book/index", "book/likelihood/elbo", "book/practice/fifty-lines")
WHERE = "import ganlib\nprint(ganlib.__file__)"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published notebooks, each with its first cell that installs."""
    if not all((NOTEBOOKS / f"{name}.ipynb").is_file() for name in NAMES):
        pytest.fail("the chapters have not been executed: run `make book` first")
    folder = tmp_path_factory.mktemp("downloads")
    publish_notebooks.write(ADDRESS, "0" * 40, folder)
    return folder


def wanted(notebook: nbformat.NotebookNode) -> str:
    """What a notebook's first cell installs, of this working tree in place of the published one."""
    found = re.fullmatch(
        r'%pip install --quiet "ganlib(\[[\w,]+\]) @ git\+.*"', notebook.cells[0].source
    )
    assert found, notebook.cells[0].source
    return f"{ROOT}{found[1]}"


@pytest.fixture(scope="module")
def kernels(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Jupyter folder whose kernel lives in a new environment, made as the first cells ask."""
    requirements = {
        wanted(nbformat.read(downloads / f"{name}.ipynb", as_version=4)) for name in NAMES
    }
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    torch = os.environ.get("PIP_TORCH_OPTIONS", "").split()
    for packages in ([*torch, "torch"], sorted(requirements)):
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *packages],
            cwd=folder,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        log = done.stdout + done.stderr
        if done.returncode and OFFLINE_SIGNS.search(log):
            pytest.skip(f"no package index could be reached: {log.strip().splitlines()[-1]}")
        assert done.returncode == 0, log
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "clean",
        "language": "python",
        "env": {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1"},
    }
    place = folder / "jupyter" / "kernels" / "clean"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))
    yield folder / "jupyter"
    shutil.rmtree(folder / "venv")  # gigabytes


@pytest.mark.parametrize("name", NAMES)
def test_a_downloaded_notebook_runs_in_a_clean_environment(
    name: str, downloads: Path, kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    notebook = nbformat.read(downloads / f"{name}.ipynb", as_version=4)
    notebook.cells[0].source = WHERE  # the first cell has been followed above
    here = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=900, kernel_name="clean", resources=here).execute()
    first, *others = [cell for cell in code_cells(notebook) if cell.source.strip()]
    assert Path(first.outputs[0].text.strip()).is_relative_to(kernels.parent / "venv")
    assert all(cell.execution_count for cell in others)
    assert sys.prefix not in first.outputs[0].text
