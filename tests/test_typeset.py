"""The site's formulas: set by the build, spoken, copied, and no wider than their column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from tools import formulas, vendor
from tools.formulas import Formula, FormulaError, Made

HEAD = '<html><head><link href="_static/book.css"></head><body>'
LINE = r'<span class="math notranslate nohighlight">\(%s\)</span>'
BLOCK = r'<div class="math notranslate nohighlight" id="equation-x">%s\[%s\]</div>'
NUMBER = '<span class="eqno">(3)<a class="headerlink" href="#equation-x">#</a></span>'
LONG = "+".join(f"x_{{{n}}}" for n in range(30))


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    vendor.vendor()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(formulas, "MADE", tmp_path / "formulas.json")
    made = tmp_path / "html"
    (made / "book").mkdir(parents=True)
    (made / "_static").mkdir()
    write(made, "index", LINE % r"p&lt;\mathbb R")
    write(made, "book/page", BLOCK % (NUMBER, r"\begin{split}a&amp;=b\\&amp;=c\end{split}"))
    return made


def write(site: Path, name: str, body: str) -> None:
    (site / f"{name}.html").write_text(f"{HEAD}{body}</body></html>")


def read(site: Path, name: str) -> str:
    return (site / f"{name}.html").read_text()


def test_formulas_are_boxes_mathml_and_tex(site: Path) -> None:
    assert formulas.render(site) == 2
    page = read(site, "index")
    assert "<mi>ℝ</mi>" in page
    assert r'<annotation encoding="application/x-tex">p&lt;\mathbb R</annotation>' in page
    assert page.count("<mjx-math aria-hidden") == 1
    assert not re.search(r"data-|mathvariant|\\\(", page)
    assert 'href="_static/type-' in page
    page = read(site, "book/page")
    assert 'href="../_static/type-' in page
    assert page.count("formula wide") == 0  # it fits a phone: one version
    assert page.count('class="formula"') == 1
    assert page.count(NUMBER) == 1
    assert 'class="numbered math' in page


def test_what_a_cell_printed_as_latex_is_set_too(site: Path) -> None:
    printed = BLOCK.replace('class="math', 'class="output text_latex math') % ("", r"74 \sigma^2")
    write(site, "index", printed)
    formulas.render(site)
    assert read(site, "index").count("<annotation") == 1
    write(site, "index", '<b class="math notranslate">\\(x\\)</b>')  # a form that nobody expects
    with pytest.raises(FormulaError, match=r"index\.html: not set: <b"):
        formulas.render(site)


def test_a_second_build_changes_nothing(site: Path) -> None:
    formulas.render(site)
    before = {p: p.read_bytes() for p in site.rglob("*") if p.is_file()}
    assert formulas.render(site) == 2
    assert {p: p.read_bytes() for p in site.rglob("*") if p.is_file()} == before


def test_a_page_that_changed_takes_the_others_style_along(site: Path) -> None:
    formulas.render(site)
    old = re.search(r"type-\w+", read(site, "index"))
    write(site, "book/page", LINE % r"\mathfrak g\oplus\heartsuit")
    formulas.render(site)
    pages = read(site, "index") + read(site, "book/page")
    new = set(re.findall(r"type-\w+", pages))
    assert len(new) == 1
    assert old is not None
    assert new != {old[0]}
    (folder,) = (site / "_static").iterdir()
    held = {c for f in folder.glob("*.woff2") for c in TTFont(f).getBestCmap()}
    assert {ord("ℝ"), ord("𝑝"), ord("⊕"), ord("♡"), 0x1D524} <= held  # of both pages
    assert ord("∮") not in held


def test_wide_displays_are_set_for_two_columns(site: Path) -> None:
    write(site, "index", BLOCK % ("", LONG) + BLOCK % ("", "x"))
    formulas.render(site)
    page = read(site, "index")
    widths = [float(w) for w in re.findall(r"--w:([\d.]+)", page)]
    assert page.count("formula wide") == page.count("formula narrow") == 1
    assert formulas.COLUMNS[1] < widths[0] < formulas.COLUMNS[0] + 0.1
    assert 0 < widths[1] < formulas.COLUMNS[1] + 0.1
    assert 0.3 < widths[2] < 1
    assert page.count("<annotation") == 2  # read once, whatever is shown


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (LINE % r"\foo", r"index: Undefined control sequence .foo: .foo"),
        (LINE % r"\frac{a", "index: .*: .frac{a"),
        (BLOCK % ("", r"\text{" + "w" * 99 + "}"), "em wide where 46 fit: break it by `aligned`"),
        (BLOCK % ("", r"\eqref{x}"), "index: .*eqref"),
    ],
)
def test_what_cannot_be_set_stops_the_build(site: Path, body: str, words: str) -> None:
    write(site, "index", body)
    before = read(site, "book/page")
    with pytest.raises(FormulaError, match=words):
        formulas.render(site)
    assert read(site, "book/page") == before  # all or nothing


@pytest.mark.parametrize(
    ("tex", "spoken"),
    [
        (r"\mathcal L", "ℒ"),
        (r"\mathcal N", "𝒩"),
        (r"\mathbb E", "𝔼"),
        (r"\mathbb{1}", "𝟙"),
        (r"\mathbf x", "𝐱"),
        (r"\boldsymbol\theta", "𝜽"),
        (r"\mathfrak g", "𝔤"),
        (r"\mathrm{KL}", "KL"),
    ],
)
def test_a_face_is_spoken_as_its_letter(tex: str, spoken: str) -> None:
    (made,), _ = formulas.typeset([Formula(tex, display=False)])
    assert isinstance(made, Made)
    words = formulas.mathml(made.mathml, tex).split("<annotation")[0]
    assert re.sub(r"<[^>]*>", "", words) == spoken
