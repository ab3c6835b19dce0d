"""A run on disk: what was written is read, what belongs elsewhere is refused, nothing is lost."""

from __future__ import annotations

import builtins
import collections
import enum
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from ganlib import data, losses, metrics, networks, optimisers, options, penalties, training
from ganlib.checkpoint import Checkpoint, described, digest, plain, unplain

VALUES = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))


class Score(NamedTuple):
    modes: int
    quality: float


WATCHED: dict[str, Any] = {
    "number": 1.5, "whole": 3, "truth": True, "nothing": None, "word": "yes",
    "numpy number": np.float64(2.5), "numpy whole": np.int32(4),
    "array": np.arange(6.0).reshape(2, 3), "tensor": torch.arange(3),
    "named": Score(8, 0.5), "nested": {"a": [1, (2.0, "b")], 3: Score(1, 0.1), (0, 1): 2},
    "torch's own tuple": tuple(torch.arange(6.0).reshape(2, 3).max(0)), "shape": (2, 3),
}  # fmt: skip


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        fields = getattr(a, "_fields", None)
        return (
            fields == getattr(b, "_fields", None)
            and isinstance(b, list) == isinstance(a, list)
            and len(a) == len(b)
            and all(map(same, a, b))
        )
    return bool(a == b)


@pytest.mark.parametrize("name", WATCHED)
def test_what_watch_returns_comes_back(name: str, tmp_path: Path) -> None:
    value = WATCHED[name]
    file = tmp_path / "value.pt"
    Checkpoint(file, {}).save({"value": plain(value, name)})
    assert same(value, unplain(Checkpoint(file, {}).load()["value"]))


def players(hidden: int = 8, seed: int = 0) -> tuple[nn.Sequential, nn.Sequential]:
    return (
        networks.mlp(2, hidden, 2, seed=seed),
        networks.mlp(2, hidden, 1, seed=seed + 1),
    )


def weights(*modules: nn.Module) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for m in modules for w in m.parameters()])


def test_a_run_that_watches_scores_goes_on(tmp_path: Path) -> None:
    ring = data.ring()

    def run(pair: Any, steps: int, file: Path | None) -> training.History:
        def watch(step: int) -> dict[str, Any]:
            samples = training.sample(pair[0], 200)
            return {
                "score": metrics.mode_coverage(samples, ring.centres, ring.std),
                "array": samples.numpy(),
                "weight": pair[0][0].weight,  # alive: it has to be copied
            }

        return training.fit(
            *pair, ring, steps=steps, batch_size=8, watch=watch, watch_every=15, checkpoint=file
        )

    whole, parts = players(), players()
    expected = run(whole, 40, None)
    file = tmp_path / "run.pt"
    run(parts, 20, file)
    resumed = run(players(seed=5), 40, file)  # what the networks hold before is overwritten
    assert resumed.watched_at == expected.watched_at == [0, 15, 30, 40]
    for name in ("score", "array", "weight"):
        assert all(map(same, expected.watched[name], resumed.watched[name])), name
    assert not torch.equal(resumed.watched["weight"][0], resumed.watched["weight"][-1])
    assert resumed.watched["score"][0].reverse_kl == expected.watched["score"][0].reverse_kl


EVERYTHING: dict[str, Any] = {
    "options": [options.replay(20), options.past_generators(2, every=3), options.averaged(0.9)],
    "optimiser": (optimisers.SGD(0.05, 0.9), optimisers.RMSProp(1e-3)),
    "penalty": penalties.weighted(0.1, penalties.gradient_penalty),
    "batch_size": 8,
    "discriminator_steps": 2,
}


def test_everything_that_a_run_keeps_goes_on(tmp_path: Path) -> None:
    def pair() -> tuple[nn.Module, nn.Module]:
        return networks.seeded(lambda: (
            nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
            nn.Sequential(
                networks.spectral_norm(nn.Linear(2, 8)), networks.Dropout(0.2), nn.Dropout(0.1),
                nn.ReLU(), nn.Linear(8, 1)),
        ), 0)  # fmt: skip

    whole, parts, file = pair(), pair(), tmp_path / "run.pt"
    expected = training.fit(*whole, VALUES, steps=20, **EVERYTHING)
    training.fit(*parts, VALUES, steps=9, checkpoint=file, **EVERYTHING)
    parts = pair()
    resumed = training.fit(*parts, VALUES, steps=20, checkpoint=file, **EVERYTHING)
    assert torch.equal(expected.generator_loss, resumed.generator_loss)
    for a, b in zip(whole, parts, strict=True):
        for key, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[key]), key
    assert same(expected.extra, resumed.extra)


def lambda_weighted(weight: float) -> Callable[..., torch.Tensor]:
    return lambda critic, real, fake: weight * penalties.r1(critic, real)


class Weights:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def penalty(self, critic: Any, real: Any, fake: Any) -> torch.Tensor:
        return self.weight * penalties.r1(critic, real)

    def other(self, critic: Any, real: Any, fake: Any) -> torch.Tensor:
        return self.weight * penalties.r2(critic, fake)


class Scaled(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.by * x


MANY = torch.randn(3000, 2, generator=torch.Generator().manual_seed(1))
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "data": ({}, {"data": VALUES + 1}, "data and latents"),
    "sampler": ({"data": data.ring()}, {"data": data.ring(std=0.02)}, "data and latents"),
    "latents": ({}, {"latent": lambda n, g: torch.rand(n, 2, generator=g)}, "data and latents"),
    "loss": ({}, {"loss": losses.hinge()}, "loss"),
    "targets": (
        {"loss": losses.least_squares()}, {"loss": losses.least_squares(-1, 1, 0)}, "loss"),
    "penalty": ({}, {"penalty": penalties.r1}, "penalty"),
    "its weight": (
        {"penalty": penalties.weighted(1, penalties.r1)},
        {"penalty": penalties.weighted(10, penalties.r1)}, "penalty"),
    "its weight in a lambda": (
        {"penalty": lambda_weighted(1)}, {"penalty": lambda_weighted(10)}, "penalty"),
    "another lambda": (
        {"penalty": lambda c, r, f: penalties.r1(c, r)},
        {"penalty": lambda c, r, f: penalties.r2(c, f)}, "penalty"),
    "rate": ({}, {"learning_rate": 1e-4}, "optimisers"),
    "schedule": (
        {"learning_rate": optimisers.linear(1e-3, over=9)},
        {"learning_rate": optimisers.linear(1e-3, over=8)}, "optimisers"),
    "optimiser": ({}, {"optimiser": optimisers.SGD(1e-3)}, "optimisers"),
    "options": (
        {"options": [options.averaged(0.9)]}, {"options": [options.averaged(0.99)]}, "options"),
    "batch": ({}, {"batch_size": 16}, "batch_size"),
    "clip": ({}, {"clip": 0.1}, "clip"),
    "joined": ({}, {"joined": True}, "joined"),
    "seed": ({}, {"seed": 1}, "seed"),
    "precision": ({}, {"autocast": torch.bfloat16}, "autocast"),
    "the samples of a penalty": (
        {"penalty": lambda c, r, f: penalties.r1(c, r)},
        {"penalty": lambda c, r, f: penalties.r1(c, f)}, "penalty"),
    "a method": (
        {"penalty": Weights(1.0).penalty}, {"penalty": Weights(100.0).penalty}, "penalty"),
    "another method": (
        {"penalty": Weights(1.0).penalty}, {"penalty": Weights(1.0).other}, "penalty"),
    "one row of many": (
        {"data": MANY}, {"data": torch.cat([MANY[:-1], MANY[-1:] + 1])}, "data and latents"),
    "an attribute of a layer": (
        {}, {"discriminator": nn.Sequential(Scaled(2.0), players()[1])}, "other networks"),
    "unrolling": (
        {"options": [options.unrolled(1)]}, {"options": [options.unrolled(2)]}, "options"),
    "a memory's size": (
        {"options": [options.replay(10)]}, {"options": [options.replay(100)]}, "options"),
    "every": (
        {"options": [options.past_generators(2, every=2)]},
        {"options": [options.past_generators(2, every=3)]}, "options"),
    "lambda as a schedule": (
        {"learning_rate": lambda k: 1e-3 * 0.9**k}, {"learning_rate": lambda k: 1e-3 * 0.8**k},
        "optimisers"),
    "defaults": (
        {"penalty": lambda c, r, f, k=1: k * penalties.r1(c, r)},
        {"penalty": lambda c, r, f, k=5: k * penalties.r1(c, r)}, "penalty"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_run_is_refused_with_what_differs(name: str, tmp_path: Path) -> None:
    mine, other, differs = OTHERS[name]
    file = tmp_path / "run.pt"

    def run(changes: dict[str, Any]) -> training.History:
        generator, discriminator = players()
        given = {
            "discriminator": nn.Sequential(Scaled(1.0), discriminator), "data": VALUES, "steps": 2,
            "batch_size": 8, "checkpoint": file, **changes,
        }  # fmt: skip
        return training.fit(generator, **given)

    run(mine)
    with pytest.raises(ValueError, match=rf"run\.pt was written by a run with {differs}.* = "):
        run({**mine, **other})
    assert run({**mine, "steps": 3}).steps == 3  # the advice: the same settings
    run({**mine, **other, "checkpoint": tmp_path / "other.pt"})  # or another file


@pytest.mark.parametrize(
    ("pair", "line"),
    [
        (lambda: players(hidden=9), "out_features=9"),
        (lambda: (players()[0], networks.mlp(2, 8, 1, activation=nn.Tanh)), r"Tanh\(\)"),
        (lambda: tuple(p.double() for p in players()), "float64"),
    ],
)
def test_other_networks_are_refused_by_the_line_that_differs(
    pair: Any, line: str, tmp_path: Path
) -> None:
    file = tmp_path / "run.pt"
    training.fit(*players(), VALUES, steps=2, checkpoint=file)
    with pytest.raises(ValueError, match=f"run.pt was written by.*{line}"):
        training.fit(*pair(), VALUES, steps=3, checkpoint=file)


class _Weighted:
    """A penalty that is an object."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, critic: Any, real: Any, fake: Any) -> torch.Tensor:
        return self.weight * penalties.r1(critic, real)


def test_objects_are_told_by_what_they_hold_and_found_again(tmp_path: Path) -> None:
    class Own:
        def __init__(self, sign: int) -> None:
            self.sign = sign

        def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
            return self.sign * (fake - real).mean()

        def generator(self, fake: torch.Tensor) -> torch.Tensor:
            return -self.sign * fake.mean()

    file = tmp_path / "run.pt"

    def run(steps: int, weight: float, sign: int) -> training.History:
        critic = networks.noisy(players()[1], lambda calls: 0.1)  # no address in its description
        return training.fit(
            players()[0], critic, VALUES, Own(sign), steps=steps, batch_size=8,
            penalty=_Weighted(weight), checkpoint=file,
        )  # fmt: skip

    run(2, 1.0, 1)
    with pytest.raises(ValueError, match="penalty = _Weighted"):
        run(3, 100.0, 1)
    with pytest.raises(ValueError, match=r"loss = .*sign: 1"):
        run(3, 1.0, 2)
    assert run(3, 1.0, 1).steps == 3


def test_buffers_that_a_state_dictionary_leaves_out_go_on(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)
            self.register_buffer("calls", torch.zeros(()), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                self.calls = self.calls + 1  # assigned, not changed in place
            return self.layer(x) + self.calls / 100 * x[:, :1]

    def run(steps: int, file: Path | None) -> training.History:
        critic = networks.seeded(Counting, 0)
        return training.fit(
            players()[0], critic, VALUES, steps=steps, batch_size=8, checkpoint=file
        )

    file = tmp_path / "run.pt"
    run(5, file)
    resumed, whole = run(9, file), run(9, None)
    assert torch.equal(resumed.discriminator_loss, whole.discriminator_loss)


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    training.fit(*players(), VALUES, steps=5, checkpoint=file)
    fresh = players(seed=7)
    with pytest.warns(UserWarning, match="holds 5 steps and steps=3 asks for no more"):
        assert training.fit(*fresh, VALUES, steps=3, checkpoint=file).steps == 5


@pytest.mark.parametrize(
    "content", [b"", b"half a file", {"a": 1}, [1, 2], torch.ones(3), {"format": "other"}]
)
def test_a_foreign_file_is_refused_and_left_alone(content: Any, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="not a checkpoint of"):
        training.fit(*players(), VALUES, steps=2, checkpoint=file)
    assert file.read_bytes() == before
    training.fit(*players(), VALUES, steps=2, checkpoint=tmp_path / "another.pt")


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "run.pt"
    torch.save({"format": Bomb()}, file)
    with pytest.raises(ValueError, match="not a checkpoint"):
        Checkpoint(file, {}).load()
    assert not (tmp_path / "ran").exists()


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder; name a file in it"):
        training.fit(*players(), VALUES, steps=2, checkpoint=tmp_path)


def test_what_cannot_be_saved_is_refused_at_the_first_look(tmp_path: Path) -> None:
    looks = []

    def watch(step: int) -> dict[str, Any]:
        looks.append(step)
        return {"model": object()}

    with pytest.raises(TypeError, match="watch returned a object as 'model'"):
        training.fit(*players(), VALUES, steps=9, watch=watch, checkpoint=tmp_path / "run.pt")
    assert looks == [0]
    training.fit(*players(), VALUES, steps=2, watch=watch)  # without a checkpoint anything goes


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "run.pt"
    training.fit(*players(), VALUES, steps=5, checkpoint=file)
    before = file.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not be written .*No space left.* free some space"):
        training.fit(*players(), VALUES, steps=9, checkpoint=file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    monkeypatch.undo()
    assert training.fit(*players(), VALUES, steps=9, checkpoint=file).steps == 9


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: Any) -> None:
    real = Path.open

    def onto_full(path: Path, *given: Any, **named: Any) -> Any:
        if path.name.endswith(".partial"):
            return builtins.open("/dev/full", "wb")
        return real(path, *given, **named)

    monkeypatch.setattr(Path, "open", onto_full)
    with pytest.raises(OSError, match="could not be written"):
        training.fit(*players(), VALUES, steps=2, checkpoint=tmp_path / "run.pt")


def test_two_runs_on_one_file_are_told_so(tmp_path: Path) -> None:
    file = tmp_path / "run.pt"

    def watch(step: int) -> dict[str, Any]:
        if step == 4:  # a second run begins, and ends, while the first one trains
            training.fit(*players(), VALUES, steps=3, checkpoint=file)
        return {}

    with pytest.raises(RuntimeError, match=r"written by another run.*a file of its own"):
        training.fit(
            *players(), VALUES, steps=9, watch=watch, watch_every=2, checkpoint=file,
            checkpoint_every=2,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == [file]


def test_two_runs_that_began_before_the_file_are_told_too(tmp_path: Path) -> None:
    first, second = (Checkpoint(tmp_path / "run.pt", {}) for _ in range(2))
    second.save({"a": 1})
    with pytest.raises(RuntimeError, match="written by another run"):
        first.save({"a": 2})
    second.save({"a": 3})
    assert second.load()["a"] == 3


def test_a_folder_that_cannot_be_written_is_named_before_training(
    tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "file").write_text("")
    looks: list[int] = []
    with pytest.raises(OSError, match=r"no file can be written in .*in another folder"):
        training.fit(
            *players(), VALUES, steps=3, checkpoint=tmp_path / "file" / "run.pt",
            watch=lambda step: looks.append(step) or {},
        )  # fmt: skip
    assert looks == []


def test_names_with_brackets_leave_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "run[1].pt"
    (tmp_path / "run[1].pt.999999999.partial").write_bytes(b"half")
    training.fit(*players(), VALUES, steps=2, checkpoint=file)
    assert list(tmp_path.iterdir()) == [file]


def test_members_of_an_enumeration_are_saved_as_numbers(tmp_path: Path) -> None:
    class Kind(enum.IntEnum):
        GOOD = 3

    file = tmp_path / "run.pt"
    for steps in (2, 4):
        history = training.fit(
            *players(), VALUES, steps=steps, checkpoint=file, watch=lambda step: {"k": Kind.GOOD},
            watch_every=2,
        )  # fmt: skip
    assert history.watched == {"k": [3, 3, 3]}


def test_a_watched_view_is_a_copy() -> None:
    generator, discriminator = players()
    history = training.fit(
        generator, discriminator, VALUES, steps=4, watch_every=2,
        watch=lambda step: {"w": generator[0].weight.detach().numpy()},
    )  # fmt: skip
    first, *_, last = history.watched["w"]
    assert not np.array_equal(first, last)


def test_what_was_watched_by_another_name_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "run.pt"

    def run(steps: int) -> training.History:
        return training.fit(
            *players(), VALUES, steps=steps, batch_size=8, checkpoint=file, watch_every=4,
            watch=lambda step: {"even" if step % 4 == 0 else "odd": step},
        )  # fmt: skip

    run(6)
    resumed = run(9)
    assert resumed.watched_at == [0, 4, 8, 9]
    assert resumed.watched == {"even": [0, 4, 8], "odd": [9]}


def _train(file: Path, steps: int) -> None:
    training.fit(*players(), VALUES, steps=steps, batch_size=8, checkpoint=file, checkpoint_every=1)


def test_a_run_killed_while_it_writes_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    process = multiprocessing.get_context("spawn").Process(target=_train, args=(file, 10**6))
    process.start()
    while not file.exists():
        assert process.is_alive()
    process.kill()
    process.join()
    (tmp_path / f"run.pt.{process.pid}.partial").write_bytes(b"half")  # as if killed in a write
    steps = len(Checkpoint(file, {}).load()["history"]["generator_loss"])
    pair, whole = players(), players()
    training.fit(*pair, VALUES, steps=steps + 5, batch_size=8, checkpoint=file)
    training.fit(*whole, VALUES, steps=steps + 5, batch_size=8)
    assert torch.equal(weights(*pair), weights(*whole))
    assert list(tmp_path.iterdir()) == [file]


def test_a_description_is_the_same_in_the_next_process() -> None:
    program = (
        "from functools import partial\n"
        "from ganlib import penalties, optimisers, options\n"
        "from ganlib.checkpoint import described\n"
        "print(described([penalties.weighted(2, penalties.r1), partial(penalties.r1, mix=None),"
        "                optimisers.linear(1, over=3), options.averaged(0.9),"
        "                lambda c, r, f: 3 * penalties.r1(c, r)]))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert "0x" not in runs.pop()


def test_descriptions_tell_apart() -> None:
    several = [
        None, penalties.r1, penalties.r2, partial(penalties.gradient_penalty, target=0.0),
        partial(penalties.gradient_penalty, target=1.0), penalties.weighted(2, penalties.r1),
        penalties.weighted(3, penalties.r1), penalties.weighted(2, penalties.r2),
        lambda_weighted(2), lambda_weighted(3), optimisers.linear(1, over=3), torch.ones(2),
    ]  # fmt: skip
    assert len({described(value) for value in several}) == len(several)
    assert digest(torch.ones(2)) != digest(torch.ones(2, 1))
    assert digest(torch.ones(2)) != digest(torch.ones(2, dtype=torch.float64))


GLOBAL_WEIGHT = 1.0


def test_a_global_that_a_penalty_names_counts(monkeypatch: Any) -> None:
    def penalty(critic: Any, real: Any, fake: Any) -> torch.Tensor:
        return GLOBAL_WEIGHT * penalties.r1(critic, real)

    before = described(penalty)
    monkeypatch.setitem(globals(), "GLOBAL_WEIGHT", 100.0)
    assert described(penalty) != before


@pytest.mark.parametrize(
    "value", [np.datetime64("2020-01-01"), np.longdouble(1), np.timedelta64(3, "s"), {1, 2}]
)
def test_a_value_that_would_not_be_read_again_is_refused_or_plain(
    value: Any, tmp_path: Path
) -> None:
    try:
        kept = plain(value, "value")
    except TypeError as error:
        assert "which no checkpoint can hold" in str(error)  # noqa: PT017
        return
    Checkpoint(tmp_path / "a.pt", {}).save({"value": kept})
    assert unplain(Checkpoint(tmp_path / "a.pt", {}).load()["value"]) == value


def test_mappings_of_any_kind_are_saved(tmp_path: Path) -> None:
    history = training.fit(
        *players(), VALUES, steps=2, checkpoint=tmp_path / "run.pt",
        watch=lambda step: {"d": collections.defaultdict(list, {"a": [step]})},
    )  # fmt: skip
    assert history.watched["d"][0]["a"] == [0]


def test_a_relative_name_stays_where_it_was_given(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "else").mkdir()
    training.fit(
        *players(), VALUES, steps=2, checkpoint="run.pt",
        watch=lambda step: os.chdir(tmp_path / "else") or {},
    )  # fmt: skip
    assert (tmp_path / "run.pt").exists()
