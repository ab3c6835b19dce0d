"""What the laboratory's lessons say of the seeds 100 to 111, counted anew."""

from __future__ import annotations

import re

import pytest

from ganlib.lab import gan


@pytest.mark.parametrize("name", gan.PRESETS)
def test_a_lesson_counts_right(name: str) -> None:
    preset = gan.PRESETS[name]
    lab = gan.GanLab(name)
    held = sum(preset.holds(lab.run(preset.steps, seed=seed)) for seed in gan.COUNTED)
    said = re.findall(r"in (\d+) of the 12 seeds 100 to 111", preset.claim)
    assert said == [str(held)]
