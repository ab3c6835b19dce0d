"""Whatever is handed in is a submission, or a reason; nothing ends the batch."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools.grader import batch

SOURCE = ["x = 1\n", "y = 2"]


def book(**changes: Any) -> dict[str, Any]:
    cells = [
        {"cell_type": "markdown", "id": "a", "source": ["Why: ", "because."]},
        {"cell_type": "code", "source": SOURCE, "outputs": [], "execution_count": None},
        {"cell_type": "raw", "source": "raw"},
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells} | changes


def text(**changes: Any) -> bytes:
    return json.dumps(book(**changes)).encode()


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return data.getvalue()


def encrypted() -> bytes:
    data = bytearray(packed({"x.ipynb": text()}))
    data[6] |= 1
    at = data.find(b"PK\1\2")
    data[at + 8] |= 1
    return bytes(data)


def damaged() -> bytes:
    data = bytearray(packed({"x.ipynb": text(filler="abc" * 5000)}))
    data[60:90] = bytes(30)
    return bytes(data)


def many() -> bytes:
    data = bytearray(packed({"x.ipynb": text()}))
    struct.pack_into("<H", data, data.rfind(b"PK\5\6") + 10, 60_000)
    return bytes(data)


GOOD = {
    "plain": text(),
    "byte order mark": b"\xef\xbb\xbf" + text(),
    "UTF-16": text().decode().encode("utf-16"),
    "zip": packed(
        {"a/the-game (1).ipynb": text(), "__MACOSX/a/._x.ipynb": b"?", "photo.png": b"?"}
    ),
    "stored zip": packed({"x.ipynb": text()}, zipfile.ZIP_STORED),
    "checkpoint beside it": packed({"x.ipynb": text(), ".ipynb_checkpoints/x.ipynb": text()}),
    "metadata is a list": text(metadata=[]),
    "metadata is text": text(metadata="otter"),
    "otter is null": text(metadata={"otter": None, "kernelspec": [], "language_info": 3}),
    "newer format": text(nbformat=9),
}
BAD = {
    "empty": (b"", "is empty"),
    "text": (b"dear teacher", "JSON is damaged"),
    "cut": (text()[:100], "cut off"),
    "list": (b"[1, 2]", "no cells"),
    "number": (b"3", "no cells"),
    "null": (b"null", "no cells"),
    "cells is text": (text(cells="x"), "no cells"),
    "cell is a number": (text(cells=[3]), "a cell that is none"),
    "no code": (text(cells=[]), "no code"),
    "old format": (json.dumps({"nbformat": 3, "worksheets": []}).encode(), "old format"),
    "deep": (b'{"cells":' + b"[" * 200_000, "nested too deeply"),
    "deep and closed": (b'{"cells":' + b"[" * 999 + b"]" * 999 + b"}", "nested too deeply"),
    "brackets": (b'{"cells":[' + b"[]," * 1_100_000 + b"[]]}", "too many lists"),
    "long number": (b'{"cells":' + b"9" * 10_000 + b"}", "JSON is damaged"),
    "long cell": (text(cells=[{"cell_type": "code", "source": "x" * 300_000}]), "characters"),
    "many cells": (text(cells=[{"cell_type": "code", "source": "x"}] * 500), "500 code cells"),
    "damaged zip": (damaged(), "damaged zip"),
    "half a zip": (packed({"x.ipynb": text()})[:-30], "damaged zip"),
    "encrypted zip": (encrypted(), "encrypted"),
    "zip of a zip": (packed({"x.zip": packed({"x.ipynb": text()})}), "unpack"),
    "zip of nothing": (packed({}), "0 notebooks"),
    "zip of two": (packed({"a.ipynb": text(), "b.ipynb": text()}), "2 notebooks"),
    "zip of many": (many(), "2000 files"),
    "LZMA": (packed({"x.ipynb": text()}, zipfile.ZIP_LZMA), "packed by a method"),
    "bomb": (packed({"x.ipynb": bytes(60_000_000)}), "unpacks to more"),
}  # fmt: skip
BAD["Latin-1"] = ('{"cells": ["\xfc"]}'.encode("latin-1"), "UTF-8")


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_a_notebook_is_read_however_it_is_packed(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_bytes(data)
    got = batch.read(path)
    assert got.cells == ("x = 1\ny = 2",)
    assert got.texts == (("a", "Why: because."),)
    assert isinstance(got.metadata, dict)


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_submission_has_a_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_bytes(data)
    with pytest.raises(batch.Unreadable, match=reason):
        batch.read(path)


def test_another_kernel_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_bytes(text(metadata={"kernelspec": {"language": "julia", "name": "julia-1.9"}}))
    assert batch.read(path).remarks == ("its kernel is julia; run as Python",)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "real.ipynb").write_bytes(text())
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "real.ipynb")
    (tmp_path / "nowhere.ipynb").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.ipynb")
    with (tmp_path / "huge.ipynb").open("wb") as file:
        file.truncate(200_000_000)
    for name, reason in {
        "folder": "is no file",
        "link": "is a link",
        "nowhere": "is a link",
        "pipe": "is no file",
        "huge": "200 MB",
        "missing": "FileNotFoundError",
    }.items():
        with pytest.raises(batch.Unreadable, match=reason):
            batch.read(tmp_path / f"{name}.ipynb")


def test_nothing_handed_in_vanishes(tmp_path: Path) -> None:
    inside = tmp_path / "b" / "c"
    inside.mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "odd.ipynb").mkdir()
    (tmp_path / "to").symlink_to(inside)
    for path in ("a.ipynb", "b/c/a.IPYNB", "b/essay.pdf", ".DS_Store", ".hidden/x.ipynb"):
        (tmp_path / path).write_bytes(text())
    names = [path.relative_to(tmp_path).as_posix() for path in batch.find(tmp_path)]
    assert names == ["a.ipynb", "b/c/a.IPYNB", "b/essay.pdf", "odd.ipynb", "to"]
    assert batch.find(tmp_path / "a.ipynb") == [tmp_path / "a.ipynb"]
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        batch.find(tmp_path / "none")


@pytest.mark.parametrize(
    "name",
    [b"M\xfcller.ipynb", b"a\nb.ipynb", b"=1+1.ipynb", "\u202egnp.ipynb".encode(), b"x" * 200],
)
def test_every_name_has_a_label(name: bytes) -> None:
    shown = batch.label(Path(os.fsdecode(name)))
    assert shown.isprintable()
    shown.encode("utf-8")
    assert len(shown) <= 300
