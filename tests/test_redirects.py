"""Pages and labels that moved: the file of moves, what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import redirects
from tools.redirects import MOVES, RedirectError

HERE = '<h1 id="ch-here">Here</h1><p id="thm-here-one">.</p><p id="equation-eq-here-one">.</p>'
THERE = '<h1 id="ch-there">There</h1><p id="thm-moved-one">.</p><p id="not-a-label">.</p>'


def site(folder: Path) -> Path:
    (folder / "book").mkdir(exist_ok=True)
    (folder / "book" / "here.html").write_text(HERE)
    (folder / "book" / "there.html").write_text(THERE)
    return folder


def write(folder: Path, moves: str) -> int:
    path = folder / "redirects.txt"
    path.write_text(moves)
    return redirects.write(site(folder), ["book/here", "book/there"], path)


def test_a_page_that_moved_leads_on(tmp_path: Path) -> None:
    assert write(tmp_path, "# moved in spring\n\nold/page -> book/there#thm-moved-one # why\n") == 1
    text = (tmp_path / "old" / "page.html").read_text()
    address = "../book/there.html#thm-moved-one"
    assert f'<meta http-equiv="refresh" content="0; url={address}">' in text
    assert f'<link rel="canonical" href="{address}">' in text
    assert f'<a href="{address}">' in text
    assert 'location.replace("../book/there.html" + (location.hash || "#thm-moved-one"))' in text
    assert write(tmp_path, "") == 0
    assert not (tmp_path / "old" / "page.html").exists()
    assert (tmp_path / "book" / "there.html").read_text() == THERE


def test_labels_are_found_where_they_are_now(tmp_path: Path) -> None:
    write(tmp_path, "book/here#gone -> book/there#thm-moved-one\n")
    script = (tmp_path / "_static" / "labels.js").read_text()
    assert '"book/here": "ch-here equation-eq-here-one thm-here-one"' in script
    assert '"book/there": "ch-there thm-moved-one"' in script
    assert '"moved": {"book/here#gone": "book/there.html#thm-moved-one"}' in script


@pytest.mark.parametrize(
    ("move", "message"),
    [
        ("book/here -> book/there", "is a page of the book"),
        ("old -> book/gone", "no page of the book"),
        ("old -> book/there#thm-gone", "no such label"),
        ("book/here#thm-here-one -> book/there", "is still there"),
        ("old book/there", "line 1: 'old book/there'; expected `old -> new`"),
        ("old -> book/here\nold -> book/there", "line 2: old has moved twice"),
    ],
)
def test_a_move_that_leads_nowhere_is_refused(tmp_path: Path, move: str, message: str) -> None:
    with pytest.raises(RedirectError, match=message):
        write(tmp_path, move)


def test_the_books_moves_can_be_read() -> None:
    assert redirects.moves(MOVES) is not None
