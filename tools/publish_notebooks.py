"""Put the executed notebooks on a branch for Colab and Binder: what the launch buttons open.

    REPOSITORY=https://github.com/owner/name python -m tools.publish_notebooks [--push]

Each notebook's first cell installs ganlib from the very commit it was built from.
Without --push the branch's files are only written, to ``build/notebook-branch``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from tools import download
from tools.book_extension import NOTEBOOK_BRANCH, repository
from tools.execute import NOTEBOOKS
from tools.sources import BUILD, ROOT, chapters

BRANCH = BUILD / "notebook-branch"


def git(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def write(address: str, commit: str, target: Path = BRANCH, notebooks: Path = NOTEBOOKS) -> int:
    """Write the branch's files; returns how many notebooks there are."""
    shutil.rmtree(target, ignore_errors=True)
    count = 0
    for page in chapters():
        executed = nbformat.read(notebooks / f"{page.name}.ipynb", as_version=4)
        notebook = download.offered(executed, page.name, address, commit)
        path = target / f"{page.name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        count += 1
    (target / "requirements.txt").write_text(
        f"{download.requirement(address, commit)}\njupyterlab\n"
    )
    (target / "README.md").write_text(
        f"Generated from {address} at {commit}; do not edit. The sources are on the main branch.\n"
    )
    return count


def push(target: Path, commit: str) -> None:
    """Replace the branch by one commit that holds the written files."""
    index = str(BUILD / "notebook-index")
    Path(index).unlink(missing_ok=True)
    environment = ["--work-tree", str(target)]
    os.environ["GIT_INDEX_FILE"] = index
    try:
        git(*environment, "add", "--all", "--force", ".")
        tree = git("write-tree")
        made = git(
            "-c", "user.name=publish", "-c", "user.email=publish@users.noreply.github.com",
            "commit-tree", tree, "-m", f"Notebooks of {commit}",
        )  # fmt: skip
        git("push", "--force", "origin", f"{made}:refs/heads/{NOTEBOOK_BRANCH}")
    finally:
        del os.environ["GIT_INDEX_FILE"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.publish_notebooks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--push", action="store_true", help=f"replace the branch {NOTEBOOK_BRANCH}")
    options = parser.parse_args(arguments)
    address = repository()
    if not address:
        parser.error("set REPOSITORY to the published address, https://github.com/owner/name")
    commit = git("rev-parse", "HEAD")
    print(f"{write(address, commit)} notebooks in {BRANCH}")
    if options.push:
        push(BRANCH, commit)
        print(f"pushed to the branch {NOTEBOOK_BRANCH}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
