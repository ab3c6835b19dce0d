"""What a page loads before its first text: one stylesheet, no script that blocks, no icon font.

Sphinx, its theme and their extensions each bring stylesheets and scripts of their own. After the
build, :func:`lighten` joins them: one stylesheet for all pages, without the rules that nothing on
the site can match (`tools.styles`); one deferred script, of those that every page needs; icons and
the sizes of pictures in the page (`tools.icons`). What was joined moves out of the site into a
store, for an incremental build, which writes some pages anew and finds the others done.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tools import icons, pictures, styles
from tools.sources import BUILD, SITE

STORE = BUILD / "joined"  # the files that were joined
STATIC = "_static"
PICTURES = "_images"
INLINE = 1000  # bytes of a picture that may stay in the page
ALONE = "404.html"  # has its own style: shown at any depth (tools/published.py)
NAME = "book"  # of what is made: _static/book-DIGEST.css and .js

#: In this order, the scripts of every page; what a page asks of them alone is not loaded.
#: Those that define what others use stand bare, each other one is kept from ending the rest.
JOINED = (
    "documentation_options.js",
    "scripts/sphinx-book-theme.js",
    "scripts/pydata-sphinx-theme.js",
    "clipboard.min.js",
    "copybutton.js",
    "predict.js",
    "search.js",
    "book.js",
)
BARE = {"documentation_options.js"}
SMALL = re.compile(r"^scripts/|\.min\.js$")  # minified where it comes from
#: What is left out, each where its reason holds: a pattern that the page must not match.
DROPPED = {
    "scripts/fontawesome.js": None,  # icons stand in the page
    "scripts/bootstrap.js": None,  # of all its parts the menus of the header alone: book.js
    "sphinx-thebe.js": None,  # there is no kernel
    "togglebutton.js": None,  # tools.folds makes <details> of what it would fold
    "design-tabs.js": re.compile(r'class="[^"]*\bsd-tab-'),
    **dict.fromkeys(  # Sphinx's search, which is not ours: tools/search.py
        ("doctools.js", "sphinx_highlight.js", "searchtools.js", "language_data.js"), None
    ),
    "searchindex.js": None,
}
#: Inline scripts that nothing reads: begins with.
SILENT = re.compile(
    r"\s*(?:DOCUMENTATION_OPTIONS\.(?:pagename|search_as_you_type|COLLAPSE_INDEX|theme_\w+|"
    r"show_version_warning_banner)\s*=|(?:const|let|var) (?:thebe_|toggle))"
)
#: The theme of the page before anything is painted; the theme's own leaves "auto" for a script
#: that comes late, and fails where nothing may be kept.
GUARD = (
    '<script>(d=>{let m="auto";try{m=localStorage.getItem("mode")||m}catch{}d.mode=m;'
    'd.theme=m=="auto"?matchMedia("(prefers-color-scheme:dark)").matches?"dark":"light":m})'
    "(document.documentElement.dataset)</script>"
)
#: The fonts of a page's first lines come with its style: one that comes later moves the text.
AT_ONCE = re.compile(
    r"source-(?:serif-4|sans-3)-latin-wght-normal|source-serif-4-latin-wght-italic"
)
#: Names that scripts make of pieces, which no list of words holds.
COMPOSED = (
    "theme-switch",
    "only-dark",
    "only-light",
)

CHANGING = re.compile(r"(_static/\w+)-[0-9a-f]{12}/")  # a folder whose name tells its content
LINK = re.compile(r"[ \t]*<link\b[^>]*>\n?")
SCRIPT = re.compile(r"[ \t]*<script\b([^>]*)>(.*?)</script>\n?", re.S)
SRC = re.compile(r'\bsrc="([^"]*)"')
HREF = re.compile(r'\bhref="([^"]*)"')
MEDIA = re.compile(r'\bmedia="([^"]*)"')
IMG = re.compile(r"<img\b[^>]*>")
FONT = re.compile(r"url\([\"']?([^\"':)]+\.woff2)[\"']?\)")
MADE_OF = re.compile(r"/\* of: (.*?) \*/")
EMBEDDED = re.compile(r'(<img\b[^>]*?)src="data:image/(svg\+xml|png|webp|jpeg);base64,([^"]*)"')


class WeightError(RuntimeError):
    """The pages could not be made lighter; the message says why."""


@dataclass
class Page:
    """One page of the site while it is worked on."""

    path: Path
    site: Path
    html: str
    sheets: list[str] = field(default_factory=list)  # "path" or "path|media", from the root

    def inside(self, address: str) -> str | None:
        """What an address of this page is, from the site's root; None for another host."""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or not parts.path:
            return None
        there = os.path.normpath(self.path.parent / parts.path)
        return Path(os.path.relpath(there, self.site)).as_posix()

    def address(self, name: str) -> str:
        return Path(os.path.relpath(self.site / name, self.path.parent)).as_posix()


def _stem(name: str | None) -> str:
    """A script's name in ``_static``, as the tables above have it."""
    return (name or "").removeprefix(f"{STATIC}/")


# ---- the parts of a page -----------------------------------------------------------------------


def take_sheets(page: Page) -> None:
    """Note which stylesheets a page asks for, and leave a mark where the one will stand."""
    found: list[str] = []

    def take(match: re.Match[str]) -> str:
        link = match[0]
        name = page.inside(address[1]) if (address := HREF.search(link)) else None
        if 'rel="stylesheet"' in link and name:
            media = MEDIA.search(link)
            only = f"|{media[1]}" if media and media[1] != "all" else ""
            found.append(CHANGING.sub(r"\1-*/", name) + only)
            return "\0sheet\0" if len(found) == 1 else ""
        if 'as="script"' in link and (_stem(name) in JOINED or _stem(name) in DROPPED):
            return ""
        return link

    page.html = LINK.sub(take, page.html)
    page.sheets = found


def take_scripts(page: Page) -> None:
    """Join, defer or drop the scripts of a page; those that must run at once stay inline."""
    whole, joined = page.html, False

    def take(match: re.Match[str]) -> str:
        nonlocal joined
        attributes, body = match[1], match[2]
        if "data-cfasync" in attributes:
            return f"{GUARD}\n"
        if not (found := SRC.search(attributes)):
            if SILENT.match(body) and "type=" not in attributes:
                return ""
            if "window.MathJax" in body and "mathjax/" not in whole:
                return ""
            return match[0]
        name = _stem(page.inside(found[1]))
        if name in JOINED or re.fullmatch(rf"{NAME}-\w+\.js", name):
            first, joined = not joined, True
            return "\0script\0" if first else ""
        needed = DROPPED.get(name, re.compile(""))
        if needed is None or not needed.search(whole):
            return ""
        if re.search(r"\b(?:defer|async|type=.module)", attributes):
            return match[0]
        return match[0].replace("<script", "<script defer", 1)

    page.html = SCRIPT.sub(take, page.html)


def take_out_pictures(page: Page) -> None:
    """Put pictures that stand in the page's text, the stills of live figures, into files."""

    def take(match: re.Match[str]) -> str:
        kind, data = match[2], base64.b64decode(match[3])
        if len(data) < INLINE:
            return match[0]
        suffix = {"svg+xml": "svg"}.get(kind, kind)
        name = f"{PICTURES}/{hashlib.sha256(data).hexdigest()[:32]}.{suffix}"
        path = page.site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f'{match[1]}src="{page.address(name)}"'

    page.html = EMBEDDED.sub(take, page.html)


def size_pictures(page: Page) -> None:
    """Say how large each picture is, so that nothing moves when it comes; most come when near."""
    main = page.html.find("<main")
    first = True  # it may be in sight at once

    def sized(match: re.Match[str]) -> str:
        nonlocal first
        tag, more = match[0], ""
        source = SRC.search(tag)
        name = page.inside(source[1]) if source else None
        if not re.search(r"\s(?:width|height)=", tag):
            size = pictures.size(page.site / name) if name else None
            more += f' width="{size[0]}" height="{size[1]}"' if size else ""
        eager, first = first and match.start() > main, first and match.start() < main
        if not eager and " loading=" not in tag:
            more += ' loading="lazy"'
        return tag.replace("<img", f"<img{more}", 1)

    page.html = IMG.sub(sized, page.html)


def slim_pictures(site: Path, store: Path) -> None:
    """Make the site's figures smaller; one that was made so before is in the store."""
    shelf = store / PICTURES
    shelf.mkdir(parents=True, exist_ok=True)
    for path in sorted((site / PICTURES).glob("*.svg")):
        data = path.read_bytes()
        kept = shelf / hashlib.sha256(data).hexdigest()
        if not kept.is_file():
            done = pictures.slim(data.decode()).encode()
            kept.write_bytes(done)
            (shelf / hashlib.sha256(done).hexdigest()).write_bytes(done)
        path.write_bytes(kept.read_bytes())


# ---- what the pages share ----------------------------------------------------------------------


@dataclass
class Files:
    """The files of a site that are joined: there, or moved to the store by an earlier build."""

    site: Path
    store: Path
    taken: set[str] = field(default_factory=set)

    def has(self, name: str) -> bool:
        return (self.site / name).is_file() or (self.store / name).is_file()

    def read(self, name: str | Path) -> str:
        name = Path(name).as_posix()
        self.taken.add(name)
        for folder in (self.site, self.store):
            if (folder / name).is_file():
                return (folder / name).read_text(encoding="utf-8")
        raise WeightError(f"{name} is asked for by a page and is not there: build again")

    def present(self, name: str) -> str:
        """What a name with a star stands for: a folder that each build makes anew."""
        found = sorted(self.site.glob(name)) if "*" in name else []
        return found[0].relative_to(self.site).as_posix() if len(found) == 1 else name

    def put_away(self) -> None:
        """Move what was read out of the site."""
        for name in self.taken:
            if CHANGING.search(name):
                (self.site / name).unlink()
            elif (self.site / name).is_file():
                (self.store / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(self.site / name, self.store / name)

    def write(self, text: str, suffix: str) -> str:
        """Write a file whose name tells its content; others of its kind go."""
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        name = f"{STATIC}/{NAME}-{digest}{suffix}"
        for path in (self.site / STATIC).glob(f"{NAME}-*{suffix}"):
            if path.name != Path(name).name:
                path.unlink()
        (self.site / name).write_text(text, encoding="utf-8")
        return name


def join_scripts(files: Files, minify: Callable[[str], str]) -> str:
    """One script of those in `JOINED` that the site has."""
    parts = []
    for short in JOINED:
        if files.has(f"{STATIC}/{short}"):
            text = files.read(f"{STATIC}/{short}")
            text = re.sub(r"^//# sourceMappingURL=.*$", "", text, flags=re.M).strip()
            if short not in BARE:
                text = text if SMALL.search(short) else minify(text)
                text = f"try{{{text}\n}}catch(e){{console.error(e)}}"
            parts.append(text)
    return "\n".join(parts) + "\n"


def sheet_order(pages: list[Page], files: Files) -> list[str]:
    """The stylesheets of all pages, in an order that is each page's own."""
    lists: list[list[str]] = []
    for page in pages:
        names: list[str] = []
        for name in page.sheets:
            if re.fullmatch(rf"{STATIC}/{NAME}-\w+\.css", name):
                made = MADE_OF.match((files.site / name).read_text(encoding="utf-8"))
                names += made[1].split() if made else []
            else:
                names.append(name)
        if names and names not in lists:
            lists.append(names)
    order: list[str] = []
    for names in sorted(lists, key=len, reverse=True):
        at = 0
        for name in names:
            if name in order[at:]:
                at = order.index(name, at) + 1
            elif name in order:
                raise WeightError(f"pages ask for their stylesheets in different orders: {name}")
            else:
                order.insert(at, name)
                at += 1
    return order


def join_styles(order: list[str], files: Files, known: styles.Vocabulary) -> str:
    """One stylesheet, of what may match."""
    target = Path(STATIC, f"{NAME}.css")
    text = icons.style()
    for entry in order:
        name, _, media = entry.partition("|")
        name = files.present(name)
        body = styles.moved(files.read(name), Path(name), target, files.read)
        text += f"@media {media}{{{body}}}" if media else body
    css = styles.prune(text, known, lambda rule: not icons.is_glyph_rule(rule.head))
    css = FONT.sub(lambda font: _at_once(font, files.site / STATIC), icons.embed(css))
    return f"/* of: {' '.join(order)} */\n{css}\n"


def _at_once(address: re.Match[str], folder: Path) -> str:
    """The address of a font, or the font itself if the first lines of a page are set in it."""
    path = folder / address[1]
    if not AT_ONCE.fullmatch(path.stem) or not path.is_file():
        return address[0]
    return f"url(data:font/woff2;base64,{base64.b64encode(path.read_bytes()).decode()})"


def vocabulary(pages: list[Page]) -> styles.Vocabulary:
    """The words of all pages and of the scripts that they load, at once or later."""
    known = styles.Vocabulary()
    known.words.update(COMPOSED)
    scripts: set[Path] = set()
    for page in pages:
        known.add_page(page.html)
        for attributes, _ in SCRIPT.findall(page.html):
            if found := SRC.search(attributes):
                name = page.inside(found[1])
                if name:
                    scripts.add(page.site / name)
        scripts.update((page.site / STATIC / "live").glob("*.js"))
    for path in scripts:
        if path.is_file():
            known.add_script(path.read_text(encoding="utf-8"))
    return known


def html_files(site: Path) -> Iterator[Path]:
    """The pages of a site; the theme leaves templates in ``_static``."""
    for path in sorted(site.rglob("*.html")):
        if path.relative_to(site).parts[0] not in (STATIC, ALONE):
            yield path


def lighten(
    site: Path = SITE, store: Path = STORE, minify: Callable[[str], str] = lambda text: text
) -> tuple[str, str]:
    """Make all pages of a built site lighter; returns the names of the stylesheet and script."""
    pages = [Page(path, site, path.read_text(encoding="utf-8")) for path in html_files(site)]
    before = [page.html for page in pages]
    for page in pages:
        page.html = re.sub(r'(<html\b[^>]*\bdata-theme=)"auto"', r'\1"light"', page.html)
        take_sheets(page)
        take_scripts(page)
        page.html = icons.place(page.html)
        take_out_pictures(page)
        size_pictures(page)
    slim_pictures(site, store)
    files = Files(site, store)
    order = sheet_order(pages, files)
    script = files.write(join_scripts(files, minify), ".js")
    for page in pages:
        tag = f'<script defer src="{page.address(script)}"></script>\n'
        page.html = page.html.replace("\0script\0", tag)
    sheet = files.write(join_styles(order, files, vocabulary(pages)), ".css")
    for page, old in zip(pages, before, strict=True):
        tag = f'<link rel="stylesheet" href="{page.address(sheet)}">\n'
        page.html = page.html.replace("\0sheet\0", tag)
        if page.html != old:
            page.path.write_text(page.html, encoding="utf-8")
    files.put_away()
    for name in DROPPED:
        if not any(f"{STATIC}/{name}" in page.html for page in pages):
            (site / STATIC / name).unlink(missing_ok=True)
    shutil.rmtree(site / STATIC / "vendor" / "fontawesome", ignore_errors=True)
    return sheet, script
