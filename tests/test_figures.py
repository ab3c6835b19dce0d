"""Figures as files, and figures that a phone makes too small: on a page made for it."""

from __future__ import annotations

import base64
import csv
import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tools import browser, figures, legible

MENU = """<div class="dropdown dropdown-download-buttons"><button>x</button>
<ul class="dropdown-menu">
<li><a href="a.ipynb">.ipynb</a></li>
</ul></div>"""
CAPTION = '<span class="caption-number">Fig. 1.2 </span><span class="caption-text">{}</span>'
MATH = (
    '<span class="math"><mjx-c>x</mjx-c><math><annotation encoding="application/x-tex">x'
    "</annotation></math></span>"
)
PAGE = f"""<html><body>{MENU}<article>
<figure class="align-default" id="fig-sample-wide">
<img alt="Two panels, &quot;left&quot; and right." src="../_images/wide.svg" /><figcaption>
<p>{CAPTION.format(f"Two panels of {MATH}.")}</p></figcaption></figure>
<figure id="fig-sample-live"><div class="ganlib-live"><div class="ganlib-still">
<img alt="A still." src="../_images/still.webp"></div></div>
<figcaption><p>{CAPTION.format("It moves.")}</p></figcaption></figure>
</article></body></html>"""


def webp() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (10, 200, 30)).save(out, "WEBP", lossless=True)
    return out.getvalue()


def svg(width: int, letter: float) -> str:
    glyph = f'<g transform="translate(1 2) scale({letter} -{letter})"><path d=""/></g>'
    pixels = base64.b64encode(webp()).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="90pt">{3 * glyph}'
        '<g transform="translate(1 2) scale(0.05 -0.05)"/>'
        f'<image href="data:image/webp;base64,{pixels}"/></svg>'
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for folder in ("book", "_images"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book/sample.html").write_text(PAGE)
    (tmp_path / "_images/wide.svg").write_text(svg(600, 0.105))
    (tmp_path / "_images/still.webp").write_bytes(webp())
    return tmp_path


def test_the_archive_of_a_page(site: Path) -> None:
    sizes = figures.write(site, ["book/sample"])
    path = site / "_static/figures/sample.zip"
    assert sizes == {"book/sample": path.stat().st_size}
    with zipfile.ZipFile(path) as made:
        assert sorted(made.namelist()) == [
            "README.txt", "figures.csv", "sample-live.png", "sample-wide.svg",
        ]  # fmt: skip
        rows = list(csv.DictReader(io.StringIO(made.read("figures.csv").decode("utf-8-sig"))))
        assert rows[0] == {
            "file": "sample-wide.svg",
            "number": "Fig. 1.2",
            "caption": "Two panels of $x$.",
            "alternative text": 'Two panels, "left" and right.',
        }
        assert "CC BY 4.0" in made.read("README.txt").decode()
        text = made.read("sample-wide.svg").decode()
        assert "image/webp" not in text
        inside = base64.b64decode(text.split("image/png;base64,")[1].split('"')[0])
        for data in (inside, made.read("sample-live.png")):
            picture = Image.open(io.BytesIO(data))
            assert (picture.format, picture.convert("RGB").getpixel((1, 1))) == (
                "PNG",
                (10, 200, 30),
            )


def test_the_menu_offers_it_once_and_says_its_size(site: Path) -> None:
    first = (figures.write(site, ["book/sample"]), (site / "book/sample.html").read_text())
    data = (site / "_static/figures/sample.zip").read_bytes()
    second = (figures.write(site, ["book/sample"]), (site / "book/sample.html").read_text())
    assert first == second
    assert data == (site / "_static/figures/sample.zip").read_bytes()
    assert first[1].count('href="../_static/figures/sample.zip"') == 1
    assert f"Figures (.zip, {figures.said(len(data))})" in first[1]
    assert "2 figures of this page" in first[1]
    assert '<a href="a.ipynb">' in first[1]


def test_a_page_without_figures_has_no_archive(site: Path) -> None:
    (site / "book/bare.html").write_text(f"<html>{MENU}</html>")
    assert figures.write(site, ["book/bare"]) == {}
    assert not list((site / "_static/figures").rglob("*.zip"))


@pytest.mark.parametrize(("size", "text"), [(300, "1 kB"), (43_600, "44 kB"), (1.26e6, "1.3 MB")])
def test_how_a_size_is_said(size: int, text: str) -> None:
    assert figures.said(size) == text


def test_small_letters_get_a_box_in_which_they_are_readable(site: Path) -> None:
    assert legible.widen(site, ["book/sample"]) == ["sample: wide.svg"]
    text = (site / "book/sample.html").read_text()
    # 14 pixels at its own 800; 9.5 pixels of 14 are 68 %
    assert '<div class="wide-figure" style="--readable: 543px"><img alt="Two panels' in text
    assert text.count("wide-figure") == 1
    assert legible.widen(site, ["book/sample"]) == []
    assert (site / "book/sample.html").read_text() == text


@pytest.mark.parametrize(("width", "letter"), [(600, 0.2), (300, 0.105)])
def test_readable_figures_stay_as_they_are(site: Path, width: int, letter: float) -> None:
    (site / "_images/wide.svg").write_text(svg(width, letter))
    assert legible.widen(site, ["book/sample"]) == []


@pytest.mark.browser
def test_figures_as_png(site: Path, tmp_path: Path) -> None:
    try:
        browser.find()
    except FileNotFoundError:
        pytest.skip("no Chromium here")
    (site / "_images/wide.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="30pt" height="15pt" viewBox="0 0 30 15">'
        '<rect width="15" height="15" fill="#00f"/></svg>'
    )
    assert figures.draw(tmp_path / "png", site, ["book/sample"]) == 2
    with Image.open(tmp_path / "png/sample/sample-wide.png") as made:
        assert made.size == (40 * figures.SCALE, 20 * figures.SCALE)
        assert made.convert("RGBA").getpixel((10, 10)) == (0, 0, 255, 255)
        assert made.convert("RGBA").getpixel((made.width - 10, 10))[3] == 0
    with Image.open(tmp_path / "png/sample/sample-live.png") as made:
        assert made.convert("RGB").getpixel((1, 1)) == (10, 200, 30)
