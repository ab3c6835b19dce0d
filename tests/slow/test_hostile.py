"""All kinds of hostile notebooks, in every mode that this machine can make."""

from __future__ import annotations

from pathlib import Path

import pytest
from frames import fuzz, noise
from hostile import KINDS
from hostile_machine import Way, check, ways


def test_there_are_enough_kinds() -> None:
    assert sum(kind.deserves < 8 or len(kind.cells) > 5 for kind in KINDS.values()) >= 30


@pytest.mark.parametrize("way", ways(), ids=lambda way: way.name)
def test_strangers_lose_their_own_marks_alone(way: Way, tmp_path: Path) -> None:
    if way.why_not:
        pytest.skip(way.why_not)
    report = way.run(tmp_path / "machine")
    if report["problems"]:
        pytest.skip(f"{report['mode']}: {'; '.join(report['problems'])}")
    check(report)


def test_whatever_comes_is_a_value_or_no_answer() -> None:
    assert set(fuzz(100_000, noise, 2)) == {"value", "Bad", "Gone"}
