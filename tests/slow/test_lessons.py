"""What the laboratory's lessons say, counted anew: every run of their file."""

from __future__ import annotations

import math

import pytest

from ganlib.lab import lessons as command
from ganlib.lab.gan import lessons

WANTED = {lessons.in_words(chosen): (chosen, steps) for chosen, steps in lessons.wanted()}


@pytest.mark.parametrize("name", WANTED)
def test_the_runs_of_a_lesson_are_those_of_the_file(name: str) -> None:
    chosen, steps = WANTED[name]
    there = {row.key: row for row in lessons.read(lessons.FILE)[1]}
    for seed in lessons.SEEDS:
        for row in command.trained({**chosen, "seed": seed}, steps):
            expected = there[row.key].scores
            for score, found in row.scores._asdict().items():
                wanted = getattr(expected, score)
                assert math.isclose(found, wanted, rel_tol=2e-5, abs_tol=1e-9) or (
                    math.isnan(found) and math.isnan(wanted)
                ), (name, row.step, seed, score)


@pytest.mark.parametrize("target", dict.fromkeys(c["target"] for c, _ in lessons.wanted()))
def test_samplers_that_train_nothing(target: str) -> None:
    there = {row.key: row for row in lessons.read(lessons.FILE)[1]}
    for seed in lessons.SEEDS:
        for row in command.untrained(target, seed):
            assert row.scores.divergence == pytest.approx(there[row.key].scores.divergence, 1e-4)
