"""A release in one command: python -m tools.release VERSION   (`make release VERSION=0.2.0`)

The version goes wherever it stands, the changelog's "Unreleased" gets its number and the date, and
both are one commit with a tag. Nothing is sent anywhere: pushing the tag publishes.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

from tools.sources import ROOT

#: where the version stands: file, pattern
PLACES = (
    ("pyproject.toml", r'^version = "([^"]+)"'),
    ("ganlib/__init__.py", r'^__version__ = "([^"]+)"'),
    ("CITATION.cff", r"^version: (\S+)"),
)
DATE = ("CITATION.cff", r'^date-released: "([^"]+)"')
UNRELEASED = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.M | re.S)


class ReleaseError(RuntimeError):
    """There can be no release; the message says why, and what to do."""


def _put(root: Path, name: str, pattern: str, value: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    found = re.search(pattern, text, re.M)
    if not found:
        raise ReleaseError(f"{name} has no line that matches {pattern}")
    (root / name).write_text(f"{text[: found.start(1)]}{value}{text[found.end(1) :]}", "utf-8")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def present(root: Path = ROOT) -> str:
    """The version that the sources have; all places must agree.

    Raises
    ------
    ReleaseError
        If they do not.
    """
    found = {}
    for name, pattern in PLACES:
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.M)
        found[name] = match[1] if match else "none"
    if len(set(found.values())) != 1:
        raise ReleaseError(f"the version differs from place to place: {found}; make it one")
    return next(iter(found.values()))


def _numbers(version: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(f"{version!r} is no version; expected three numbers, such as 0.2.0")
    return tuple(map(int, version.split(".")))


def release(version: str, root: Path = ROOT, today: datetime.date | None = None) -> str:
    """Make the commit and the tag; returns the tag.

    Raises
    ------
    ReleaseError
        If the version is not a later one, the working tree has changes, or the changelog says
        nothing of what is new.
    """
    if _numbers(version) <= _numbers(present(root)):
        raise ReleaseError(f"{version} is not later than the present version, {present(root)}")
    if changes := _git(root, "status", "--porcelain"):
        raise ReleaseError(f"commit or undo these changes first:\n{changes}")
    log = root / "CHANGELOG.md"
    text = log.read_text(encoding="utf-8")
    new = UNRELEASED.search(text)
    if not new or not new[1].strip():
        raise ReleaseError('CHANGELOG.md says nothing under "## Unreleased": what is new?')
    date = (today or datetime.datetime.now(tz=datetime.UTC).date()).isoformat()
    head = f"## Unreleased\n\n## {version} ({date})\n"
    log.write_text(text[: new.start()] + head + new[1] + text[new.end() :], encoding="utf-8")
    for name, pattern in PLACES:
        _put(root, name, pattern, version)
    _put(root, *DATE, date)
    _git(root, "add", "CHANGELOG.md", *(name for name, _ in PLACES))
    _git(root, "commit", "-m", f"Release {version}")
    _git(root, "tag", "-a", f"v{version}", "-m", f"Release {version}")
    return f"v{version}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("version", help="such as 0.2.0")
    try:
        tag = release(parser.parse_args(arguments).version)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"{tag} is made. To publish it: git push --follow-tags")
    return 0


if __name__ == "__main__":
    sys.exit(main())
