"""The notebooks that readers download, in a new environment, each run with its own first cell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import venv
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools import download, publish_notebooks, serve
from tools.environment import OFFLINE_SIGNS, torch_requirement
from tools.execute import NOTEBOOKS
from tools.sources import ROOT, code_cells

pytestmark = pytest.mark.slow

NAMES = ("book/index", "book/likelihood/elbo", "book/practice/fifty-lines")
WHERE = "import ganlib\nprint(ganlib.__file__)"


def install(python: Path, packages: list[str]) -> None:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [python, "-m", "pip", "install", "--quiet", *packages]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    if done.returncode and OFFLINE_SIGNS.search(log):
        pytest.skip(f"no package index could be reached: {log.strip().splitlines()[-1]}")
    assert done.returncode == 0, log


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Jupyter folder whose kernel lives in a new environment: with torch, as Colab has it."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    install(python, [*os.environ.get("PIP_TORCH_OPTIONS", "").split(), torch_requirement()])
    install(python, ["ipykernel"])
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "clean",
        "language": "python",
        "env": {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1", "VIRTUAL_ENV": str(folder / "venv")},
    }
    place = folder / "jupyter" / "kernels" / "clean"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))
    yield folder / "jupyter"
    shutil.rmtree(folder / "venv")  # gigabytes


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This repository under an address that pip and git take for a published one."""
    folder = tmp_path_factory.mktemp("published")
    bare = folder / "book.git"
    publish_notebooks.git("clone", "--quiet", "--bare", str(ROOT), str(bare))
    publish_notebooks.git("update-server-info", folder=bare)
    http = serve.server(folder)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/book.git"
    http.shutdown()


def run(notebook: nbformat.NotebookNode, kernels: Path, folder: Path) -> None:
    """Execute all of a notebook, and see where its library comes from and that each cell ran."""
    notebook.cells.append(nbformat.v4.new_code_cell(WHERE))
    here = {"metadata": {"path": str(folder)}}
    try:
        NotebookClient(notebook, timeout=1200, kernel_name="clean", resources=here).execute()
    except CellExecutionError as error:
        if OFFLINE_SIGNS.search(str(error)):
            pytest.skip("no package index could be reached")
        raise
    told = "".join(str(output.get("text", "")) for output in notebook.cells[0].outputs)
    assert "ERROR" not in told
    *others, last = [cell for cell in code_cells(notebook) if cell.source.strip()]
    assert Path(last.outputs[0].text.strip()).is_relative_to(kernels.parent / "venv")
    assert all(cell.execution_count for cell in others)


@pytest.mark.parametrize("name", NAMES)
def test_a_published_notebook_runs_in_a_clean_environment(
    name: str, address: str, kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Colab, Binder and a hub open it: its line, with the commit that is checked out here."""
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    if not (NOTEBOOKS / f"{name}.ipynb").is_file():
        pytest.fail("the chapters have not been executed: run `make book` first")
    commit = publish_notebooks.git("rev-parse", "HEAD")
    executed = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    run(download.offered(executed, name, address, commit), kernels, tmp_path)


def test_a_notebook_of_a_site_without_an_address_asks_for_the_books_folder(
    kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    name = NAMES[-1]
    executed = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    notebook = download.offered(executed, name, "")
    first = notebook.cells[0]
    assert 'BOOK = "."' in first.source
    first.source = first.source.replace('BOOK = "."', f'BOOK = "{ROOT}"')  # as it says
    run(notebook, kernels, tmp_path)
