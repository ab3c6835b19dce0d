"""A class that hands in: right answers, mistakes, strangers, broken files; what each deserves."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from tools.grader import marking

sys.path.insert(0, str(Path(__file__).parent / "exercises"))
from game_answers import MISTAKES, OWN, PLAIN, cells

NAME = "the-game"
GAME = marking.load(NAME)
LOOP = "while True:\n    pass"
#: What is put before a right notebook's answers, and whether its marks survive (all, or none).
HOSTILE = {
    "exit": ("exit()", True),
    "loop": (LOOP, True),
    "folder": ("%cd /", True),
    "killer": ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)", True),
    "forger": (
        "import atexit\natexit.register(lambda: open('results.json', 'w').write('{\"q1\": 99}'))",
        True,
    ),
    "bomb": ("import os\nfor _ in range(200):\n    if os.fork() == 0:\n        os.setsid()", None),
}
BROKEN = {
    "damaged.zip": b"PK\x03\x04 and no more",
    "deep.ipynb": b"[" * 100_000,
    "empty.ipynb": b"",
    "=HYPERLINK(1).ipynb": b'{"cells": 3}',
    "latin.ipynb": '{"cells": "m\xfcde"}'.encode("latin-1"),
}


def notebook(sources: list[str]) -> str:
    found = [
        {"cell_type": "code", "source": s, "metadata": {}, "outputs": [], "execution_count": None}
        for s in sources
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": found})


def hand_in(folder: Path, count: int, seed: int = 0) -> dict[str, tuple[float, float] | None]:
    """Write ``count`` submissions; the least and most points each deserves, None for no notebook.

    A tenth of the files is hostile, a tenth broken; mistakes are drawn by ``seed``.
    """
    draw = random.Random(seed)
    full = GAME.points
    worth = {q.name: q.points for q in GAME.questions}
    deserved: dict[str, tuple[float, float] | None] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        kind = number % 10
        if kind == 9:
            name = list(BROKEN)[number // 10 % len(BROKEN)]
            label = f"{name.partition('.')[0]}{number:03d}.{name.partition('.')[2]}"
            (folder / label).write_bytes(BROKEN[name])
            deserved[label] = None
            continue
        # Mistakes are changes to the plain style.
        answers = dict(PLAIN if 4 <= kind < 8 else draw.choice([PLAIN, OWN]))
        before, least, most = [], full, full
        if kind == 8:
            what = list(HOSTILE)[number // 10 % len(HOSTILE)]
            before, survives = [HOSTILE[what][0]], HOSTILE[what][1]
            least = full if survives else 0.0
        elif kind >= 4:
            mistake = draw.choice([m for m in MISTAKES if m.code])
            answers[mistake.question] = mistake.code
            least = full - worth[mistake.question] + mistake.deserved - 0.5
            most = least + 1
            what = f"{mistake.question}-{mistake.name}"
        else:
            what = "right"
        label = "".join(c if c.isalnum() else "-" for c in what) + f"{number:03d}.ipynb"
        (folder / label).write_text(notebook([*before, *cells(GAME.k, answers)]))
        deserved[label] = (least, most)
    return deserved
