"""The loop: it is algorithm 1, it is determined by its seed, and it survives interruption."""

from __future__ import annotations

import copy
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sympy as sp
import torch
from torch import nn

from ganlib import data, losses, networks, optimisers, options, penalties, training


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
    with pytest.warns(UserWarning, match="nothing was trained"):
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
        assert not watched[0].training
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


# --- what is refused, or warned of, with advice that works ------------------------------------


def _fit(**changes: Any) -> training.History:
    generator, discriminator = _pair()
    given = {
        "generator": generator, "discriminator": discriminator, "data": data.ring(), "steps": 2,
        "batch_size": 8, **changes,
    }  # fmt: skip
    return training.fit(**given)


def _with_extra() -> nn.Module:
    module = _pair()[1]
    module.register_parameter("spare", nn.Parameter(torch.ones(2)))
    return module


def _normalised_critic(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), layer, nn.LeakyReLU(0.2), nn.Linear(4, 1))


class _Pair(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x), x


class _Sampling:
    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def sample(self, count: int, generator: torch.Generator) -> Any:
        return self.draw(count)


SHARED = networks.mlp(2, 4, 2)
IMAGES = torch.rand(32, 1, 8, 8) * 2 - 1
ADVICE: dict[str, tuple[dict[str, Any], type[Exception], str, dict[str, Any]]] = {
    # name: what is wrong, the error, its message, the advice followed
    "batch norm under a penalty": (
        {"discriminator": _normalised_critic(nn.BatchNorm1d(4)), "penalty": penalties.r1},
        ValueError, r"normalises over the batch .*GroupNorm\(1, channels\)",
        {"discriminator": _normalised_critic(nn.GroupNorm(1, 4)), "penalty": penalties.r1}),
    "a loss without its brackets": (
        {"loss": losses.hinge}, TypeError, r"call it: loss=hinge\(\)", {"loss": losses.hinge()}),
    "the name of a loss": (
        {"loss": "wgan"}, TypeError, r"such as hinge\(\)", {"loss": losses.hinge()}),
    "negative rate": (
        {"learning_rate": -1e-3}, ValueError, r"rate is -0\.001; it must be 0 or more",
        {"learning_rate": 1e-3}),
    "rate nan": ({"learning_rate": float("nan")}, ValueError, "rate is nan", {}),
    "three rates": (
        {"learning_rate": [1e-3] * 3}, ValueError, "one rate or a pair",
        {"learning_rate": [1e-3, 2e-3]}),
    "betas": ({"betas": (0.5, 1.0)}, ValueError, r"beta2 is 1\.0", {"betas": [0.5, 0.999]}),
    "epsilon": ({"epsilon": -1.0}, ValueError, r"epsilon is -1\.0", {"epsilon": 1e-8}),
    "frozen discriminator": (
        {"discriminator": _pair()[1].requires_grad_(False)}, ValueError,
        r"all 6 are frozen; call discriminator\.requires_grad_\(True\)",
        {"discriminator": _pair()[1].requires_grad_(False).requires_grad_(True)}),
    "a critic without weights": (
        {"discriminator": nn.Flatten()}, ValueError, "discriminator has no weights to train", {}),
    "a generator without weights": (
        {"generator": nn.Identity(), "latent": 2}, ValueError,
        "generator has no weights to train", {}),
    "an unused weight": (
        {"discriminator": _with_extra()}, ValueError,
        r"its spare; .*get_parameter\('spare'\)\.requires_grad_\(False\)", {}),
    "data frame": (
        {"data": pd.DataFrame({"a": [1.0], "b": [2.0]})}, TypeError,
        r"data is a DataFrame; .*torch\.tensor\(np\.asarray\(data\)",
        {"data": torch.tensor(np.asarray(pd.DataFrame({"a": [1.0], "b": [2.0]})),
                              dtype=torch.float32)}),
    "array": (
        {"data": np.ones((4, 2))}, TypeError, "data is a ndarray",
        {"data": torch.tensor(np.asarray(np.ones((4, 2))), dtype=torch.float32)}),
    "batch of one under batch norm": (
        {"discriminator": _normalised_critic(nn.BatchNorm1d(4)), "batch_size": 1}, ValueError,
        "two samples or more; choose a larger batch_size, such as 64",
        {"discriminator": _normalised_critic(nn.BatchNorm1d(4)), "batch_size": 64}),
    "packs that do not divide": (
        {"discriminator": networks.mlp(6, 4, 1), "pack": 3}, ValueError,
        "batch of 8 does not divide into packs of 3; choose a multiple of 3",
        {"discriminator": networks.mlp(6, 4, 1), "pack": 3, "batch_size": 9}),
    "conditions of another length": (
        {"data": (torch.ones(4, 2), torch.ones(3))}, ValueError, "4 samples and 3 conditions", {}),
    "an optimiser that is a number": (
        {"optimiser": 1e-3}, TypeError, r"such as Adam\(1e-3\)",
        {"optimiser": optimisers.Adam(1e-3)}),
    "no latent to read off": (
        {"generator": _Shift()}, ValueError, r"pass latent=<size>", {"generator": _Shift(),
         "latent": 2}),
    "batch norm in evaluation mode under a penalty": (
        {"discriminator": _normalised_critic(nn.BatchNorm1d(4)).eval(), "penalty": penalties.r1},
        ValueError, "normalises over the batch", {"penalty": penalties.r1}),
    "an optimiser and a rate": (
        {"optimiser": optimisers.SGD(0.01), "learning_rate": 1e-4}, ValueError,
        "put the constants into the optimiser", {"optimiser": optimisers.SGD(1e-4)}),
    "a class of optimisers": (
        {"optimiser": optimisers.Adam}, TypeError, r"such as Adam\(1e-3\)",
        {"optimiser": optimisers.Adam(1e-3)}),
    "three optimisers": (
        {"optimiser": (optimisers.Adam(),) * 3}, ValueError, "3 optimisers; pass one",
        {"optimiser": (optimisers.Adam(),) * 2}),
    "a schedule below zero": (
        {"learning_rate": lambda k: torch.tensor(1e-3 - k * 1e-3), "steps": 9}, ValueError,
        "must be 0 or more", {"learning_rate": optimisers.linear(1e-3, over=2)}),
    "an option that was not called": (
        {"options": [options.averaged]}, TypeError,
        r"call it first, such as averaged\(0\.999\)", {"options": [options.averaged()]}),
    "an option alone": (
        {"options": options.averaged()}, TypeError, r"options=\[averaged\(0\.999\)\]",
        {"options": [options.averaged(0.999)]}),
    "one beta": ({"betas": 0.5}, ValueError, "a pair of betas", {"betas": (0.5, 0.999)}),
    "autocast by name": (
        {"autocast": "bfloat16"}, TypeError, r"pass torch\.bfloat16",
        {"autocast": torch.bfloat16}),
    "two precisions": (
        {"discriminator": _pair()[1].double()}, ValueError, r"such as \.float\(\) on both",
        {"discriminator": _pair()[1].double().float()}),
    "a lazy module": (
        {"discriminator": nn.Sequential(nn.LazyLinear(1))}, ValueError,
        "has no shape yet; call it once", {}),
    "a discriminator that returns a tuple": (
        {"discriminator": _Pair(_pair()[1])}, ValueError, "discriminator returns a tuple",
        {"discriminator": _pair()[1]}),
    "a watch that returns nothing": (
        {"watch": lambda step: None}, TypeError, "watch returned a NoneType",
        {"watch": lambda step: {}}),
    "a sampler of NumPy": (
        {"data": _Sampling(lambda n: np.ones((n, 2)))}, TypeError, "must return a tensor",
        {"data": _Sampling(lambda n: torch.ones(n, 2))}),
    "a sampler that returns fewer": (
        {"data": _Sampling(lambda n: torch.ones(n // 2, 2))}, ValueError,
        "returned 32 of the 64 asked for", {}),
    "a sampler of NaN": (
        {"data": _Sampling(lambda n: torch.full((n, 2), torch.nan))}, ValueError,
        "hold NaN or infinite", {}),
    "latents that are too few": (
        {"latent": lambda n, g: torch.randn(3, 2, generator=g)}, ValueError,
        "latent returned 3 of the 64", {"latent": lambda n, g: torch.randn(n, 2, generator=g)}),
    "conditions without a use": (
        {"conditions": lambda n, g: torch.zeros(n)}, ValueError, "pass data as a pair", {}),
    "a condition that nobody takes": (
        {"data": (torch.ones(4, 2), torch.ones(4))}, ValueError,
        "takes no second argument", {"data": torch.ones(4, 2)}),
    "a conditional network without a condition": (
        {"generator": networks.Conditional(networks.mlp(3, 2), 1)}, ValueError,
        "there is no condition; pass data as a pair", {}),
    "a loss with symbols": (
        {"loss": losses.least_squares(sp.Symbol("a", real=True), 1, 1)}, ValueError,
        r"has the symbols a; .*least_squares\(0, 1, 1\)",
        {"loss": losses.least_squares(0, 1, 1)}),
    "a penalty that is a number": (
        {"penalty": lambda c, r, f: 0.0}, ValueError, "the penalty has shape float; return a",
        {"penalty": lambda c, r, f: torch.zeros(())}),
    "a penalty of other arguments": (
        {"penalty": penalties.clip_weights}, TypeError,
        r"clip_weights does not take \(critic, real, fake\)",
        {"penalty": lambda critic, real, fake: penalties.r1(critic, real)}),
    "unrolling twice": (
        {"options": [options.unrolled(1), options.unrolled(1)]}, ValueError,
        "unrolled is among the options twice", {"options": [options.unrolled(2)]}),
    "an option that returns nothing": (
        {"options": [lambda one: None]}, TypeError, "returned no step",
        {"options": [lambda one: one]}),
    "a latent that is no number": (
        {"latent": 2.5}, ValueError, r"latent is 2\.5; it must be a whole", {"latent": 2}),
    "players with a weight in common": (
        {"generator": SHARED, "discriminator": SHARED}, ValueError, "build two networks", {}),
    "a penalty a sample": (
        {"penalty": lambda c, r, f: penalties.input_gradient(c, r).square().sum(1)}, ValueError,
        r"the penalty has shape \(8,\); return a tensor of one number, such as the \.mean\(\)",
        {"penalty": lambda c, r, f: penalties.input_gradient(c, r).square().sum(1).mean()}),
    "steps that are no count": ({"steps": 2.5}, ValueError, "steps is 2.5; it must be a whole", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE)
def test_errors_whose_advice_works(name: str) -> None:
    wrong, error, message, right = ADVICE[name]
    with pytest.raises(error, match=message):
        _fit(**wrong)
    assert _fit(**right).steps == 2


def test_the_advice_on_an_unused_weight_works() -> None:
    discriminator = _with_extra()
    with pytest.raises(ValueError, match="does not depend on its spare"):
        _fit(discriminator=discriminator)
    discriminator.get_parameter("spare").requires_grad_(False)
    _fit(discriminator=discriminator)


def test_the_advice_on_a_diverged_run_works() -> None:
    wrong = {"loss": losses.least_squares(), "steps": 300, "learning_rate": 1e18}
    with pytest.raises(FloatingPointError, match=r"penalty=ganlib\.penalties\.r1"):
        _fit(**wrong)
    _fit(**{**wrong, "learning_rate": 1e-3, "steps": 60})
    _fit(penalty=penalties.r1)
    _fit(penalty=penalties.r2)


def test_every_penalty_is_one_that_fit_takes() -> None:
    def own(critic, real, fake) -> torch.Tensor:
        return 10 * penalties.gradient_penalty(critic, real, fake)

    runs = [_fit(penalty=p).discriminator_loss.tolist() for p in (
        own, penalties.weighted(10, penalties.gradient_penalty))]  # fmt: skip
    assert runs[0] == runs[1]  # the places that fit draws are those of torch's generator


@pytest.mark.parametrize("end", [nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, lambda: nn.Softmax(1)])
def test_a_discriminator_of_probabilities_is_warned_of(end: type[nn.Module]) -> None:
    for loss in (losses.non_saturating(), losses.wasserstein()):
        with pytest.warns(UserWarning, match="discriminator ends in .*leave the last layer"):
            _fit(discriminator=networks.mlp(2, 8, 1, output=end), loss=loss)


@pytest.mark.filterwarnings("error")
def test_no_warning_of_what_is_right() -> None:
    for pair in (
        _pair(), (_pair()[0], networks.mlp(2, 8, 1, activation=nn.Tanh)),
        (_pair()[0], networks.mlp(2, 8, 1, output=nn.ReLU)),
    ):  # fmt: skip
        _fit(generator=pair[0], discriminator=pair[1])
    tanh = networks.mlp(2, 8, 2, output=nn.Tanh)
    _fit(generator=tanh, data=torch.rand(50, 2) * 2 - 1)
    _fit(generator=networks.mlp(2, 8, 2, output=nn.Sigmoid), data=torch.rand(50, 2))
    _fit(generator=networks.mlp(2, 8, 2, output=nn.ReLU6), data=3 * torch.rand(50, 2))
    _fit(generator=tanh, data=torch.full((50, 2), 1 + 2e-7))


@pytest.mark.parametrize(
    ("layer", "values"),
    [(nn.Tanh, torch.rand(50, 2) * 255), (nn.Sigmoid, torch.rand(50, 2) * 2 - 1),
     (nn.Tanh, data.ring(radius=3.0)), (nn.ReLU, -torch.rand(50, 2))],
)  # fmt: skip
def test_data_that_the_last_layer_cannot_make_are_warned_of(layer, values) -> None:
    with pytest.warns(UserWarning, match="the generator ends in .*Scale the data"):
        _fit(generator=networks.mlp(2, 8, 2, output=layer), data=values)


def test_it_trains_inside_no_grad_and_refuses_inference_mode() -> None:
    with torch.no_grad():
        inside = _fit()
    assert torch.equal(inside.generator_loss, _fit().generator_loss)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="call it outside"):
        _fit()


# --- images, conditions, precision, options ---------------------------------------------------


def test_latents_of_a_convolutional_generator_are_read_off() -> None:
    bare = networks.seeded(
        lambda: nn.Sequential(
            nn.ConvTranspose2d(6, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()
        ),
        0,
    )
    critic = networks.dcgan_discriminator(8, width=4)
    for latent in (None, 6, lambda n, rng: torch.randn(n, 6, 1, 1, generator=rng)):
        history = training.fit(
            bare, critic, IMAGES, steps=1, batch_size=4, latent=latent, progress=False
        )
        assert history.steps == 1
        assert training.sample(bare, 3, latent=latent).shape == (3, 1, 8, 8)
    generator = networks.dcgan_generator(5, 8, width=4)
    training.fit(generator, critic, IMAGES, steps=1, batch_size=4)
    assert training.sample(generator, 3).shape == (3, 1, 8, 8)
    assert generator.training


class _Pairs:
    """Two points, told by their label."""

    def sample(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.randint(2, (count,), generator=generator)
        return 4.0 * y[:, None] - 2 + 0.1 * torch.randn(count, 1, generator=generator), y


def _labelled_pair() -> tuple[nn.Module, nn.Module]:
    return (
        networks.Conditional(networks.mlp(1 + 2, 16, 1, seed=1), 2),
        networks.Conditional(networks.mlp(1 + 2, 16, 1, seed=2), 2),
    )


@pytest.mark.parametrize("penalty", [None, penalties.weighted(0.1, penalties.gradient_penalty)])
def test_a_condition_is_obeyed(penalty: Any) -> None:
    pair = _labelled_pair()
    training.fit(
        *pair, _Pairs(), steps=400, batch_size=64, learning_rate=5e-3, penalty=penalty,
        options=[options.replay(100)],
    )  # fmt: skip
    drawn = training.sample(pair[0], 200, condition=torch.arange(200) % 2).flatten()
    assert drawn[::2].mean() < -1
    assert drawn[1::2].mean() > 1
    with pytest.raises(ValueError, match="3 conditions for 200 samples"):
        training.sample(pair[0], 200, condition=torch.arange(3))


def test_conditions_of_fakes_are_the_data_s_or_those_given() -> None:
    seen: list[torch.Tensor] = []
    generator, discriminator = _labelled_pair()
    hook = generator.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    given = {"steps": 3, "batch_size": 8, "progress": False}
    x = torch.linspace(-1, 1, 40)[:, None]
    training.fit(generator, discriminator, (x, (x[:, 0] > 0).long()), **given)
    assert {len(y) for y in seen[1:]} == {8}
    assert torch.cat(seen).unique().tolist() == [0, 1]
    seen.clear()
    ones = lambda count, rng: torch.ones(count, dtype=torch.int64)  # noqa: E731
    training.fit(generator, discriminator, _Pairs(), conditions=ones, **given)
    assert torch.cat(seen).unique().tolist() == [1]
    hook.remove()


def test_autocast_trains_near_the_full_precision() -> None:
    exact, rough = (_fit(steps=30, autocast=dtype) for dtype in (None, torch.bfloat16))
    assert rough.generator_loss.dtype == torch.float32
    difference = (exact.generator_loss - rough.generator_loss).abs().max()
    assert 0 < difference < 0.1


def test_a_schedule_ends_where_it_says() -> None:
    generator, discriminator = _pair()
    frozen = optimisers.linear(1e-3, over=5)
    weights = []
    training.fit(
        generator, discriminator, data.ring(), steps=9, batch_size=8, watch_every=1,
        learning_rate=(frozen, 1e-3), watch=lambda s: weights.append(_weights(generator)) or {},
    )  # fmt: skip
    moved = [not torch.equal(a, b) for a, b in pairwise(weights)]
    assert moved == [True] * 5 + [False] * 4


def test_networks_are_left_in_the_mode_they_came_in() -> None:
    generator, discriminator = _pair()
    generator.eval()
    generator[0].train()
    training.fit(generator, discriminator, data.ring(), steps=1)
    assert not generator.training
    assert generator[0].training
    assert discriminator.training


def test_watching_moves_no_running_statistics() -> None:
    def run(watch: Any) -> torch.Tensor:
        generator = networks.seeded(
            lambda: nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)), 0
        )
        look = (lambda step: {"mean": generator(torch.ones(4, 2)).mean()}) if watch else None
        training.fit(generator, _pair()[1], data.ring(), steps=6, watch=look, watch_every=2)
        return generator[1].running_mean

    assert torch.equal(run(True), run(False))


def test_nothing_is_made_on_the_default_device() -> None:
    pair, values = _pair(), data.ring().sample(50, torch.Generator().manual_seed(0))
    try:
        torch.set_default_device("meta")
        history = training.fit(
            *pair,
            values,
            steps=3,
            batch_size=8,
            penalty=penalties.gradient_penalty,
            options=[options.replay(9), options.averaged(0.9)],
        )
        drawn = training.sample(pair[0], 5)
    finally:
        torch.set_default_device(None)
    assert history.generator_loss.device.type == drawn.device.type == "cpu"


def test_two_threads_train_as_one_does() -> None:
    def players() -> tuple[nn.Module, nn.Module]:
        generator, critic = _pair()
        return generator, nn.Sequential(networks.Dropout(0.2, seed=3), critic)

    def run(seed: int, pair: tuple[nn.Module, nn.Module]) -> list[float]:
        history = training.fit(*pair, data.ring(), steps=20, seed=seed, progress=False)
        return history.discriminator_loss.tolist()

    pairs = [players() for _ in range(4)]  # made in one thread: initial weights use torch's seed
    one_by_one = [run(seed, pair) for seed, pair in enumerate(pairs[:2])]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, (0, 1), pairs[2:])) == one_by_one


def test_a_penalty_of_weights_works_with_and_without_buffers() -> None:
    def decay(critic, real, fake) -> torch.Tensor:
        return 0.1 * sum(w.square().sum() for w in critic.parameters())

    plain, normed = _pair()[1], networks.spectral_norm(_pair()[1])
    for critic in (plain, normed):
        _fit(discriminator=critic, penalty=decay)


def test_the_places_of_a_penalty_go_by_name() -> None:
    def own(critic, real, fake, target=0.0) -> torch.Tensor:
        return penalties.norm_deviation(penalties.input_gradient(critic, real), target)

    runs = [_fit(penalty=p).discriminator_loss for p in (own, lambda c, r, f: own(c, r, f))]
    assert torch.equal(*runs)


def test_a_critic_that_compares_samples_is_warned_of_under_a_penalty() -> None:
    class Centred(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(0, keepdim=True)

    critic = nn.Sequential(Centred(), _pair()[1])
    with pytest.warns(UserWarning, match="looks across its batch"):
        _fit(discriminator=critic, penalty=penalties.r1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fit(discriminator=critic)
        _fit(penalty=penalties.r1)


def test_frozen_normalisation_stays_frozen() -> None:
    generator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    generator[1].eval()
    _fit(generator=generator)
    assert generator[1].running_mean.abs().max() == 0
    generator.eval()
    _fit(generator=generator)
    assert generator[1].running_mean.abs().max() > 0
    assert not generator.training


def test_the_conditions_of_both_steps_are_fresh() -> None:
    seen: list[list[int]] = []
    generator, discriminator = _labelled_pair()
    hook = generator.register_forward_pre_hook(lambda module, given: seen.append(given[1].tolist()))
    training.fit(generator, discriminator, _Pairs(), steps=4, batch_size=16, progress=False)
    hook.remove()
    of_steps = seen[-8:]
    assert all(a != b for a, b in pairwise(of_steps))


def test_watching_leaves_torch_s_generator_as_it_was() -> None:
    def run(watch: Any) -> list[float]:
        critic = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        networks_of = networks.seeded(lambda: [nn.init.normal_(w) for w in critic.parameters()], 0)
        assert networks_of
        history = training.fit(
            _pair()[0], critic, data.ring(), steps=6, batch_size=8, watch=watch, watch_every=2
        )
        return history.discriminator_loss.tolist()

    assert run(None) == run(lambda step: {"x": torch.rand(3)})


def test_bfloat16_trains_in_both_forms() -> None:
    pair = [p.bfloat16() for p in _pair()]
    history = training.fit(*pair, torch.randn(64, 2), steps=20, options=[options.unrolled(1)])
    assert history.generator_loss.isfinite().all()


def test_a_run_that_diverges_in_its_last_step_is_told_and_not_saved(tmp_path) -> None:
    file = tmp_path / "run.pt"
    # The generator's slope is of the discriminator's weights, its step is infinite.
    given = {
        "loss": losses.wasserstein(), "steps": 1,
        "optimiser": (optimisers.SGD(1e38), optimisers.SGD(0.0)),
        "discriminator": nn.Sequential(nn.Linear(2, 1, bias=False)),
    }  # fmt: skip
    nn.init.constant_(given["discriminator"][0].weight, 1e3)
    with pytest.raises(FloatingPointError, match=r"generator's .* is not finite after step 1"):
        _fit(**given, checkpoint=file)
    assert not file.exists()
    with pytest.raises(FloatingPointError, match="is not finite after step 1"):
        _fit(**given)


def test_fixed_normalisation_may_stand_under_a_penalty() -> None:
    critic = _normalised_critic(nn.BatchNorm1d(4))
    critic[1].eval()
    _fit(discriminator=critic, penalty=penalties.r1)
    critic.eval()  # then fit would train it
    with pytest.raises(ValueError, match="normalises over the batch"):
        _fit(discriminator=critic, penalty=penalties.r1)
