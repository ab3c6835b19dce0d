"""Where the site is published: its own addresses, the map, the page for what is not there."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from PIL import Image
from sphinx.errors import ConfigError

from tools import card, published
from tools.sources import ROOT


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REPOSITORY", "ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("repository", "named", "expected"),
    [
        ("", "", ""),
        ("https://github.com/Owner/name", "", "https://owner.github.io/name"),
        ("https://github.com/owner/owner.github.io", "", "https://owner.github.io"),
        ("https://gitlab.com/owner/name", "", ""),
        ("https://github.com/owner/name", "https://example.org/b/", "https://example.org/b"),
    ],
)
def test_the_address(
    repository: str, named: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPOSITORY", repository)
    monkeypatch.setenv("ADDRESS", named)
    assert published.address() == expected


def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADDRESS", "example.org/book")
    with pytest.raises(ConfigError, match="expected where the site is published"):
        published.address()


def tags(pagename: str = "book/sample") -> str:
    context = {"metatags": '<meta name="description" content="d">\n'}
    published.show_card(None, pagename, "", context, object())  # type: ignore[arg-type]
    return context["metatags"]


def test_a_card_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "og:image" not in tags()
    monkeypatch.setenv("ADDRESS", "https://example.org/b")
    made = tags()
    assert 'property="og:image" content="https://example.org/b/_static/card.png"' in made
    assert 'property="og:url" content="https://example.org/b/book/sample.html"' in made
    assert 'name="twitter:card" content="summary_large_image"' in made
    assert made.startswith('<meta name="description"')


def test_sphinx_is_told_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(html_baseurl="")
    published.use_address(None, config)  # type: ignore[arg-type]
    assert config.html_baseurl == ""
    monkeypatch.setenv("ADDRESS", "https://example.org/b")
    published.use_address(None, config)  # type: ignore[arg-type]
    assert config.html_baseurl == "https://example.org/b/"


def test_the_card_is_light_and_as_large_as_it_says() -> None:
    path = ROOT / "book" / "static" / "card.png"
    assert path.stat().st_size <= card.LARGEST
    with Image.open(path) as image:
        assert image.size == published.CARD_SIZE
    assert f"_static/{path.name}" == published.CARD


def test_the_map_and_the_lost_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["book/index", "book/a&b"]
    published.write(tmp_path, names)
    assert not (tmp_path / "sitemap.xml").exists()
    assert '<base href="/">' in (tmp_path / "404.html").read_text()

    monkeypatch.setenv("REPOSITORY", "https://github.com/owner/name")
    published.write(tmp_path, names)
    root = ElementTree.parse(tmp_path / "sitemap.xml").getroot()
    assert [place.text for place in root.iterfind("{*}url/{*}loc")] == [
        "https://owner.github.io/name/book/index.html",
        "https://owner.github.io/name/book/a&b.html",
    ]
    text = (tmp_path / "404.html").read_text()
    assert '<base href="/name/">' in text
    assert '<a href="book/index.html">' in text

    monkeypatch.delenv("REPOSITORY")
    published.write(tmp_path, names)  # no map of an address that is gone
    assert not (tmp_path / "sitemap.xml").exists()


def test_the_lost_page_leads_to_pages_of_the_book() -> None:
    links = re.findall(r'<a [^>]*href="([^"]+)\.html"', published.lost_page("", "book/index"))
    there = [(ROOT / f"{name}.md").is_file() or name == "search" for name in links]
    assert len(links) == 4
    assert all(there), links
