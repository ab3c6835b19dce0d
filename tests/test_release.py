"""A release: one commit, one tag, one version everywhere; or a reason why not."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest

from tools import release
from tools.sources import ROOT

DAY = datetime.date(2027, 1, 2)


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "n")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "n@example.org")
    (tmp_path / "ganlib").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    (tmp_path / "ganlib/__init__.py").write_text('"""g"""\n__version__ = "0.1.0"\n')
    (tmp_path / "CITATION.cff").write_text('version: 0.1.0\ndate-released: "2026-11-21"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changes\n\n## Unreleased\n\n- New.\n\n## 0.1.0 (2026-11-21)\n\n- Old.\n"
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_release_is_one_commit_and_a_tag(project: Path) -> None:
    assert release.release("0.2.0", project, DAY) == "v0.2.0"
    assert release.present(project) == "0.2.0"
    assert 'date-released: "2027-01-02"' in (project / "CITATION.cff").read_text()
    assert (project / "CHANGELOG.md").read_text() == (
        "# Changes\n\n## Unreleased\n\n## 0.2.0 (2027-01-02)\n\n- New.\n\n"
        "## 0.1.0 (2026-11-21)\n\n- Old.\n"
    )
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "describe").strip() == "v0.2.0"
    with pytest.raises(release.ReleaseError, match="says nothing"):
        release.release("0.3.0", project, DAY)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.1.0", "not later than the present version, 0.1.0"),
        ("0.0.9", "not later"),
        ("1", "'1' is no version; expected three numbers"),
        ("v0.2.0", "is no version"),
    ],
)
def test_a_version_must_be_later(project: Path, version: str, words: str) -> None:
    with pytest.raises(release.ReleaseError, match=words):
        release.release(version, project, DAY)


def test_what_is_not_committed_is_no_release(project: Path) -> None:
    (project / "new").write_text("")
    with pytest.raises(release.ReleaseError, match=r"commit or undo these changes first:\n.. new"):
        release.release("0.2.0", project, DAY)


def test_the_version_is_one_everywhere(project: Path) -> None:
    (project / "CITATION.cff").write_text("version: 0.1.1\n")
    with pytest.raises(release.ReleaseError, match=r"differs from place to place.*0\.1\.1"):
        release.present(project)
    assert release.present(ROOT)  # and it is so here
    assert release.UNRELEASED.search((ROOT / "CHANGELOG.md").read_text())
