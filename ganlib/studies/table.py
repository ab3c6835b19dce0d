"""The table of a study on disk: one line a row, whole or not there.

A CSV file with the columns :data:`COLUMNS`, of which ``key`` is one row's alone. One process
writes at a time; what a killed one left half-written is cut off by the next.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

__all__ = ["COLUMNS", "Table"]

#: Of the file; ``settings``, ``versions`` and ``measured`` are JSON.
COLUMNS = (
    "key", "settings", "seed", "steps", "engine", "why", "cpu_seconds", "wall_seconds",
    "finite", "error", "measured", "versions",
)  # fmt: skip


class Table:
    """A table file that this process alone may write, as a context manager.

    Attributes
    ----------
    path
        The file; None keeps the rows in memory.
    rows
        Key -> row, of every study in the file.

    Raises
    ------
    ValueError
        On entering, if the file is no such table.
    BlockingIOError
        If another process has it open.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self.rows: dict[str, dict[str, str]] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Table:
        if self.path is None:
            return self
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder; name a file, such as study.csv")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b", buffering=0)
        try:
            _lock(self._file, self.path)
            self._read(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()  # and with it goes the lock

    def append(self, rows: Sequence[dict[str, str]]) -> None:
        """Write rows: all of them, or, if the disk refuses, none.

        Raises
        ------
        OSError
            If they cannot be written: the file is as it was.
        """
        if self._file is not None:
            self._write(_lines([[row[name] for name in COLUMNS] for row in rows]))
        self.rows.update({row["key"]: row for row in rows})

    def _read(self, file: IO[bytes]) -> None:
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        header = _lines([COLUMNS])
        # Before anything is cut: a table it must be, or the beginning of one.
        if not (whole.startswith(header) or (not whole and header.startswith(content))):
            raise ValueError(
                f"{self.path} is no table of a study: its first line is not {header.decode()!r}; "
                "name another file"
            )
        if whole != content:
            file.truncate(len(whole))
        if not whole:
            self._write(header)
        for number, line in enumerate(whole[len(header) :].decode().split("\n")[:-1], 2):
            entries = next(csv.reader([line]), [])
            if len(entries) != len(COLUMNS):
                raise ValueError(
                    f"line {number} of {self.path} has {len(entries)} entries in place of "
                    f"{len(COLUMNS)}; mend it or take it out"
                )
            row = dict(zip(COLUMNS, entries, strict=True))
            self.rows[row["key"]] = row

    def _write(self, lines: bytes) -> None:
        assert self._file is not None
        before = os.fstat(self._file.fileno()).st_size
        try:
            rest = lines
            while rest:  # a disk that fills up takes a part
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            os.truncate(self._file.fileno(), before)
            raise type(error)(
                error.errno,
                f"a row cannot be written to {self.path} ({error.strerror}); make room and call "
                "sweep again: the rows that are there stay",
            ) from error


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _lock(file: IO[bytes], path: Path) -> None:
    """Hold the file until it is closed, or the process dead; Windows has no such lock."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            error.errno, f"another study is writing to {path}; wait for its end, or name another"
        ) from error
