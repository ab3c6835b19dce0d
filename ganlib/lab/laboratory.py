"""What the laboratory computes, as one compiled module: the step, the noise's uses, the scores.

The step is :class:`ganlib.lab.flat.FlatStep` and the scores are :mod:`ganlib.metrics`; this file
only fixes shapes, and makes of draws what the step takes. :mod:`ganlib.lab.gan` and ``engine.js``
call the functions in the same order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import sympy as sp
import torch
from torch import Tensor

from ganlib import (
    batches,
    divergences,
    fdivergence,
    formulas,
    game,
    losses,
    metrics,
    networks,
    numerics,
    optimisers,
    pairs,
    penalties,
    step,
)
from ganlib.divergences import divergence
from ganlib.formulas import compile_formula
from ganlib.lab import flat, formula
from ganlib.lab.compiler import Module, compile_functions
from ganlib.lab.compiler.cache import kept, key_of
from ganlib.lab.compiler.program import Recordings
from ganlib.losses import critic_output

__all__ = [
    "LOSSES", "OWN", "PACKS", "PENALTIES", "Objective", "laboratory", "name_of",
    "weights_of_generator",
]  # fmt: skip

BATCH = 256  #: samples of a step; a smaller batch is repeated, which leaves every mean as it is
LATENT = 8  #: the widest latent; columns that are not used are zero
ANCHORS = 200  #: the most points that a target is made of
MODES = 32  #: the most modes that are counted
SCORED = 2500  #: samples that the metrics see, as in VEEGAN and PacGAN
SHOWN = 512  #: samples that a frame shows
ARROWS = 64
FIELD = 40  #: cells along each axis of the discriminator's field
LATTICE = 15  #: latents along each axis of the lattice whose images are shown
AXIS = 512  #: outputs at which the reader's formulas are drawn
BINS = 20  #: cells along each axis of the histogram whose divergence is measured
EVERY = 50  #: steps between two scores
KEPT = 400  #: scores that a history holds before every second one is dropped
PERFECT = 40  #: perfect samples whose divergences give its floor
WITHIN = 3.0  #: a sample of high quality is this many standard deviations from its anchor
PACKS = (1, 2, 4)
#: What is added to the discriminator's loss. Clipping is a setting of the step, not a penalty.
PENALTIES: dict[str, penalties.Penalty | None] = {
    "none": None, "r1": penalties.r1, "gp": penalties.gradient_penalty,
}  # fmt: skip

_k, _a, _b, _c = sp.symbols("k a b c", real=True)


class Objective(NamedTuple):
    """An entry of the menu of losses."""

    label: str
    loss: losses.Loss
    logistic: bool = False  #: the discriminator's output is the logit of a probability
    #: What the best D puts out where data and samples are equally likely: the least point of
    #: on_real + on_fake. None where every output is as good, as only differences count.
    middle: sp.Expr | float | None = 0.0


def _f_gan(name: str, middle: float = 0.0) -> Objective:
    of = divergence(name)
    return Objective(f"f-divergence: {of.title}", losses.f_gan(of), middle=middle)


#: The menu of losses; the place of an entry is the value of k.
LOSSES: dict[str, Objective] = {
    "minimax": Objective("minimax", losses.minimax(), True),
    "non-saturating": Objective("non-saturating", losses.non_saturating(), True),
    "least-squares": Objective(
        "least squares", losses.least_squares(_a, _b, _c), middle=(_a + _b) / 2
    ),
    "wasserstein": Objective("Wasserstein", losses.wasserstein(), middle=None),
    "hinge": Objective("hinge", losses.hinge()),
    "kl": _f_gan("kl", 1.0),
    "reverse-kl": _f_gan("reverse_kl"),
    "pearson": _f_gan("pearson"),
    "squared-hellinger": _f_gan("squared_hellinger"),
    "jensen-shannon": _f_gan("jensen_shannon"),
}


OWN = "own"  #: the reader's own loss, which no module of the menu holds


@functools.cache
def laboratory(
    pack: int = 1, penalty: str = "none", hidden: tuple[int, ...] = (64, 64), own: bool = False
) -> Module:
    """All that a run computes, as one compiled module.

    One module a pack, a penalty, and the menu of losses or the reader's own formulas: a page
    fetches the one it runs, and no other. The state of all modules of a pack is the same.

    Parameters
    ----------
    pack
        Samples that the discriminator sees at once; it divides 256.
    penalty
        A name of :data:`PENALTIES`.
    hidden
        Widths of the hidden layers of both networks, with LeakyReLU of slope 0.2 between.
    own
        Whether the loss is three programs (:func:`ganlib.lab.formula.programs`), which come with
        the settings, after the value of c.

    Returns
    -------
    Module
        Its functions: ``initial``, ``latents``, ``reals``, ``discriminator``, ``generator``,
        ``look``, ``judge``, ``generate``, ``perfect``, ``reference``, ``divergence``,
        ``coverage``, and with ``own`` also ``curves``, the formulas' values and slopes along an
        ``axis``. Their arguments share buffers by name; where a function returns a name that
        it was given, noise goes in and what is made of it comes out at the same place.
    """
    key = key_of(f"{pack} {penalty} {hidden} {own}", [*_SOURCES, Path(__file__)])
    return Module.load(kept(key, lambda: _compiled(pack, penalty, hidden, own).dump()))


def weights_of_generator(hidden: tuple[int, ...] = (64, 64)) -> int:
    """How many weights stand before the discriminator's in a module's state."""
    return sum(w.numel() for w in networks.mlp(LATENT, *hidden, 2).parameters())


def name_of(pack: int, penalty: str, own: bool = False) -> str:
    """The name of the module that a run with these settings needs."""
    return f"{OWN * own}pack{pack}-{penalty if penalty in PENALTIES else 'none'}"


_SOURCES = (
    batches, divergences, fdivergence, flat, formula, formulas, game, losses, metrics, networks,
    numerics, optimisers, pairs, penalties, step,
)  # fmt: skip


_RECORDED: Recordings = {}  # what the modules of a pack share is recorded once


def _compiled(pack: int, penalty: str, hidden: tuple[int, ...], own: bool) -> Module:
    chosen = {
        name.removesuffix(f"_{penalty}"): function
        for name, function in _functions(pack, hidden, own).items()
        if not name.startswith("discriminator_") or name == f"discriminator_{penalty}"
    }
    often = {"latents", "reals", "discriminator", "generator"}
    return compile_functions(chosen, noise=True, seldom=chosen.keys() - often, recorded=_RECORDED)


@functools.cache  # so that what the modules of a pack share is recorded once
def _functions(
    pack: int, hidden: tuple[int, ...], own: bool
) -> dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]]:
    menu = losses.one_of(_k, *(o.loss for o in LOSSES.values()))
    loss = formula.Typed() if own else menu
    parameters = (_k, _a, _b, _c)
    generator_net = networks.mlp(LATENT, *hidden, 2)
    discriminator_net = networks.mlp(2 * pack, *hidden, 1)
    games = {
        name: flat.FlatStep(generator_net, discriminator_net, loss, penalty, parameters, pack)
        for name, penalty in PENALTIES.items()
    }
    game = games["none"]
    state = torch.zeros_like(game.initial())
    layers = _linear(generator_net, discriminator_net)
    sizes = [layer.weight.numel() + layer.bias.numel() for layer in layers]

    def initial(state: Tensor, uniform: Tensor, width: Tensor) -> dict[str, Tensor]:
        # torch.nn.Linear's own: uniform in +-1/sqrt(inputs), of which the latent has `width`.
        bounds: list[Tensor | float] = [
            width.rsqrt(),
            *(1 / math.sqrt(layer.in_features) for layer in layers[1:]),
        ]
        parts = torch.split(2 * uniform - 1, sizes)
        weights = [bound * part for bound, part in zip(bounds, parts, strict=True)]
        return {"state": torch.cat([*weights, torch.zeros(len(state) - sum(sizes))])}

    def latents(latent: Tensor, normal: Tensor, width: Tensor, batch: Tensor) -> dict[str, Tensor]:
        row = modulo(torch.arange(BATCH)[:, None], batch)
        column = torch.arange(LATENT)
        drawn = normal[(row * width + column).long()]
        return {"latent": torch.where(column < width, drawn, torch.zeros_like(drawn))}

    def modulo(place: Tensor, batch: Tensor) -> Tensor:
        # Exact, as batches are powers of 2; and smaller than the C library's.
        return place - batch * (place / batch).floor()

    def place(uniform: Tensor, anchors: Tensor, count: Tensor) -> Tensor:
        return anchors[torch.minimum((uniform * count).floor(), count - 1).long()]

    def reals(
        real: Tensor,
        places: Tensor,
        mix: Tensor,
        anchors: Tensor,
        count: Tensor,
        std: Tensor,
        batch: Tensor,
    ) -> dict[str, Tensor]:
        again = modulo(torch.arange(BATCH), batch).long()
        again_pack = modulo(torch.arange(BATCH // pack), batch / pack).long()
        drawn = place(places, anchors, count) + std * real
        return {"real": drawn[again], "mix": mix[again_pack]}

    def discriminator(
        game: flat.FlatStep,
    ) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], flat.Stepped]:
        def discriminator(
            state: Tensor, real: Tensor, latent: Tensor, mix: Tensor, settings: Tensor
        ) -> flat.Stepped:
            return game.discriminator_step(state, real, latent, mix, settings)

        return discriminator

    def generator(state: Tensor, latent: Tensor, settings: Tensor) -> flat.Stepped:
        return game.generator_step(state, latent, settings)

    def used(latent: Tensor, width: Tensor) -> Tensor:
        return torch.where(torch.arange(LATENT) < width, latent, torch.zeros_like(latent))

    def said(output: Tensor, logistic: Tensor) -> Tensor:
        # What D says: a probability, or the raw output of a critic that has none.
        return torch.where(logistic > 0, torch.sigmoid(output), output)

    def programs(settings: Tensor) -> Tensor:
        named = len(flat.SETTINGS) + len(parameters)
        return settings[named:].reshape(len(formula.NAMES), formula.LENGTH, 2)

    def curves(axis: Tensor, settings: Tensor) -> dict[str, Tensor]:
        found = [formula.formula(axis, one) for one in programs(settings)]
        values, slopes = (torch.stack(list(each)) for each in zip(*found, strict=True))
        return {"values": values, "slopes": slopes}

    def pull(state: Tensor, settings: Tensor, points: Tensor) -> Tensor:
        # Minus the slope of the generator's cost at each of these samples.
        def cost(points: Tensor) -> Tensor:
            output = game.critic(state, points.reshape(len(points) // pack, -1))
            if own:
                return formula.formula(output, programs(settings)[2])[0].sum()
            values = settings[len(flat.SETTINGS) :].unbind()
            return compile_formula(menu.of_generator, critic_output, *parameters)(
                output, *values
            ).sum()

        return -torch.func.grad(cost)(points)

    def look(
        state: Tensor,
        evaluation: Tensor,
        width: Tensor,
        limits: Tensor,
        logistic: Tensor,
        settings: Tensor,
    ) -> dict[str, Tensor]:
        samples = game.sample(state, used(evaluation[:SHOWN], width))
        cell = (torch.arange(FIELD) + 0.5 + 0 * width) / FIELD
        x, y = (limits[2 * i] + (limits[2 * i + 1] - limits[2 * i]) * cell for i in (0, 1))
        points = torch.stack([x.expand(FIELD, FIELD), y[:, None].expand(FIELD, FIELD)], -1)
        same = torch.cat([points.reshape(-1, 2)] * pack, dim=1)
        judged = game.critic(state, same)[:, 0]
        axis = torch.arange(LATTICE) * (4 / (LATTICE - 1)) - 2
        # "+ 0 * width": so that the module computes a table, and does not hold it.
        column = torch.arange(LATENT) + 0 * width
        across = torch.where(column == 0, axis[None, :, None], 0 * width)
        lattice = torch.where(column == 1, axis[:, None, None], across)
        away = samples[:ARROWS]
        return {
            "samples": samples,
            "field": said(judged, logistic),
            "map": game.sample(state, used(lattice.reshape(-1, LATENT), width)),
            "arrows": torch.cat([away, pull(state, settings, away)], dim=1),
        }

    def judge(
        state: Tensor, latent: Tensor, real: Tensor, settings: Tensor, logistic: Tensor
    ) -> dict[str, Tensor]:
        fake = game.sample(state, latent)
        packs = torch.cat([real.reshape(-1, 2 * pack), fake.reshape(-1, 2 * pack)])
        real_said, fake_said = said(game.critic(state, packs)[:, 0], logistic).chunk(2)
        return {
            "fake": fake,
            "said_real": real_said + 0,  # a copy each: a view has no buffer of its own
            "said_fake": fake_said + 0,
            "pull": pull(state, settings, fake),
        }

    def generate(
        points: Tensor, state: Tensor, evaluation: Tensor, width: Tensor
    ) -> dict[str, Tensor]:
        return {"points": game.sample(state, used(evaluation, width))}

    def perfect(
        points: Tensor, many_places: Tensor, anchors: Tensor, count: Tensor, std: Tensor
    ) -> dict[str, Tensor]:
        return {"points": place(many_places, anchors, count) + std * points}

    def reference(
        reference: Tensor, anchors: Tensor, count: Tensor, std: Tensor, limits: Tensor
    ) -> dict[str, Tensor]:
        index = torch.arange(ANCHORS)
        weights = torch.where(index < count, 1 / count, torch.zeros(ANCHORS))
        return {
            "reference": metrics.cell_masses(anchors, weights, std, limits[::2], limits[1::2], BINS)
        }

    def divergence_(points: Tensor, reference: Tensor, limits: Tensor) -> dict[str, Tensor]:
        counts = metrics.cell_counts(points, limits[::2], limits[1::2], BINS)
        return {"divergence": metrics.cell_jsd(reference, counts / SCORED)}

    def coverage(points: Tensor, anchors: Tensor, count: Tensor, std: Tensor) -> dict[str, Tensor]:
        far = torch.full((MODES, 2), 1e6)
        centres = torch.where(torch.arange(MODES)[:, None] < count, anchors[:MODES], far)
        counts = metrics.mode_counts(points, centres, WITHIN * std)
        fair = (counts > 0) & (counts * count >= metrics.FAIR * counts.sum())
        return {
            "modes": (counts > 0).float().sum(),
            "fair": fair.float().sum(),
            "quality": counts.sum() / SCORED,
        }

    number = torch.ones(())
    latent, real, mix = (
        torch.zeros(BATCH, LATENT),
        torch.zeros(BATCH, 2),
        torch.zeros(BATCH // pack, 1),
    )
    anchors, points, evaluation = (
        torch.zeros(ANCHORS, 2),
        torch.zeros(SCORED, 2),
        torch.zeros(SCORED, LATENT),
    )
    settings = flat.settings(parameters=(0.0, 0.0, 1.0, 1.0))
    if own:
        settings = torch.cat([settings, torch.zeros(len(formula.NAMES) * formula.LENGTH * 2)])
    cells, limits = torch.zeros(BINS, BINS), torch.tensor([-1.0, 1.0, -1.0, 1.0])
    target = (anchors, number, number)
    return {
            "initial": (initial, (state, torch.zeros(sum(sizes)), number)),
            "latents": (latents, (latent, torch.zeros(BATCH * LATENT), number, number)),
            "reals": (reals, (real, torch.zeros(BATCH), mix, *target, number)),
            **{
                f"discriminator_{name}": (
                    discriminator(game), (state, real, latent, mix, settings))
                for name, game in games.items()
            },
            "generator": (generator, (state, latent, settings)),
            "look": (look, (state, evaluation, number, limits, number, settings)),
            "judge": (judge, (state, latent, real, settings, number)),
            "generate": (generate, (points, state, evaluation, number)),
            "perfect": (perfect, (points, torch.zeros(SCORED), *target)),
            "reference": (reference, (cells, *target, limits)),
            "divergence": (divergence_, (points, cells, limits)),
            "coverage": (coverage, (points, *target)),
            **({"curves": (curves, (torch.zeros(AXIS), settings))} if own else {}),
    }  # fmt: skip


def _linear(*networks: torch.nn.Module) -> list[torch.nn.Linear]:
    return [m for network in networks for m in network.modules() if isinstance(m, torch.nn.Linear)]
