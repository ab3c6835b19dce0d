"""The lessons of the laboratory: their numbers are counts of runs that can be made again."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")

from ganlib import metrics
from ganlib.lab import gan
from ganlib.lab import lessons as command
from ganlib.lab.gan import lessons, presets
from ganlib.lab.gan.presets import PRESETS, Scores

TRIALS = [(name, key) for name, preset in PRESETS.items() for key in preset.trials]
TEXTS = ("claim", "suggestion", "answer")


def rows() -> dict[tuple[str, int, int], lessons.Row]:
    return {row.key: row for row in lessons.read(lessons.FILE)[1]}


def assert_as_in_the_file(made: list[lessons.Row], there: dict[Any, lessons.Row]) -> None:
    """Six digits of every score; the page's bits are those of the same module."""
    for row in made:
        expected = there[row.key].scores._asdict()
        found = row.scores._asdict()
        assert found == pytest.approx(expected, rel=2e-5, abs=1e-9, nan_ok=True), row.settings


# --- the file -------------------------------------------------------------------------------


def test_the_file_has_the_runs_of_every_lesson_and_no_others() -> None:
    wanted = {
        (lessons.digest(chosen), step, seed)
        for chosen, steps in lessons.wanted()
        for step in steps
        for seed in lessons.SEEDS
    }
    wanted |= {
        (lessons.digest_of(sampler, chosen["target"]), 0, seed)
        for chosen, _ in lessons.wanted()
        for sampler in lessons.SAMPLERS
        for seed in lessons.SEEDS
    }
    said, found = lessons.read(lessons.FILE)
    keys = [row.key for row in found]
    assert set(keys) == wanted, f"run `{lessons.COMMAND}`"
    assert len(keys) == len(wanted)
    assert len(lessons.SEEDS) >= 30
    assert not set(lessons.SEEDS) & set(range(112))  # on those the settings were chosen
    assert said
    assert all(re.match(rf"# \d{{4}}-\d\d-\d\d: \d+ runs by `{lessons.COMMAND}`", s) for s in said)
    for part in ("ganlib", "torch", "numpy", "ziglang", "Python"):
        assert all(f"{part} " in line for line in said)


@pytest.mark.parametrize(
    ("name", "key", "seed"),
    [("saturation", "itself", 200), ("saturation", "none", 229), ("collapse", "itself", 217),
     ("least-squares", "half_way", 208), ("healthy", "itself", 222)],
)  # fmt: skip
def test_a_run_of_the_file_can_be_made_again(name: str, key: str, seed: int) -> None:
    preset = PRESETS[name]
    trial = preset.trials[key]
    chosen = gan.settings(**{**preset.settings, **trial.changes, "seed": seed})
    there = rows()
    made = command.trained(chosen, [trial.steps])
    assert_as_in_the_file(made, there)
    # What the page shows after so many steps is what the file says.
    if name == "saturation":
        seen = gan.scores(gan.GanLab(name, **trial.changes).run(trial.steps, seed=seed))
        assert seen == made[0].scores
    # The planted fault: a count that somebody improved.
    row = there[made[0].key]
    there[row.key] = row._replace(scores=row.scores._replace(modes=row.scores.modes + 1))
    with pytest.raises(AssertionError, match=re.escape(row.settings)):
        assert_as_in_the_file(made, there)


@pytest.mark.parametrize("target", ["ring", "swiss-roll"])
def test_the_samplers_that_train_nothing_can_be_drawn_again(target: str) -> None:
    assert_as_in_the_file(command.untrained(target, 203), rows())
    perfect, disc = (lessons.samplers(target)[name].runs for name in ("perfect", "disc"))
    for best, featureless in zip(perfect, disc, strict=True):
        assert best.divergence < featureless.divergence / 10
        if target == "ring":
            # Within six standard errors of 2,500 samples.
            expected = metrics.perfect_high_quality()
            spread = 6 * math.sqrt(expected * (1 - expected) / 2500)
            assert best.quality == pytest.approx(expected, abs=spread)
            assert best.fair == best.modes == featureless.modes == 8  # modes alone say little
            assert featureless.quality < 0.2


def test_a_changed_lesson_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = PRESETS["healthy"]
    slower = preset._replace(settings={"rate_g": 2e-3})
    monkeypatch.setitem(PRESETS, "healthy", slower)
    with pytest.raises(
        LookupError, match=f"lacks 30 of 30 runs .*'healthy'.*run `{command.COMMAND}"
    ):
        lessons.told("healthy")
    with pytest.raises(LookupError, match="lacks"):
        gan.GanLab("collapse")  # a page would print all lessons
    monkeypatch.setitem(PRESETS, "healthy", preset._replace(steps=850))
    with pytest.raises(LookupError, match="step 850"):
        lessons.told("healthy")
    monkeypatch.setitem(PRESETS, "healthy", preset)
    lessons.told("healthy")
    ring = gan.TARGETS["ring"]
    monkeypatch.setitem(gan.TARGETS, "ring", ring._replace(std=0.06))
    with pytest.raises(LookupError, match="lacks"):
        lessons.told("healthy")


def test_a_claim_is_counted_anew_without_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = PRESETS["healthy"]
    monkeypatch.setitem(PRESETS, "healthy", preset._replace(holds=lambda seen: False))
    assert "in 0 of 30 runs" in lessons.told("healthy").claim


# --- the texts ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_lesson_prints_its_counts_from_the_file(name: str) -> None:
    preset, said = PRESETS[name], lessons.told(name)
    held = sum(map(preset.holds, lessons.counted(name)["itself"].runs))
    assert f"in {held} of 30 runs" in said.claim
    for text in TEXTS:
        typed = getattr(preset, text)
        assert not re.search(r"\d+ of (the )?\d\d? (runs|seeds)|\bin \d+ of\b", typed), text
        assert "{" not in getattr(said, text)
    # What it asks is answered, with the number of each setting that it speaks of.
    assert "?" in preset.suggestion
    assert set(re.findall(r"\{(\w+)\.held\}", preset.claim + preset.answer)) == set(preset.trials)
    # A score stands beside the perfect sampler's and a featureless one's.
    labels = [row[0] for row in said.rows]
    assert labels[-3:] == ["perfect sampler", "featureless disc", "one Gaussian"]
    assert len({len(row) for row in [said.columns, *said.rows]}) == 1
    if "quality" in preset.claim:
        assert {"{disc.quality}", "{perfect.quality}"} <= set(
            re.findall(r"\{[\w.]+\}", preset.claim + preset.answer)
        )


def test_words_that_are_no_count_hold_on_the_same_runs() -> None:
    wasserstein = lessons.counted("wasserstein")
    for score in ("span", "pull"):  # "Clipping is the flattest, no penalty the steepest"
        for runs in zip(
            *(wasserstein[key].runs for key in ("clip", "itself", "none")), strict=True
        ):
            values = [getattr(seen, score) for seen in runs]
            assert values == sorted(values), score
    squares = lessons.counted("least-squares")
    assert squares["half_way"].held < 10 < 27 <= squares["itself"].held
    assert squares["at_real"].held >= 27
    assert "minimise" not in PRESETS["least-squares"].suggestion
    threshold = 0.2  # of the Swiss roll: below every disc
    assert min(seen.divergence for seen in lessons.samplers("swiss-roll")["disc"].runs) > threshold


def test_a_number_is_said_with_two_digits() -> None:
    def one(**scores: float) -> lessons.Counted:
        blank = dict.fromkeys(Scores._fields, math.nan)
        return lessons.Counted("", 0, 0, tuple(
            Scores(**{**blank, **dict(zip(scores, pair, strict=True))})
            for pair in zip(*scores.values(), strict=True)
        ))  # fmt: skip

    found = one(quality=(0.1, 0.2, 0.131), pull=(27.82, 0.00231, 0.5), modes=(8, 5, 6))
    assert found.median("quality") == "13 %"
    assert found.range("quality") == "10 to 20 %"
    assert found.range("pull") == "0.0023 to 28"
    assert found.median("modes") == "6"
    assert found.range("divergence") == "–"
    assert one(modes=(8, 8)).range("modes") == "8"
    assert one(modes=(8, 5)).median("modes") == "6.5"


# --- the command ----------------------------------------------------------------------------


def test_an_interrupted_count_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = PRESETS["healthy"]._replace(steps=50, others={})
    for module in (lessons, presets):  # taking entries out would put them back in another order
        monkeypatch.setattr(module, "PRESETS", {"short": short})
    path = tmp_path / "lessons.csv"
    first = command.count(path, range(2))
    assert len(first) == 2 + 2 * len(lessons.SAMPLERS)
    lines = path.read_text().splitlines(keepends=True)
    assert lines[0].startswith("# ")
    assert next(csv.reader(lines[1:2])) == list(lessons.COLUMNS)
    # Killed in the middle of a line, with a row that no lesson asks for.
    stray = lines[2].replace(lessons.digest(gan.settings()), "0123456789")
    path.write_text("".join([*lines[:3], stray, *lines[4:], lines[3][:25]]))
    made: list[Any] = []
    trained = command.trained
    monkeypatch.setattr(command, "trained", lambda *given: made.append(given) or trained(*given))
    again = command.count(path, range(2))
    assert [given[0]["seed"] for given in made] == [1]
    assert path.read_text().splitlines()[2:] == "".join(lines).splitlines()[1:]
    assert [row.key for row in again] == [row.key for row in first]
    before = path.read_text()
    command.count(path, range(2))
    assert path.read_text() == before


def test_the_command_prints_every_lesson(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "count", lambda jobs: None)
    command.main([])
    printed = capsys.readouterr().out
    for name in PRESETS:
        assert lessons.told(name).answer in printed
