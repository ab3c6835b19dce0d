"""The loop: it is algorithm 1, it is determined by its seed, and it survives interruption."""

from __future__ import annotations

import copy
import signal

import pytest
import torch
from torch import nn

from ganlib import data, losses, networks, penalties, training


def _pair(width: int = 2, hidden: int = 16) -> tuple[nn.Sequential, nn.Sequential]:
    return (
        networks.mlp(2, hidden, hidden, width, seed=1),
        networks.mlp(width, hidden, hidden, 1, seed=2),
    )


def _weights(*modules: nn.Module) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for m in modules for w in m.parameters()])


def _tutorial_loop(
    generator: nn.Module,
    discriminator: nn.Module,
    values: torch.Tensor,
    loss: losses.Loss,
    *,
    steps: int,
    batch: int,
    k: int,
    seed: int,
) -> list[float]:
    """zero_grad, backward, step: what `fit` must agree with."""
    rng = torch.Generator().manual_seed(seed)
    # A large epsilon: with 1e-8 Adam turns the rounding of tiny gradients into whole steps.
    adam = {"lr": 1e-3, "betas": (0.5, 0.999), "eps": 1e-4}
    adam_g = torch.optim.Adam(generator.parameters(), **adam)
    adam_d = torch.optim.Adam(discriminator.parameters(), **adam)
    seen = []
    for _ in range(steps):
        for _ in range(k):
            real = values[torch.randint(len(values), (batch,), generator=rng)]
            fake = generator(torch.randn(batch, 2, generator=rng)).detach()
            adam_d.zero_grad()
            loss.discriminator(discriminator(real), discriminator(fake)).backward()
            adam_d.step()
        adam_g.zero_grad()
        value = loss.generator(discriminator(generator(torch.randn(batch, 2, generator=rng))))
        value.backward()
        adam_g.step()
        seen.append(value.item())
    return seen


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    "loss",
    [losses.minimax(), losses.non_saturating(), losses.least_squares(), losses.hinge()],
    ids=lambda loss: loss.name,
)
def test_fit_is_the_tutorial_loop(loss: losses.Loss, k: int) -> None:
    values = data.ring(std=0.1).sample(500, torch.Generator().manual_seed(0))
    mine = _pair()
    theirs = copy.deepcopy(mine)
    settings = {"steps": 20, "seed": 5}
    history = training.fit(
        *mine, values, loss, batch_size=32, discriminator_steps=k, epsilon=1e-4, **settings
    )
    seen = _tutorial_loop(*theirs, values, loss, batch=32, k=k, **settings)
    assert history.generator_loss.tolist() == pytest.approx(seen, rel=1e-5)
    torch.testing.assert_close(_weights(*mine), _weights(*theirs), rtol=1e-4, atol=1e-6)


def test_the_seed_decides_everything() -> None:
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(torch.seed() % 1000)  # whatever came before must not matter
        pair = _pair()
        history = training.fit(
            *pair,
            data.ring(std=0.1),
            losses.wasserstein(),
            steps=15,
            batch_size=16,
            seed=seed,
            penalty=lambda critic, real, fake: penalties.gradient_penalty(critic, real, fake),
        )
        runs.append((_weights(*pair), history.discriminator_loss))
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][0], runs[2][0])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    training.fit(*_pair(), data.ring(), steps=3, penalty=penalties.gradient_penalty)
    assert torch.equal(before, torch.get_rng_state())


def test_each_player_moves_only_itself() -> None:
    generator, discriminator = _pair()
    before = _weights(generator), _weights(discriminator)
    training.fit(generator, discriminator, data.ring(), steps=1, learning_rate=(0.0, 1e-3))
    assert torch.equal(_weights(generator), before[0])
    assert not torch.equal(_weights(discriminator), before[1])
    before = _weights(generator), _weights(discriminator)
    training.fit(generator, discriminator, data.ring(), steps=1, learning_rate=(1e-3, 0.0))
    assert not torch.equal(_weights(generator), before[0])
    assert torch.equal(_weights(discriminator), before[1])


def test_a_gaussian_is_learnt() -> None:
    # One parameter that matters: the mean of N(3, 1). The margin is ten times what is seen.
    generator, discriminator = nn.Linear(1, 1), networks.mlp(1, 16, 1)
    values = 3 + torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    history = training.fit(
        generator, discriminator, values, steps=1500, learning_rate=5e-3,
        penalty=lambda critic, real, _: penalties.r1(critic, real),
    )  # fmt: skip
    samples = training.sample(generator, 4000)
    assert abs(samples.mean().item() - 3) < 0.5
    assert history.steps == 1500


class _CrashError(Exception):
    pass


def _crash() -> None:
    raise _CrashError


@pytest.mark.parametrize(
    ("stop", "error", "steps_kept"),
    [
        (lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt, 18),
        (_crash, _CrashError, 10),
    ],
    ids=["ctrl-c", "crash"],
)
def test_a_stopped_run_goes_on_where_it_stopped(tmp_path, stop, error, steps_kept: int) -> None:
    def run(pair, checkpoint, stop_at_call: int | None = None) -> training.History:
        calls = 0

        def penalty(critic, real, fake) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls == stop_at_call:  # in the middle of a step
                stop()
            return penalties.gradient_penalty(critic, real, fake)

        return training.fit(
            *pair, data.ring(std=0.1), losses.hinge(), steps=30, batch_size=16,
            discriminator_steps=2, watch=lambda step: {"step": step}, watch_every=7,
            checkpoint=checkpoint, checkpoint_every=10, penalty=penalty,
        )  # fmt: skip

    whole, first, second = _pair(), _pair(), _pair()
    expected = run(whole, None)
    file = tmp_path / "run" / "ring.pt"
    with pytest.raises(error):
        run(first, file, stop_at_call=2 * 17 + 1)  # the first of step 18's two
    kept = torch.load(file)["history"]["generator_loss"]
    assert len(kept) == steps_kept
    history = run(second, file)
    assert torch.equal(_weights(*second), _weights(*whole))
    assert torch.equal(history.generator_loss, expected.generator_loss)
    assert history.watched_at == expected.watched_at == [0, 7, 14, 21, 28, 30]
    assert history.watched == expected.watched
    again = run(_pair(), file)  # a finished run is not run again
    assert again.steps == 30
    assert not list(tmp_path.rglob("*.partial"))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path) -> None:
    file = tmp_path / "ring.pt"
    training.fit(*_pair(), data.ring(), steps=2, checkpoint=file)
    with pytest.raises(ValueError, match=r"batch_size = 128, this run has 64"):
        training.fit(*_pair(), data.ring(), steps=2, batch_size=64, checkpoint=file)
    with pytest.raises(ValueError, match="other networks"):
        training.fit(*_pair(hidden=8), data.ring(), steps=2, checkpoint=file)


def test_a_damaged_checkpoint_is_refused(tmp_path) -> None:
    file = tmp_path / "ring.pt"
    file.write_bytes(b"half a file")
    with pytest.raises(ValueError, match="not a checkpoint"):
        training.fit(*_pair(), data.ring(), steps=2, checkpoint=file)


def test_watch_sees_start_and_end_and_disturbs_nothing() -> None:
    plain, watched = _pair(), _pair()
    training.fit(*plain, data.ring(), steps=25)

    def watch(step: int) -> dict[str, int]:
        torch.rand(step + 1)
        watched[0].eval()
        assert not torch.is_grad_enabled()
        return {"step": step}

    history = training.fit(*watched, data.ring(), steps=25, watch=watch, watch_every=10)
    assert history.watched_at == [0, 10, 20, 25]
    assert history.watched == {"step": [0, 10, 20, 25]}
    assert watched[0].training
    assert torch.equal(_weights(*plain), _weights(*watched))


def test_clip_bounds_the_discriminator_only() -> None:
    generator, discriminator = _pair()
    training.fit(generator, discriminator, data.ring(), losses.wasserstein(), steps=3, clip=0.05)
    assert _weights(discriminator).abs().max() <= 0.05
    assert _weights(generator).abs().max() > 0.05


def test_a_diverged_run_says_where_and_what_to_do() -> None:
    with pytest.raises(
        FloatingPointError, match=r"loss is .* at step \d+; lower the learning rate"
    ):
        training.fit(*_pair(), data.ring(), losses.least_squares(), steps=300, learning_rate=1e18)


def test_samples_are_drawn_in_evaluation_mode_and_by_seed() -> None:
    generator = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    first, second = (training.sample(generator, 10, seed=4) for _ in range(2))
    assert torch.equal(first, second)
    assert generator.training
    assert not first.requires_grad
    shifted = training.sample(_Shift(), 5, latent=lambda n, rng: torch.zeros(n, 2))
    assert shifted.tolist() == [[1.0, 1.0]] * 5


class _Shift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(2))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z + self.shift


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"steps": -1}, ValueError, "steps is -1"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"discriminator_steps": 0}, ValueError, "discriminator_steps is 0"),
        ({"clip": -1.0}, ValueError, "clip is -1.0"),
        ({"data": torch.ones(5)}, ValueError, r"\(N, 1\)"),
        ({"data": torch.full((5, 2), torch.nan)}, ValueError, "NaN"),
        ({"data": torch.ones(5, 3)}, ValueError, r"\(2,\), the data has \(3,\)"),
        ({"data": [[1.0, 2.0]]}, TypeError, "list"),
        ({"generator": networks.mlp(2, 4, 3)}, ValueError, r"\(3,\).*\(2,\)"),
        ({"discriminator": networks.mlp(2, 4, 2)}, ValueError, r"\(2, 2\) for 2 samples"),
        ({"generator": _Shift()}, ValueError, "latent"),
    ],
)
def test_bad_input_is_named(change: dict, error: type[Exception], message: str) -> None:
    generator, discriminator = _pair()
    arguments = {
        "generator": generator,
        "discriminator": discriminator,
        "data": data.ring(),
        "steps": 1,
        **change,
    }
    with pytest.raises(error, match=message):
        training.fit(**arguments)
