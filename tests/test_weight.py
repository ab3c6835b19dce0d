"""What a page loads: one stylesheet, a deferred script; icons and sizes stand in the page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import predict_sample
import pytest
import rcssmin
import tinycss2
from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tools import icons, pictures, styles, weight
from tools.sources import ROOT

# ---- stylesheets -------------------------------------------------------------------------------

PAGE = """<html data-theme="light"><body class="one two"><p id="first" style="color:var(--own)">
<svg viewBox="0 0 1 1"></svg></p>
<script>node.className = `late ${x}`; node.dataset.isOpen = 1; "--script"</script>
</body></html>"""


@pytest.fixture
def known() -> styles.Vocabulary:
    made = styles.Vocabulary()
    made.add_page(PAGE)
    return made


@pytest.mark.parametrize(
    "selector",
    ["p", ".one.two > p", "#first", "html[data-theme=dark] p", "*", ":root", ".late", "p::before",
     "p:hover", ".one:not(.gone)", ":is(.gone, .two)", "p:nth-child(2n + 1)", "P",
     ".gone, .one", "body:has(svg)", "::selection", "a-tag .late, p",
     "[data-is-open]"],
)  # fmt: skip
def test_a_rule_that_may_match_stays(selector: str, known: styles.Vocabulary) -> None:
    assert "red" in styles.prune(f"{selector}{{color:red}}", known)


@pytest.mark.parametrize(
    "selector",
    ["table", ".gone", ".one .gone", "#second", "[data-gone]", ":is(.gone, #second)",
     "p.gone:hover", "body:has(table)", ".one > article", "p[data-gone='x'] svg"],
)  # fmt: skip
def test_a_rule_that_cannot_match_goes(selector: str, known: styles.Vocabulary) -> None:
    assert styles.prune(f"{selector}{{color:red}}", known) == ""
    assert styles.prune(f"@media print{{{selector}{{color:red}}}}", known) == ""


def test_of_a_list_what_may_match_stays(known: styles.Vocabulary) -> None:
    assert styles.prune(".gone,p , .two{color:red}", known) == "p,.two{color:red}"


def test_properties_fonts_and_animations_in_use_stay(known: styles.Vocabulary) -> None:
    css = """/*! licence */ /* said to nobody */ @charset "utf-8";
    :root { --a: var(--b); --b: 1px; --c: 2px; --own: red; --script: blue; --dead: var(--c) }
    p { width: var(--a); animation: slow 1s; font: 1em "Fine Font" }
    @keyframes slow { to { top: var(--d) } } @keyframes fast { to { top: var(--e) } }
    .one { --d: 3px; --e: 4px } .gone { animation: fast 1s; font-family: Other }
    @font-face { font-family: "Fine Font"; src: url(a.woff2) }
    @font-face { font-family: Other; src: url(b.woff2) }"""
    said = styles.prune(css, known)
    assert said.startswith("/*! licence */\n")
    assert "nobody" not in said
    assert set(re.findall(r"(--\w+):", said)) == {"--a", "--b", "--d", "--own", "--script"}
    assert re.findall(r"@keyframes (\w+)", said) == ["slow"]
    assert re.findall(r"url\((\w+)", said) == ["a"]


def test_order_and_nesting_stay(known: styles.Vocabulary) -> None:
    css = "p{color:red}@media (min-width:9px){@supports (top:1px){p{color:blue}%s}}.one{top:1px}"
    said = styles.prune(css % ".gone{top:0}", known)
    assert said == css % ""
    assert styles.prune(said, known) == said
    nested = ".one{color:red;& p{color:blue}}"
    assert "blue" in styles.prune(nested, known)


@given(
    st.lists(st.sampled_from(["p", ".one", ".gone", "#first", "a", "html", ".late"]), min_size=1)
)
def test_what_stays_is_what_has_all_its_names(names: list[str]) -> None:
    known = styles.Vocabulary()
    known.add_page(PAGE)
    selector = " ".join(names)
    tokens = tinycss2.parse_component_value_list(selector)
    assert styles.can_match(tokens, known) == (not {".gone", "a"} & set(names))


def test_addresses_are_those_of_the_new_place() -> None:
    files = {
        "_static/styles/theme.css": "@import '../basic.css'; @import url(print.css) print;",
        "_static/basic.css": "p{background:url(file.png)} q{src:url('data:x') } ",
        "_static/styles/print.css": "a{background:url(\"../a b.svg?v=1#x\")}",
    }  # fmt: skip
    said = styles.moved(
        files["_static/styles/theme.css"],
        Path("_static/styles/theme.css"),
        Path("_static/book.css"),
        lambda path: files[path.as_posix()],
    )
    assert "url(file.png)" in said
    assert "url('data:x')" in said.replace('"', "'")
    assert re.search(r"@media print\s*\{a\{background:url\(\"?a b.svg\?v=1#x\"?\)\}\}", said)


# ---- icons -------------------------------------------------------------------------------------

ICONS = (
    'x={monero:[496,512,[],"f3d0","M1"]};d("fab",p);x={"book":[1,2,[128,"tome"],"f02d","M2"]};'
    'd("fas",p);y={book:[3,4,[],"f02d","M3"]};d("far",p)'
)


def test_icons_are_read_by_style_and_name() -> None:
    known = icons.icons(ICONS)
    assert known["fab", "monero"] == icons.Icon(496, 512, "M1")
    assert known["fas", "tome"] == known["fas", "book"] == icons.Icon(1, 2, "M2")
    assert known["far", "book"].path == "M3"
    html = (
        '<i class="mark fas fa-tome fa-lg" data-mode="dark" title="T"></i><i class="other">x</i>'
        '<span class="fa-regular fa-book"></span>'
    )
    said = icons.place(html, known)
    assert said.count(icons.LICENCE) == 1
    assert '<svg class="svg-inline--fa fa-tome mark fa-lg" data-mode="dark" aria-hidden' in said
    assert 'viewBox="0 0 1 2"><path fill="currentColor" d="M2"/></svg>' in said
    assert 'd="M3"' in said
    assert '<i class="other">x</i>' in said
    assert icons.place(said, known) == said
    with pytest.raises(icons.IconError, match="fa-gone"):
        icons.place('<i class="fas fa-gone"></i>', known)


def test_the_theme_has_the_icons_that_the_book_shows() -> None:
    known = icons.of_theme()
    assert {("fas", n) for n in ("bars", "sun", "moon", "download", "rocket")} <= known.keys()
    assert len(known) > 2000
    assert all(re.match(r"M[\d. -]", icon.path) for icon in known.values())
    assert ".svg-inline--fa" in icons.style()


def test_a_stylesheet_holds_the_glyphs_it_names_alone() -> None:
    face = (
        "@font-face{font-family:F;font-weight:%s;src:url(../vendor/fontawesome/webfonts/fa-%s.woff2)"
        ' format("woff2"),url(../vendor/fontawesome/webfonts/fa-%s.ttf)}'
    )
    css = ":root{--fa-font-solid:normal 900 1em/1 F}"
    css += "a:after{content:'\\f303'}b:after{content:'\uf107'}"
    for weight_, name in ((900, "solid-900"), (400, "regular-400")):
        css += face % (weight_, name, name)
    said = icons.embed(css)
    assert said.count("@font-face") == 1, "no rule uses the other one"
    data = re.search(r"url\(data:font/woff;base64,([^)]*)\)", said)
    assert data
    font = TTFont(io.BytesIO(base64.b64decode(data[1])))
    assert set(font.getBestCmap()) == {0xF303, 0xF107}
    assert len(data[1]) < 2500
    assert icons.embed(css) == said, "the same bytes each time"


# ---- pictures ----------------------------------------------------------------------------------


def svg(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    data = base64.b64encode(out.getvalue()).decode()
    return (
        '<svg width="403.2pt" height="201.6pt" viewBox="0 0 403.2 201.6">'
        '<g transform="scale(0.015625)"/>'
        f'<path d="M -0.000012 1.234567 \nL 1e-05 99.999999 "/><use x="1.005001" y="7"/>'
        f'<image xlink:href="data:image/png;base64,{data}"/></svg>'
    )


def test_a_figure_becomes_smaller_and_looks_the_same() -> None:
    axis = np.linspace(0, 255, 200)
    smooth = np.stack([*np.meshgrid(axis, axis), *np.meshgrid(axis, axis[::-1])], -1).astype(
        "uint8"
    )
    said = pictures.slim(svg(smooth))
    assert 'd="M 0 1.23 L 1e-05 100"' in said
    assert 'x="1.01" y="7"' in said or 'x="1" y="7"' in said
    assert "scale(0.015625)" in said
    assert len(said) < 0.5 * len(svg(smooth))
    assert pictures.slim(said) == said
    data = re.search(r"data:image/webp;base64,([^\"]*)", said)
    assert data
    shown = Image.open(io.BytesIO(base64.b64decode(data[1])))
    assert pictures.loss(Image.fromarray(smooth), shown) <= pictures.STEPS


def test_sharp_pixels_stay_as_they_are() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (40, 40)).astype("uint8") * 255
    rgb = np.stack([noise, noise, 255 - noise], -1)
    data = re.search(r"data:image/webp;base64,([^\"]*)", pictures.slim(svg(rgb)))
    assert data
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))))
    assert (shown == rgb).all()


def test_what_a_pixel_loses_is_seen_on_black_and_white() -> None:
    def one(*rgba: int) -> Image.Image:
        return Image.new("RGBA", (1, 1), rgba)

    assert pictures.loss(one(9, 9, 9, 0), one(200, 1, 7, 0)) == 0
    assert pictures.loss(one(0, 0, 0, 255), one(0, 0, 0, 245)) == pytest.approx(10)
    assert pictures.loss(one(255, 255, 255, 255), one(255, 255, 255, 245)) == pytest.approx(10)
    assert pictures.loss(one(5, 0, 0, 255), one(9, 0, 0, 255)) == 4


@pytest.mark.parametrize(
    ("root", "size"),
    [
        ('<svg width="403.2pt" height="201.6pt">', (538, 269)),
        ('<svg height="96" width="2in">', (192, 96)),
        ('<svg viewBox="0 0 400 280.4">', (400, 280)),
        ('<svg width="100%" height="100%" viewBox="0,0,30,20">', (30, 20)),
        ("<svg>", None),
        ("<p>", None),
    ],
)
def test_sizes_of_figures(root: str, size: tuple[int, int] | None) -> None:
    assert pictures.svg_size(root) == size


# ---- pages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book as Sphinx leaves it, with a figure and a still in its text."""
    site = predict_sample.build(tmp_path_factory.mktemp("book"))[0]
    (site / "_images").mkdir()
    drawn = svg(np.zeros((9, 9, 3), "uint8"))
    (site / "_images" / "drawn.svg").write_text(drawn)
    still = base64.b64encode(drawn.encode() + b" " * 2000).decode()
    other = site / "part" / "other.html"
    other.write_text(
        other.read_text().replace(
            "<p>Text.</p>",
            '<p><img alt="first" src="../_images/drawn.svg"></p>'
            f'<p><img alt="still" src="data:image/svg+xml;base64,{still}"></p>',
        )
    )
    return site


@pytest.fixture
def site(built: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(built, tmp_path / "site"))


def snapshot(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def asked(page: Path) -> list[str]:
    """What the head and the end of a page load, as files that are there."""
    found = re.findall(
        r'<(?:script|link)\b[^>]*?(?:src|href)="([^"#?]*\.(?:js|css))[^"]*"', page.read_text()
    )
    for name in found:
        assert (page.parent / name).is_file(), name
    return [Path(name).name for name in found]


def test_a_page_asks_for_one_stylesheet_and_one_script(site: Path, tmp_path: Path) -> None:
    before = (site / "index.html").read_text()
    weighed = sum(
        len(gzip.compress((site / name.split("?")[0]).read_bytes()))
        for name in re.findall(r'href="([^"]*\.css[^"]*)"', before)
    )
    sheet, script = weight.lighten(site, tmp_path / "store")
    for name in ("index.html", "part/other.html", "genindex.html"):
        text = (site / name).read_text()
        loaded = asked(site / name)
        assert [x for x in loaded if x.endswith(".css")] == [Path(sheet).name]
        assert set(loaded) <= {Path(sheet).name, Path(script).name, "none.js"}
        for tag in re.findall(r"<script\b[^>]*\bsrc=[^>]*>", text):
            assert "defer" in tag
        inline = re.findall(r"<script>(.*?)</script>", text, re.S)
        assert sum(map(len, inline)) < 500, inline
        assert 'class="fa-' not in text
        assert "\0" not in text
        assert 'data-theme="light"' in text
    assert len(gzip.compress((site / sheet).read_bytes())) < 0.3 * weighed
    for gone in (
        "scripts/fontawesome.js",
        "scripts/bootstrap.js",
        "vendor/fontawesome",
        "book.css",
    ):
        assert not (site / "_static" / gone).exists()


def test_pictures_have_their_size_and_come_when_near(site: Path, tmp_path: Path) -> None:
    weight.lighten(site, tmp_path / "store")
    text = (site / "part" / "other.html").read_text()
    first, still = re.findall(r'<img[^>]*alt="(?:first|still)"[^>]*>', text)
    assert 'width="538" height="269"' in first
    assert "lazy" not in first
    assert 'width="538" height="269" loading="lazy"' in still
    source = re.search(r'src="([^"]*)"', still)
    assert source
    assert pictures.size(site / "part" / source[1]) == (538, 269)
    assert "webp" in (site / "_images" / "drawn.svg").read_text()


def test_done_twice_nothing_changes(site: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    names = weight.lighten(site, store)
    first = snapshot(site)
    assert weight.lighten(site, store) == names
    assert snapshot(site) == first


def test_an_incremental_build_finds_the_parts_again(
    site: Path, built: Path, tmp_path: Path
) -> None:
    """Sphinx writes one page anew, with a name that no other has, and its files beside it."""
    store = tmp_path / "store"
    first, script = weight.lighten(site, store)
    old = (site / "index.html").read_text()
    text = (built / "part" / "other.html").read_text()
    (site / "part/other.html").write_text(text.replace("</article>", '<p class="highlighted">'))
    book = (built / "_static" / "book.css").read_text()
    (site / "_static" / "book.css").write_text(book + ".highlighted { color: rgb(1, 2, 3) }")
    second, again = weight.lighten(site, store)
    assert second != first
    assert again == script
    assert "rgb(1,2,3)" in re.sub(r"\s", "", (site / second).read_text())
    assert not (site / first).exists()
    assert asked(site / "part/other.html")[:2] == asked(site / "index.html")[:2]
    assert (site / "index.html").read_text() == old.replace(Path(first).name, Path(second).name)


def test_a_stylesheet_that_is_missing_is_named(site: Path, tmp_path: Path) -> None:
    (site / "_static" / "book.css").unlink()
    with pytest.raises(weight.WeightError, match=r"_static/book\.css is asked for"):
        weight.lighten(site, tmp_path / "store")


def test_pages_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    files = weight.Files(tmp_path, tmp_path)
    one, two, three = (weight.Page(tmp_path, tmp_path, "") for _ in range(3))
    one.sheets, two.sheets, three.sheets = ["a", "b", "d"], ["a", "c", "d"], ["d", "a"]
    order = weight.sheet_order([one, two], files)
    assert set(order) == set("abcd")
    assert order[0] == "a"
    assert order[-1] == "d"
    with pytest.raises(weight.WeightError, match="different orders"):
        weight.sheet_order([one, three], files)


def test_scripts_that_nothing_needs_are_dropped() -> None:
    head = (
        '<script src="_static/design-tabs.js"></script><script src="_static/own.js"></script>'
        '<script type="module" src="_static/late.js"></script>'
        '<script src="_static/book.js"></script>'
        "<script>let toggleHintShow = 'x';</script><script>window.MathJax = {}</script>"
        "<script>useful()</script>"
    )

    def taken(html: str) -> str:
        page = weight.Page(Path("/s/x.html"), Path("/s"), html)
        weight.take_scripts(page)
        return page.html

    said = taken(head)
    assert "design-tabs" not in said
    assert '<script defer src="_static/own.js">' in said
    assert '<script type="module" src="_static/late.js">' in said
    assert said.count("\0script\0") == 1
    assert "toggleHint" not in said
    assert "MathJax" not in said
    assert "useful()" in said
    tabs = taken(head + '<div class="x sd-tab-set">')
    assert '<script defer src="_static/design-tabs.js">' in tabs
    assert "MathJax" in taken(head + '<script src="_static/vendor/mathjax/x.js"></script>')


def test_one_script_that_fails_does_not_end_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "_static"
    folder.mkdir()
    (folder / "documentation_options.js").write_text("const DOCUMENTATION_OPTIONS = {};")
    (folder / "predict.js").write_text("broken();\n//# sourceMappingURL=x.map")
    (folder / "book.js").write_text("// a comment at the end")
    files = weight.Files(tmp_path, tmp_path / "store")
    said = weight.join_scripts(files, lambda text: text.upper())
    assert said.startswith("const DOCUMENTATION_OPTIONS = {};\ntry{BROKEN();\n}catch(e)")
    assert "sourceMapping" not in said
    assert said.count("catch(e)") == 2
    assert said.rstrip().endswith("// A COMMENT AT THE END\n}catch(e){console.error(e)}")


@pytest.mark.parametrize(
    "sheet",
    [*(ROOT / "ganlib/lab").glob("*.css"), *(ROOT / "book/static").glob("*.css")],
    ids=lambda sheet: sheet.name,
)
def test_the_minifier_keeps_the_space_before_a_pseudo_class(sheet: Path) -> None:
    """Inside ``@container`` it takes ``.a :is(.b)`` for a declaration: write such a rule out."""
    below = re.compile(r"[\w\])*](?:\s+|\s*>\s*):(?:is|not|where|has)\(")
    text = sheet.read_text(encoding="utf-8")
    assert len(below.findall(rcssmin.cssmin(text))) == len(below.findall(text))
