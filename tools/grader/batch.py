"""Many submissions: reading what people hand in, slots, results that a killed run leaves behind.

:func:`run` grades a folder. Whatever is wrong with a file is a record with its reason, and the
others go on. A record is written the moment it is there, under a hash of its path and of what it
depends on: the file, the tests, the secret, the grader. A second run keeps what still holds, and
overwrites no result. The judging itself is the caller's (:data:`Judge`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import queue
import stat
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

import torch

from tools.grader import wire
from tools.grader.asking import Limits, Sandboxed, plain
from tools.grader.hull import HullError, Mode, Slot, tidy

MAX_FILE = 20_000_000  # bytes, packed and unpacked
MAX_CELLS, MAX_CELL = 400, 200_000  # code cells; characters of one
MAX_BRACKETS = 1_000_000  # lists and objects in a notebook
MAX_ENTRIES = 2000  # files in a zip
NOTEBOOKS = (".ipynb", ".zip")
PASSED_OVER = ("__MACOSX", ".ipynb_checkpoints", "__pycache__")

#: Asks one student's notebook everything; ``(student, digest of the submission) -> result``, which
#: JSON can hold. It must not raise for what a student did.
Judge = Callable[[Sandboxed, str], dict[str, Any]]


# --------------------------------------------------------------------------------------------
# Reading
# --------------------------------------------------------------------------------------------


class Unreadable(Exception):
    """A file that is no submission; the message ends a sentence that begins with its name."""


@dataclass(frozen=True)
class Submission:
    """What a notebook holds: sources of its code and text cells, as they stand in it."""

    digest: str  # SHA-256 of the notebook's bytes
    cells: tuple[str, ...]
    texts: tuple[tuple[str, str], ...] = ()  # markdown cells: (id or "", source)
    metadata: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def read(path: Path) -> Submission:
    """The submission in a notebook, or in the one notebook of a zip.

    Raises
    ------
    Unreadable
        For everything else, whatever it is.
    """
    try:
        return _notebook(_contents(path))
    except Unreadable:
        raise
    except Exception as error:  # strangers' files: there is no end to what can be wrong
        raise Unreadable(f"is no readable notebook ({type(error).__name__})") from None


def _contents(path: Path) -> bytes:
    if os.path.islink(path):
        raise Unreadable("is a link, not a file")
    # Neither a link put there meanwhile nor a pipe that nobody writes to.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Unreadable("is no file")
    with open(descriptor, "rb") as file:
        if status.st_size > MAX_FILE:
            raise Unreadable(f"has {status.st_size / 1e6:.0f} MB; at most {MAX_FILE // 10**6}")
        data = file.read(MAX_FILE + 1)
    if not data:
        raise Unreadable("is empty")
    if data.startswith(b"PK"):
        return _unpacked(data)
    return data


def _unpacked(data: bytes) -> bytes:
    """The notebook in a zip."""
    end = data.rfind(b"PK\5\6")
    if end < 0 or len(data) < end + 22:
        raise Unreadable("is a damaged zip: its end is missing; hand it in again")
    if struct.unpack_from("<H", data, end + 10)[0] > MAX_ENTRIES:
        raise Unreadable(f"is a zip of more than {MAX_ENTRIES} files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [entry for entry in archive.infolist() if not _hidden(entry.filename)]
            notebooks = [e for e in inside if e.filename.lower().endswith(".ipynb")]
            if not notebooks and any(e.filename.lower().endswith(".zip") for e in inside):
                raise Unreadable("holds a zip in place of a notebook; unpack it")
            if len(notebooks) != 1:
                raise Unreadable(f"holds {len(notebooks)} notebooks; it must hold one")
            (entry,) = notebooks
            if entry.flag_bits & 1:
                raise Unreadable("is encrypted")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Unreadable("is packed by a method other than zip's own")
            with archive.open(entry) as file:
                unpacked = file.read(MAX_FILE + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise Unreadable("is a damaged zip; hand it in again") from None
    if len(unpacked) > MAX_FILE:
        raise Unreadable(f"unpacks to more than {MAX_FILE // 10**6} MB")
    return unpacked


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part in PASSED_OVER for part in name.split("/") if part)


def _notebook(data: bytes) -> Submission:
    text = data
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = text.decode("utf-16").encode("utf-8", "replace")
    text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("is no text in UTF-8") from None
    brackets = text.count(b"[") + text.count(b"{")
    if brackets > MAX_BRACKETS or wire.depth(text) > wire.MAX_DEPTH:
        raise Unreadable("is nested too deeply, or holds too many lists, to be a notebook")
    try:
        book = json.loads(text)
    except ValueError:
        raise Unreadable("is cut off, or no notebook: its JSON is damaged") from None
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        if isinstance(book, dict) and "worksheets" in book:
            raise Unreadable("is a notebook of an old format; open and save it in Jupyter")
        raise Unreadable("is JSON, but no notebook: it has no cells")
    code: list[str] = []
    texts: list[tuple[str, str]] = []
    for cell in book["cells"]:
        if not isinstance(cell, dict):
            raise Unreadable("holds a cell that is none")
        source = cell.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        source = wire.clean(source, MAX_CELL + 1)
        if len(source) > MAX_CELL:
            raise Unreadable(f"has a cell of more than {MAX_CELL} characters")
        if cell.get("cell_type") == "code":
            code.append(source)
        elif cell.get("cell_type") == "markdown":
            texts.append((wire.clean(cell.get("id", ""), 64), source))
    if len(code) > MAX_CELLS or sum(map(len, code)) > wire.MAX_JSON // 2:
        raise Unreadable(
            f"has {len(code)} code cells of {sum(map(len, code))} characters: too much"
        )
    if not any(source.strip() for source in code):
        raise Unreadable("has no code in it")
    metadata = book.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    language = _language(metadata)
    remarks = (
        () if language == "python" else (f"its kernel is {plain(language, 30)}; run as Python",)
    )
    digest = hashlib.sha256(data).hexdigest()
    return Submission(digest, tuple(code), tuple(texts), metadata, remarks)


def _language(metadata: dict[str, Any]) -> str:
    for key, name in (("kernelspec", "language"), ("language_info", "name")):
        part = metadata.get(key)
        if isinstance(part, dict) and isinstance(part.get(name), str):
            return str(part[name]).lower()
    return "python"


def find(folder: Path) -> list[Path]:
    """What was handed in: the file itself, or all in a folder but hidden files, sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    """
    if not folder.exists():
        raise FileNotFoundError(f"no such file or folder: {folder}")
    if not folder.is_dir():
        return [folder]
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        # A folder that is called notebook, or a link to one, would otherwise vanish.
        odd = [
            n for n in folders if n.endswith(NOTEBOOKS) or os.path.islink(os.path.join(place, n))
        ]
        folders[:] = [n for n in folders if n not in odd and not _hidden(n)]
        found += [Path(place, name) for name in (*files, *odd) if not _hidden(name)]
    return sorted(found, key=os.fsencode)


def label(path: Path) -> str:
    """A path as text that every table and page can show: odd bytes and signs written out."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return plain(text, 300)


# --------------------------------------------------------------------------------------------
# Records
# --------------------------------------------------------------------------------------------


@dataclass
class Record:
    """What grading one file gave.

    ``status``: "graded"; "not graded", for what is no submission; "failed", where the grader
    itself did. ``path`` identifies the file: a hash of its name below the folder, as bytes.
    """

    path: str
    label: str
    key: str  # of the file, the tests, the secret and the grader
    digest: str = ""
    status: str = "not graded"
    note: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what happened to its cells
    texts: list[list[str]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    handed_in: float = 0.0  # when the file was last changed; seconds since 1970
    graded: float = 0.0
    seconds: float = 0.0  # of CPU
    clock: float = 0.0
    mode: str = ""

    @property
    def name(self) -> str:
        return f"{self.path[:20]}-{self.key[:20]}.json"


def _hash(*parts: str | bytes) -> str:
    lengths = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
        lengths.update(len(data).to_bytes(8, "little") + data)
    return lengths.hexdigest()


def engine() -> str:
    """Digest of the grader's own code and of the torch that it runs."""
    here = Path(__file__).resolve().parent
    files = sorted(here.glob("*.py"))
    return _hash(torch.__version__, sys.version, *(file.read_bytes() for file in files))


def write(path: Path, text: str) -> None:
    """All or nothing, even if the machine is switched off meanwhile."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def records(out: Path) -> list[Record]:
    """All records in ``out``, oldest first; what is no record is passed over."""
    known = {f.name for f in fields(Record)}
    found = []
    for file in (out / "results").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            content = json.loads(file.read_text(encoding="utf-8"))
            found.append(Record(**{k: v for k, v in content.items() if k in known}))
    return sorted(found, key=lambda record: (record.graded, record.name))


# --------------------------------------------------------------------------------------------
# The batch
# --------------------------------------------------------------------------------------------


def grade_one(
    slot: Slot, submission: Submission, judge: Judge, limits: Limits | None = None
) -> tuple[dict[str, Any], list[str], float]:
    """(result, what happened to the cells, CPU seconds) of one submission.

    Raises
    ------
    HullError
        If the hull failed twice: no fault of the submission.
    """
    for attempt in (1, 2):
        with Sandboxed(slot, submission.cells, limits) as student:
            try:
                result = judge(student, submission.digest)
                return result, [str(note) for note in student.notes], student.cpu
            except HullError:
                slot.stop()
                if attempt == 2:
                    raise
    raise AssertionError("not reached")


@dataclass(frozen=True)
class Batch:
    """How to grade.

    ``tests``: digest of all that decides marks, such as the questions and their constants.
    """

    judge: Judge
    tests: str
    secret: str
    mode: Mode
    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    silent: Sequence[str] = ()
    extra: Sequence[Path] = ()

    def key(self, digest: str) -> str:
        return _hash(digest, self.tests, self.secret, json.dumps(asdict(self.limits)), engine())


def run(
    folder: Path,
    out: Path,
    how: Batch,
    progress: TextIO | None = None,
    standing: Sequence[Slot] = (),
) -> list[Record]:
    """Grade all in ``folder``; the records of what is there now, in order of their paths.

    ``out/results`` holds a file for each record, also of earlier runs and other folders.
    ``progress``: where to show it, such as ``sys.stderr``. ``standing``: slots to use in place of
    new ones; they are left standing.
    """
    tidy()
    paths = find(folder)
    base = folder if folder.is_dir() else folder.parent
    (out / "results").mkdir(parents=True, exist_ok=True)
    out.chmod(0o700)
    earlier = {record.key: record for record in records(out) if record.status == "graded"}
    if progress is not None:
        progress.write(f"{len(paths)} files; strangers' code is shut in by {how.mode}\n")
    bar = Progress(len(paths), progress)
    done: dict[Path, Record] = {}
    slots: queue.SimpleQueue[Slot] = queue.SimpleQueue()
    made = [
        Slot(how.mode, number, silent=how.silent, extra=how.extra)
        for number in range(0 if standing else how.jobs)
    ]
    for slot in standing or made:
        slots.put(slot)

    def task(path: Path) -> Record:
        record, submission = _begin(path, base, how)
        old = earlier.get(record.key)
        if submission is None:
            pass
        elif old is not None:
            kept = old.__dict__ | {
                # What was graded before is asked for now: it is the newest again.
                n: getattr(record, n)
                for n in ("path", "label", "handed_in", "graded")
            }
            record = Record(**kept)
            bar.kept += 1
        else:
            slot = slots.get()
            try:
                _grade(record, slot, submission, how)
            finally:
                slots.put(slot)
        if not (out / "results" / record.name).exists() or record.status == "graded":
            write(out / "results" / record.name, json.dumps(asdict(record)))
        return record

    pool = ThreadPoolExecutor(len(standing) or how.jobs)
    try:
        waiting = {pool.submit(task, path): path for path in paths}
        for future in as_completed(waiting):
            record = done[waiting[future]] = future.result()
            bar.step(record)
    finally:
        # Ctrl-C as well: what runs is ended, and what has ended is on disk.
        pool.shutdown(wait=False, cancel_futures=True)
        for slot in made:
            slot.stop()
        pool.shutdown()
        bar.end()
    return [done[path] for path in paths]


def _begin(path: Path, base: Path, how: Batch) -> tuple[Record, Submission | None]:
    """A record for the file, and the submission in it if there is one."""
    relative = Path(os.path.relpath(path, base))
    record = Record(_hash(os.fsencode(relative)), label(relative), key="")
    record.graded = time.time()
    with contextlib.suppress(OSError):
        record.handed_in = os.lstat(path).st_mtime
    try:
        if path.suffix.lower() not in NOTEBOOKS:
            raise Unreadable("is neither a notebook (.ipynb) nor a zip of one")
        submission = read(path)
    except Unreadable as reason:
        record.note = str(reason)
        record.key = _hash(record.path, str(record.handed_in), record.note)
        return record, None
    record.digest, record.key = submission.digest, how.key(submission.digest)
    record.texts = [list(pair) for pair in submission.texts]
    record.metadata = submission.metadata
    record.notes = list(submission.remarks)
    return record, submission


def _grade(record: Record, slot: Slot, submission: Submission, how: Batch) -> None:
    """Fill in what grading gives; whatever fails, the batch goes on."""
    began = time.monotonic()
    try:
        record.result, notes, record.seconds = grade_one(slot, submission, how.judge, how.limits)
        record.notes += notes
        record.status = "graded"
    except Exception as error:
        record.status = "failed"
        record.note = f"the grader failed ({type(error).__name__}: {plain(error, 200)}); run again"
    record.graded, record.clock = time.time(), round(time.monotonic() - began, 2)
    record.seconds, record.mode = round(record.seconds, 2), str(how.mode)


class Progress:
    """A line that says how far a batch is: one line on a terminal, one a submission elsewhere."""

    def __init__(self, total: int, stream: TextIO | None) -> None:
        self.total, self.stream = total, stream
        self.number = self.kept = 0
        self.began = time.monotonic()
        self.moves = stream is not None and stream.isatty()

    def step(self, record: Record) -> None:
        self.number += 1
        if self.stream is None:
            return
        graded = self.number - self.kept
        left = (self.total - self.number) * (time.monotonic() - self.began) / max(graded, 1)
        words = f"{self.number}/{self.total}, {left / 60:.0f} min left: {record.label}"
        words += "" if record.status == "graded" else f" ({record.status}: {record.note})"
        self.stream.write(f"\r\033[K{words[:110]}" if self.moves else f"{words}\n")
        self.stream.flush()

    def end(self) -> None:
        if self.stream is not None:
            clear = "\r\033[K" if self.moves else ""
            seconds = time.monotonic() - self.began
            kept = f", {self.kept} kept from before" if self.kept else ""
            self.stream.write(f"{clear}{self.number} of {self.total} in {seconds:.0f} s{kept}\n")
            self.stream.flush()
