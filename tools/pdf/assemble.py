"""One HTML document of all pages of the built site, in the order of the contents.

What moves or needs a script is left out; what is folded on the site is unfolded, but for code. A
prediction's answer and an exercise's solution go to the end of their chapter, with the pages of
both said, so that paper does not show an answer before the reader has one. Numbers, of theorems,
formulas and figures, are the site's own, since its text is taken as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lxml.html
import yaml
from lxml.html import HtmlElement
from lxml.html.builder import E

from tools.sources import ROOT, SITE

#: What an alternative text of a formula begins with, for `finish` to know it by.
FORMULA = "TeX: "
CONTENTS = "contents"
ROOT_TITLE = "About this book"  # its own is the book's, which stands before it

#: What of a page has no place on paper: it moves, it is read aloud instead, it needs a screen.
GONE_TAGS = ("script", "style", "button", "noscript", "template")
GONE = (
    *("headerlink", "start-button", "narrow", "ganlib-view", "ganlib-state"),
    *("fold-mark", "sd-summary-state-marker", "zoo-filter"),
)


class PdfError(RuntimeError):
    """The book could not be made a PDF; the message says why, and what to do."""


@dataclass(frozen=True)
class Chapter:
    """A page of the site: its place in the book, its name and the part that it stands in."""

    number: int
    name: str
    part: str = ""

    @property
    def id(self) -> str:
        return f"p{self.number}"


@dataclass
class Assembled:
    """The document and what a check of it must find again."""

    html: str
    titles: dict[str, str]  # id of each chapter -> its title
    formulas: int = 0
    pictures: int = 0
    links: int = 0  # inside the book


@dataclass
class Book:
    """What is known of all pages while one is worked on."""

    site: Path
    chapters: list[Chapter]
    folder: Path  # where the document will lie
    code: bool = False  # whether folded code is printed too
    address: str = ""  # of the published site, for what is not in the book
    ids: set[str] = field(default_factory=set)
    asked: dict[str, str] = field(default_factory=dict)  # anchor that a link names -> its page

    def chapter(self, path: Path) -> Chapter | None:
        name = os.path.relpath(path.with_suffix(""), self.site).replace(os.sep, "/")
        return next((c for c in self.chapters if c.name == name), None)


def contents(root: Path = ROOT) -> list[Chapter]:
    """The pages of ``_toc.yml``, each with the caption of its part.

    Pages below a page, the library's names one by one, are to be looked up, and stay on the site.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    names = [(toc["root"], "")]
    for part in toc["parts"]:
        names += [(chapter["file"], part["caption"]) for chapter in part["chapters"]]
    return [Chapter(number, name, part) for number, (name, part) in enumerate(names)]


def slot(target: str) -> HtmlElement:
    """A link that shows the number of the page on which ``target`` stands, once that is known."""
    return E.a({"class": "page-of", "href": f"#{target}", "data-of": target}, "000")


def having(root: HtmlElement, name: str, tag: str = "*") -> list[HtmlElement]:
    """The elements below ``root`` of a class, and of a tag if one is named, in order."""
    classes = 'concat(" ", normalize-space(@class), " ")'
    found: list[HtmlElement] = root.xpath(f'.//{tag}[contains({classes}, " {name} ")]')
    return found


def _drop(element: HtmlElement) -> None:
    """Remove an element and keep the text behind it."""
    element.drop_tree()


def _classes(element: HtmlElement) -> set[str]:
    return set((element.get("class") or "").split())


def _text(element: HtmlElement) -> str:
    return " ".join(element.text_content().split())


# ---- the parts of a page -----------------------------------------------------------------------


def drop_screen_parts(article: HtmlElement) -> None:
    """Leave out what has no place on paper."""
    for button in having(article, "start-button"):  # and the line that offers another way
        beside = button.xpath("ancestor::p[1]/following-sibling::*[1][self::p]")
        for line in beside:
            if _text(line).startswith("or "):
                _drop(line)
    gone = [element for tag in GONE_TAGS for element in article.iter(tag)]
    gone += [element for name in GONE for element in having(article, name)]
    gone += [table for still in having(article, "ganlib-still") for table in still.iter("details")]
    for element in gone:
        if element.getparent() is not None:
            _drop(element)


def set_formulas(article: HtmlElement) -> int:
    """Give the boxes of each formula its TeX as alternative text; what is read aloud goes."""
    count = 0
    for math in having(article, "math"):
        note = next(math.iter("annotation"), None)
        if note is None:
            raise PdfError(f"a formula without its TeX: {_text(math)[:60]}; build the site again")
        shown = [*having(math, "formula"), *math.iter("mjx-container")][:1]
        for box in shown:
            box.set("role", "img")
            box.set("aria-label", FORMULA + " ".join(note.text_content().split()))
        for box in math.iter("mjx-math"):
            box.attrib.pop("aria-hidden", None)
        for spoken in list(math.iter("mjx-assistive-mml")):
            _drop(spoken)
        count += 1
    return count


def unfold(article: HtmlElement, code: bool) -> None:
    """Put what is folded into the text; folded code only where it is asked for."""
    for details in list(article.iter("details")):
        kinds = _classes(details)
        summary = next((child for child in details if child.tag == "summary"), None)
        hidden = "hide" in kinds  # a cell, or the code of one
        if hidden:
            if not code:
                for cell in having(details, "cell_input"):
                    _drop(cell)
            if summary is not None:
                _drop(summary)
        elif summary is not None:
            summary.tag = "p"
            summary.set("class", f"{summary.get('class') or ''} fold-title".strip())
        details.tag = "div"
        details.set(
            "class",
            " ".join(sorted(kinds - ({"hide", "admonition"} if hidden else set()) | {"unfolded"})),
        )
    for cell in having(article, "cell", "div"):
        if not _text(cell) and not cell.xpath(".//img | .//svg"):
            _drop(cell)


def move_answers(article: HtmlElement, chapter: Chapter) -> None:
    """Put the answers of predictions and the solutions of exercises at the chapter's end."""
    answers, solutions = [], []
    for number, box in enumerate(having(article, "predict", "div"), start=1):
        label = box.get("id") or f"prediction-{number}"
        box.set("id", label)
        for answer in having(box, "predict-answer", "details"):
            heading = E.p({"class": "answer-title"}, "The prediction on page ")
            heading.append(slot(label))
            for summary in list(answer.iter("summary")):
                _drop(summary)
            _drop(answer)
            answer.tag = "div"
            answer.set("class", "answer")
            answer.set("id", f"{label}--answer")
            answer.tail = None
            answer.insert(0, heading)
            answers.append(answer)
            box.append(_leads("Answer on page ", f"{label}--answer"))
    for number, box in enumerate(having(article, "solution", "details")):
        label = box.get("id") or f"solution-{number}"
        box.set("id", label)
        parent = box.getparent()
        lead = _leads("Solution on page ", label)
        lead.tail = box.tail
        parent.replace(box, lead)
        box.tail = None
        solutions.append(box)
    if answers or solutions:
        section = E.section({"class": "answers", "id": "answers"}, E.h2("Answers"))
        section.extend([*answers, *solutions])
        article.append(section)


def _leads(text: str, target: str) -> HtmlElement:
    line = E.p({"class": "leads"}, text)
    line.append(slot(target))
    return line


def place_ids(article: HtmlElement, chapter: Chapter, book: Book) -> None:
    """Ids that are the book's own: the page's number before them, repeats left out."""
    for element in article.xpath(".//*[@id]"):
        name = f"{chapter.id}--{element.get('id')}"
        if name in book.ids:
            del element.attrib["id"]
        else:
            book.ids.add(name)
            element.set("id", name)
    for element in article.xpath(".//*[@for or @aria-labelledby or @aria-describedby]"):
        for key in ("for", "aria-labelledby", "aria-describedby"):
            element.attrib.pop(key, None)


def lead(article: HtmlElement, chapter: Chapter, book: Book) -> int:
    """Point each link to where its target stands in the book; returns how many stay inside it."""
    page = book.site / f"{chapter.name}.html"
    inside = 0
    for link in list(article.iter("a")):
        address = link.get("href")
        if address is None:
            continue
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "mailto"):
            continue
        there = Path(os.path.normpath(page.parent / parts.path)) if parts.path else page
        target = book.chapter(there)
        if target is not None and not parts.scheme:
            fragment = unquote(parts.fragment)
            anchor = f"{target.id}--{fragment}" if fragment else target.id
            book.asked.setdefault(anchor, chapter.name)
            link.set("href", f"#{anchor}")
            if "page-of" in _classes(link):
                link.set("data-of", anchor)
            link.attrib.pop("title", None)
            inside += 1
        elif book.address and not parts.scheme:
            name = os.path.relpath(there, book.site).replace(os.sep, "/")
            link.set("href", f"{book.address}/{name}")
        else:
            link.drop_tag()
    return inside


def place_pictures(article: HtmlElement, chapter: Chapter, book: Book) -> int:
    """Name each picture's file as seen from the document; each has an alternative text."""
    page = book.site / f"{chapter.name}.html"
    count = 0
    for image in article.iter("img"):
        source = image.get("src") or ""
        if not image.get("alt"):
            raise PdfError(f"{chapter.name}: the picture {source[:60]} has no alternative text")
        image.attrib.pop("loading", None)
        if not source.startswith("data:"):
            path = Path(os.path.normpath(page.parent / unquote(urlsplit(source).path)))
            if not path.is_file():
                raise PdfError(
                    f"{chapter.name}: there is no picture {source}; build the site again"
                )
            image.set("src", os.path.relpath(path, book.folder).replace(os.sep, "/"))
        count += 1
    return count


def rename(article: HtmlElement) -> None:
    """Headings one level down; figures as boxes, for the picture in each is the Figure."""
    for level in range(5, 0, -1):
        for heading in article.iter(f"h{level}"):
            heading.tag = f"h{level + 1}"
    for figure in article.iter("figure"):
        figure.tag = "div"
        figure.set("class", f"{figure.get('class') or ''} figure".strip())
    for caption in article.iter("figcaption"):
        caption.tag = "div"
        caption.set("class", "caption")
    for drawing in article.iter("svg"):
        if not drawing.get("aria-label"):
            drawing.set("aria-hidden", "true")


# ---- the whole ---------------------------------------------------------------------------------


def chapter_body(chapter: Chapter, book: Book, done: Assembled) -> HtmlElement:
    """The text of one page as it stands in the book."""
    path = book.site / f"{chapter.name}.html"
    if not path.is_file():
        raise PdfError(f"there is no {path}: run `make book` first")
    page = lxml.html.document_fromstring(path.read_text(encoding="utf-8"))
    found = having(page, "bd-article", "article")
    if not found:
        raise PdfError(f"{chapter.name}.html holds no article: build the site again")
    article = found[0]
    drop_screen_parts(article)
    done.formulas += set_formulas(article)
    move_answers(article, chapter)
    unfold(article, book.code)
    done.pictures += place_pictures(article, chapter, book)
    place_ids(article, chapter, book)
    done.links += lead(article, chapter, book)
    rename(article)
    heading = next(iter(article.iter("h2")))
    if not chapter.part:
        for child in list(heading):
            _drop(child)
        heading.text = ROOT_TITLE
    done.titles[chapter.id] = _text(heading)
    article.tag = "section"
    article.set("class", "chapter")
    article.set("id", chapter.id)
    book.ids.add(chapter.id)
    return article


def title_page(title: str, lines: list[str]) -> HtmlElement:
    page = E.section({"class": "title-page"}, E.div({"class": "book-title"}, title))
    page.extend(E.p(line) for line in lines)
    return page


def contents_page(chapters: list[Chapter], titles: dict[str, str]) -> HtmlElement:
    """The parts and their chapters, each with the number of its page."""
    page = E.section({"class": "contents", "id": CONTENTS}, E.h1("Contents"))
    part, rows = None, E.ul()
    for chapter in chapters:
        if chapter.part != part:
            part, rows = chapter.part, E.ul()
            if part:
                name = E.a({"href": f"#{part_id(part)}"}, part)
                page.append(E.p({"class": "part-name"}, name))
            page.append(rows)
        name = E.a({"class": "row", "href": f"#{chapter.id}"}, titles[chapter.id])
        rows.append(E.li(name, E.span({"class": "dots"}), slot(chapter.id)))
    return page


def part_page(caption: str, chapters: list[Chapter], titles: dict[str, str]) -> HtmlElement:
    """A page before the first chapter of a part."""
    rows = E.ul()
    for chapter in chapters:
        rows.append(E.li(E.a({"href": f"#{chapter.id}"}, titles[chapter.id])))
    return E.section({"class": "part", "id": part_id(caption)}, E.h1(caption), rows)


def part_id(caption: str) -> str:
    return "part-" + re.sub(r"\W+", "-", caption.lower())


def _with_parts(
    sections: list[HtmlElement], chapters: list[Chapter], titles: dict[str, str]
) -> Iterator[HtmlElement]:
    part = ""
    for chapter, section in zip(chapters, sections, strict=True):
        if chapter.part != part:
            part = chapter.part
            yield part_page(part, [c for c in chapters if c.part == part], titles)
        yield section


def assemble(
    folder: Path,
    style: Callable[[str, list[tuple[str, str]]], str],
    *,
    title: str,
    lines: list[str],
    author: str,
    site: Path = SITE,
    chapters: list[Chapter] | None = None,
    code: bool = False,
    address: str = "",
) -> Assembled:
    """The document, to lie in ``folder``, with the style that ``style`` makes for it.

    Parameters
    ----------
    style
        From the document's body and the chapters' ids and titles to the text of a style sheet.
    lines
        What stands under the title.
    code
        Print folded code too.
    address
        Of the published site: where links to what is not in the book lead; without it they are
        plain text.

    Raises
    ------
    PdfError
        For a page, a picture or the target of a link that is not there.
    """
    book = Book(site, chapters or contents(), folder, code, address.rstrip("/"))
    done = Assembled("", {})
    sections = [chapter_body(chapter, book, done) for chapter in book.chapters]
    lost = [f"{page}: no {anchor}" for anchor, page in book.asked.items() if anchor not in book.ids]
    if lost:
        raise PdfError("links that lead nowhere:\n" + "\n".join(lost))
    body = E.body(title_page(title, lines), contents_page(book.chapters, done.titles))
    body.extend(_with_parts(sections, book.chapters, done.titles))
    text = lxml.html.tostring(body, encoding="unicode")
    sheet = style(text, list(done.titles.items()))
    head = (
        f'<!doctype html>\n<html lang="en" data-theme="light">\n<head><meta charset="utf-8">\n'
        f'<title>{title}</title>\n<meta name="author" content="{author}">\n'
        f"<style>\n{sheet}\n</style></head>\n"
    )
    done.html = f"{head}{text}\n</html>\n"
    return done


def math_left(text: str) -> list[str]:
    """TeX that stands in a text raw: what a formula that was not set would leave."""
    return re.findall(r"\\[([][^\n]{0,60}|\\begin\{\w+\}|\$\$", text)
