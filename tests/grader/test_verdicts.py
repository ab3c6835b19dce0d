"""What a verdict says: which number is wrong, what came, what was due."""

from __future__ import annotations

import pytest

from tools.grader.questions import Draw, Wrong, judge

SAID = {
    "a number": ([1.5], [1.0], {}, "f at x = 2: you get 1.5, due is 1."),
    "an entry": (
        [1.0, 5.0, 3.0, 7.0], [1.0, 2.0, 3.0, 4.0], {},
        "f, entry 1, counted from 0, at x = 2 (2 of 4 numbers are wrong): you get 5, due is 2.",
    ),
    "a row": (
        [1.0, 2.0, 3.0, 7.0], [1.0, 2.0, 3.0, 4.0], {"shape": (2, 2)},
        "f, row 1, column 1, counted from 0, at x = 2 (1 of 4 numbers are wrong): you get 7",
    ),
    "cases of their own": (
        [1.0, 5.0], [1.0, 2.0], {"case": ["z = 1", "z = 2"]}, "f at z = 2: you get 5",
    ),
    "rounded": ([1.364], [1.36371], {}, "That is close: was it rounded, or cut off too early?"),
    "a slip": ([-1.0], [1.0], {}, "f: the sign."),
    "nan": ([float("nan")], [1.0], {}, "f at x = 2 is nan (not a number)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAID)
def test_what_a_verdict_says(kind: str) -> None:
    got, right, options, words = SAID[kind]
    with pytest.raises(Wrong) as wrong:
        judge(got, right, [([-1.0], "the sign.")], "f", **{"case": "x = 2", **options})
    assert words in str(wrong.value)


@pytest.mark.parametrize(("least", "most"), [(2, 30), (0, 24), (3, 30)])
def test_masses_sum_to_one_and_stay_in_their_range(least: int, most: int) -> None:
    for number in range(50):
        found = Draw(str(number)).masses(5, least=least, most=most)
        assert found.sum() == 1
        assert found.min() >= least / 64
        assert found[:-1].max() <= most / 64
