"""One PDF of a site: a small site of two pages, assembled and printed; what is wrong with it."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest

pikepdf = pytest.importorskip("pikepdf", reason="`make pdf` installs pikepdf")
lxml_html = pytest.importorskip("lxml.html", reason="`make pdf` installs lxml")

from tools import browser  # noqa: E402
from tools.pdf import assemble, chromium, finish, style  # noqa: E402
from tools.pdf.assemble import Chapter, PdfError  # noqa: E402

FORMULA = (
    '<span class="math notranslate nohighlight"><mjx-container><mjx-math aria-hidden="true">'
    "<mjx-mi>x</mjx-mi></mjx-math><mjx-assistive-mml><math><semantics><mi>x</mi>"
    '<annotation encoding="application/x-tex">x^2 &lt; 1</annotation></semantics></math>'
    "</mjx-assistive-mml></mjx-container></span>"
)
DISPLAY = (
    '<div class="math notranslate nohighlight numbered" id="equation-eq-a">'
    '<div class="formula wide" style="--w:9"><mjx-container display="true"><mjx-math>'
    "<mjx-mi>y</mjx-mi></mjx-math></mjx-container></div>"
    '<div class="formula narrow" style="--w:4"><mjx-container display="true"><mjx-math>'
    "<mjx-mi>narrow</mjx-mi></mjx-math></mjx-container></div>"
    '<mjx-assistive-mml><math><annotation encoding="application/x-tex">\\int y</annotation></math>'
    '</mjx-assistive-mml><span class="eqno">(1.7)<a class="headerlink" href="#e">#</a></span></div>'
)
PICTURE = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='60pt' height='40pt' viewBox='0 0 60 40'>"
    "<rect width='60' height='40'/></svg>"
)
FIRST = f"""
<section id="one"><h1><span class="section-number">1. </span>One
<a class="headerlink" href="#one">#</a></h1>
<button>press</button>
<p>See <a href="../b/two.html#thm-two">Theorem 2.3</a>, {FORMULA}.</p>{DISPLAY}
<figure id="fig-one"><img loading="lazy" alt="A black box." src="../_images/box.svg">
<figcaption><p><span class="caption-number">Fig. 1.4 </span>A box.</p></figcaption></figure>
<div class="cell"><details class="admonition hide above-input"><summary>Show</summary>
<div class="cell_input"><pre>hidden = 1</pre></div></details>
<div class="cell_output"><pre>seen 42</pre></div></div>
<div class="predict" id="pre-one" data-facts="{{}}"><p class="predict-title">Predict</p>
<p>How many?</p>
<details class="predict-answer"><summary>Answer</summary><p>There are eleven.</p></details></div>
<div class="exercise admonition" id="ex-one"><p class="admonition-title">Exercise 1.1</p>
<p>Show it.</p></div>
<details class="solution dropdown toggle admonition" id="sol-one"><summary>Solution to
<a href="#ex-one">Exercise 1.1</a>
<span class="fold-mark"></span></summary><p>Shown thus.</p></details>
<details class="folded-proof"><summary>Proof</summary><p id="twice">Because.</p></details>
<p id="twice">Again.</p>
<p><a href="../_sources/a/one.ipynb">notebook</a> <a href="https://example.org/x">elsewhere</a></p>
</section>"""
SECOND = """
<section id="two"><h1><span class="section-number">2. </span>Two</h1>
<div class="proof theorem admonition" id="thm-two">
<p class="admonition-title">Theorem 2.3</p><p>Yes.</p></div>
<p><a href="../a/one.html">One</a></p></section>"""
CHAPTERS = [Chapter(0, "a/one"), Chapter(1, "b/two", "Part")]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "html"
    for place, text in (
        ("a/one.html", FIRST),
        ("b/two.html", SECOND),
        ("_images/box.svg", PICTURE),
        (
            "_static/book-0.css",
            ".highlight .k{color:#00f}.bd-sidebar{color:red}mjx-mi{display:inline}",
        ),
    ):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        body = f'<html><body><article class="bd-article">{text}</article></body></html>'
        path.write_text(body if place.endswith("html") else text)
    return folder


def made(site: Path, folder: Path, **options: Any) -> assemble.Assembled:
    folder.mkdir(exist_ok=True)
    return assemble.assemble(
        folder,
        lambda body, titles: style.sheet(site, folder, body, titles),
        title="Sample",
        lines=["by nobody"],
        author="nobody",
        site=site,
        chapters=CHAPTERS,
        **options,
    )


def change(site: Path, old: str, new: str, page: str = "a/one.html") -> None:
    path = site / page
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_chapters_of_a_contents(tmp_path: Path) -> None:
    (tmp_path / "_toc.yml").write_text(
        "root: a/one\nparts:\n  - caption: Part\n    chapters:\n      - file: b/two\n"
        "        sections:\n          - file: b/names\n      - file: c/three\n"
    )
    assert assemble.contents(tmp_path) == [*CHAPTERS, Chapter(2, "c/three", "Part")]


@pytest.fixture
def document(site: Path, tmp_path: Path) -> Any:
    return lxml_html.document_fromstring(made(site, tmp_path / "doc").html)


def test_what_the_document_holds(document: Any) -> None:
    text = " ".join(document.body.text_content().split())
    for part in ("Theorem 2.3", "(1.7)", "Fig. 1.4", "seen 42", "Because.", "How many?"):
        assert part in text
    for gone in ("press", "hidden", "narrow", "Show it. #", "Show seen"):
        assert gone not in text
    for line in ("Answer on page 000", "The prediction on page 000", "Solution on page 000"):
        assert line in text
    assert text.index("How many?") < text.index("Shown thus.")
    assert text.index("Because.") < text.index("There are eleven.") < text.index("Shown thus.")
    assert len(document.xpath("//img")) == 1
    assert not document.xpath("//figure | //details")


def test_ids_are_the_books_own(document: Any) -> None:
    ids = document.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {"p0", "p1", "p0--twice", "p0--pre-one", "p0--sol-one", "part-part"} <= set(ids)


def test_folded_code_is_printed_where_it_is_asked_for(site: Path, tmp_path: Path) -> None:
    assert "hidden = 1" in made(site, tmp_path / "doc", code=True).html


def test_links_lead_inside_or_to_the_published_site(site: Path, tmp_path: Path) -> None:
    done = made(site, tmp_path / "doc")
    assert 'href="#p1--thm-two"' in done.html
    assert 'id="p1--thm-two"' in done.html
    assert 'href="#p0"' in done.html
    # the theorem, the exercise, the page, and between question and answer three
    assert done.links == 6
    assert "one.ipynb" not in done.html
    assert "https://example.org/x" in done.html
    done = made(site, tmp_path / "doc", address="https://example.org/book/")
    assert 'href="https://example.org/book/_sources/a/one.ipynb"' in done.html


def test_formulas_have_their_tex(document: Any) -> None:
    found = [box.get("aria-label") for box in document.xpath('//*[@role="img"]')]
    assert found == ["TeX: x^2 < 1", "TeX: \\int y"]


def test_of_the_style_only_what_paper_needs(site: Path, tmp_path: Path) -> None:
    html = made(site, tmp_path / "doc").html
    assert "mjx-mi" in html
    assert "bd-sidebar" not in html
    assert re.search(r'@page p1 \{ @top-left \{ content: "2\. Two"', html)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("two.html#thm-two", "two.html#thm-three", "no p1--thm-three"),
        ('alt="A black box."', 'alt=""', "has no alternative text"),
        ("_images/box.svg", "_images/gone.svg", "no picture"),
        ("annotation", "note", "a formula without its TeX"),
        ("bd-article", "other", "holds no article"),
    ],
)
def test_what_is_missing_stops_it(
    site: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    change(site, old, new)
    with pytest.raises(PdfError, match=said):
        made(site, tmp_path / "doc")


def test_a_site_that_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(PdfError, match="run `make book` first"):
        made(tmp_path / "none", tmp_path / "doc")


def test_without_chromium_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find", lambda: (_ for _ in ()).throw(FileNotFoundError("long\n")))
    with pytest.raises(PdfError) as caught:
        chromium.printed(tmp_path / "book.html")
    assert "Chromium prints the PDF, and none was found" in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- printed -----------------------------------------------------------------------------------


def printed(site: Path, folder: Path) -> Any:
    if browser.skipped():
        pytest.skip(browser.SKIPPED)
    try:
        browser.find()
    except FileNotFoundError:
        pytest.skip("no Chromium here")
    done = made(site, folder)
    (folder / "book.html").write_text(done.html)
    return chromium.printed(folder / "book.html")


def owners(tree: Any) -> list[Any]:
    """The tags to which the content of pages says that it belongs."""
    rows = [row for row in tree.get("/Nums", []) if isinstance(row, pikepdf.Array)]
    found = [tag for row in rows for tag in row]
    return found + [tag for branch in tree.get("/Kids", []) for tag in owners(branch)]


@pytest.mark.browser
def test_the_pdf(site: Path, tmp_path: Path) -> None:
    targets = []
    for name in ("first.pdf", "second.pdf"):
        with printed(site, tmp_path / "doc") as pdf:
            assert finish.name_formulas(pdf) == 2
            finish.describe(
                pdf, title="Sample", author="nobody", subject="none", day=datetime.date(2027, 1, 2)
            )
            finish.save(pdf, tmp_path / name)
            targets.append(chromium.destinations(pdf))
    assert (tmp_path / "first.pdf").read_bytes() == (tmp_path / "second.pdf").read_bytes()
    with pikepdf.open(tmp_path / "first.pdf") as pdf:
        assert str(pdf.docinfo["/Title"]) == "Sample"
        assert str(pdf.Root.Lang) == "en"
        assert [title for _, title in finish.outline(pdf)] == [
            "Contents", "About this book", "Answers", "Part", "2. Two",
        ]  # fmt: skip
        alternatives = [str(tag.get("/Alt", "")) for tag in finish.tags(pdf) if "/Alt" in tag]
        assert sorted(alternatives) == ["A black box.", "\\int y", "x^2 < 1"]
        assert {str(tag.S) for tag in finish.tags(pdf)} >= {"/Formula", "/Figure", "/H1", "/Link"}
        reached = {tag.objgen for tag in finish.tags(pdf)}
        assert {tag.objgen for tag in owners(pdf.Root.StructTreeRoot.ParentTree)} <= reached
        assert targets[0]["p0"] == 3
        assert targets[0]["p1"] == len(pdf.pages)
    document = lxml_html.parse(str(tmp_path / "doc" / "book.html")).getroot()
    assert {slot.get("data-of") for slot in document.find_class("page-of")} <= set(targets[0])


@pytest.mark.browser
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<p>Yes.</p>", "<p>\\(x\\)</p>", "raw TeX"),
        ("<p>Yes.</p>", '<p style="width: 900px">Yes.</p>', "over the edge"),
        (
            "<p>Yes.</p>",
            '<div style="overflow:auto"><p style="width:700px">Y</p></div>',
            "cut off|edge",
        ),
    ],
)
def test_what_would_not_be_whole_is_not_printed(
    site: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    change(site, old, new, "b/two.html")
    with pytest.raises(PdfError, match=said):
        printed(site, tmp_path / "doc")


def test_a_link_to_this_machine_or_nowhere_is_a_fault(tmp_path: Path) -> None:
    pdf = pikepdf.new()
    pdf.add_blank_page()
    link = pikepdf.Dictionary(Subtype=pikepdf.Name.Link, Rect=[0, 0, 9, 9])
    pdf.pages[0].obj.Annots = pikepdf.Array()
    notes = pdf.pages[0].obj.Annots
    for extra in (
        {"/Dest": pikepdf.Name("/nowhere")},
        {"/A": pikepdf.Dictionary(S=pikepdf.Name.URI, URI="file:///home/x")},
    ):
        note = pikepdf.Dictionary(link)
        for key, value in extra.items():
            note[key] = value
        notes.append(pdf.make_indirect(note))
    figure = pikepdf.Dictionary(S=pikepdf.Name.Figure)
    pdf.Root.StructTreeRoot = pikepdf.Dictionary(K=pikepdf.Array([pdf.make_indirect(figure)]))
    with pytest.raises(PdfError) as caught:
        finish.save(pdf, tmp_path / "bad.pdf")
    for said in ("leads nowhere: /nowhere", "file of this machine", "without alternative text"):
        assert said in str(caught.value)
    assert not (tmp_path / "bad.pdf").exists()
