"""A student in this very process: quick, and no protection at all. For an assignment's own tests.

It asks and answers as :class:`tools.grader.asking.Sandboxed` does, frames and all, but runs the
cells here. Never give it a stranger's notebook.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from tools.grader.asking import Injection, Local, Note


class InProcess(Local):
    """Runs ``cells`` by ``exec``, and answers from what they define."""

    def __init__(self, cells: Sequence[str]) -> None:
        super().__init__({})
        self.cells = tuple(cells)
        self.notes: list[Note] = []
        self.injection: Injection | None = None
        self.ran = False

    def begin(self, seconds: float, injection: Injection | None = None) -> None:
        """A question begins: other injected names mean fresh ones."""
        if self.ran and injection == self.injection:
            return
        self.injection, self.ran, self._kept = injection, True, []
        scratch: dict[str, Any] = {}
        exec(injection.source if injection else "", scratch)
        extra = {name: scratch[name] for name in (injection.names if injection else ())}
        names: dict[str, Any] = {"__name__": "__main__", **extra}
        for number, source in enumerate(self.cells, 1):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(source, f"<cell {number}>", "exec"), names)
            except Exception as error:
                note = Note(number, f"raised {type(error).__name__}: {error}"[:200])
                self.notes += [note] if note not in self.notes else []
            names.update(extra)
        self.names = names

    def _ask(self, *ask: Any) -> tuple[dict[str, Any], bytes]:
        with contextlib.redirect_stdout(io.StringIO()):
            return super()._ask(*ask)

    def end(self) -> None:
        self.ran = False
