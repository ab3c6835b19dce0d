"""What a run on digits computes, as one compiled module.

The step is :class:`ganlib.lab.flat.FlatStep` on pairs of a picture and its class, with the
networks of `conditional`; this file fixes their sizes, and makes of draws what the step takes.
:mod:`ganlib.lab.digits.run` and ``digits-engine.js`` call the functions in the same order.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ganlib import batches, game, losses, numerics, optimisers, step
from ganlib.lab import flat
from ganlib.lab.compiler import Module, compile_functions
from ganlib.lab.compiler.cache import kept, key_of
from ganlib.lab.digits.pictures import CLASSES, PIXELS, TRAINING, judge_network
from ganlib.networks import Conditional, Projection, conditional, leaky_relu, mlp, plain

__all__ = ["ASKED", "JUDGED", "LATENT", "MAP", "ROWS", "SETTINGS", "module", "within"]

LATENT = 16  #: numbers in a latent
BATCH = 64  #: pictures of a step, real and generated
ROWS = 6  #: latents on show, each in ten classes; the first four are the corners of the pad
JUDGED = 20  #: other latents, whose pictures in ten classes the classifier judges
ASKED = JUDGED * CLASSES  #: pictures that it judges
MAP = 7  #: latents along each side of the pad that are drawn on it
WIDTH_G, WIDTH_D = 128, 64
RATE, BETAS = 2e-3, (0.0, 0.99)  #: of both players' Adam
DECAY = 0.998  #: of the average of the generator's weights, once it has run for long
#: The numbers of a step, in the order of :data:`ganlib.lab.flat.SETTINGS`.
SETTINGS: list[float] = flat.settings(learning_rate=RATE, betas=BETAS, clip=1e9).tolist()
RAMP = 10  #: steps: after t of them the average forgets 1 / (1 + t / RAMP) a step, at least


def generator() -> nn.Module:
    """From latents (N, 16) and one-hot rows (N, 10) to pictures (N, 64) in [-1, 1]."""
    return Conditional(mlp(LATENT + CLASSES, WIDTH_G, PIXELS, output=nn.Tanh))


def discriminator() -> nn.Module:
    """From pictures (N, 64) and one-hot rows (N, 10) to logits: the projection discriminator."""
    features = nn.Sequential(*mlp(PIXELS, WIDTH_D), leaky_relu())
    embedding = nn.Linear(CLASSES, WIDTH_D, bias=False)
    return Projection(features, nn.Linear(WIDTH_D, 1), embedding=embedding)


def within(pictures: Tensor) -> Tensor:
    """The mean variance of a pixel within a class, of pictures (N, classes, 64), N at least 2."""
    mean = pictures.mean(0)
    return (pictures - mean).square().sum(0).mean() / (len(pictures) - 1)


@functools.cache
def module() -> Module:
    """All that a run computes, as one compiled module.

    Its functions: ``initial``, ``discriminator``, ``generator``, ``look``, ``verdict``, ``mix``,
    ``chart``, ``nearest``. Their arguments share buffers by name; ``pictures``, ``labels`` and
    ``judge`` are filled once, from :func:`ganlib.lab.digits.pictures.unpacked`.
    """
    key = key_of("digits", [*_SOURCES, Path(__file__), Path(__file__).with_name("pictures.py")])
    return Module.load(kept(key, lambda: _compiled().dump()))


_SOURCES = (batches, conditional, flat, game, losses, numerics, optimisers, plain, step)


def _compiled() -> Module:
    functions = _functions()
    seldom = functions.keys() - {"discriminator", "generator"}
    return compile_functions(functions, noise=True, seldom=seldom)


def _functions() -> dict[str, tuple[Any, tuple[Tensor, ...]]]:
    players = generator(), discriminator()
    rule = flat.FlatStep(*players, losses.non_saturating())
    settings = torch.tensor(SETTINGS)
    state = torch.zeros_like(rule.initial())
    weights = [weight for player in players for weight in player.parameters()]
    sizes = [weight.numel() for weight in weights]
    own = sum(weight.numel() for weight in players[0].parameters())
    bounds = [bound for player in players for bound in _bounds(player)]

    def initial(state: Tensor, average: Tensor, uniform: Tensor) -> dict[str, Tensor]:
        # torch.nn.Linear's own: uniform in +-1/sqrt(inputs).
        parts = torch.split(2 * uniform - 1, sizes)
        drawn = torch.cat([bound * part for bound, part in zip(bounds, parts, strict=True)])
        rest = torch.zeros(len(state) - sum(sizes))
        return {"state": torch.cat([drawn, rest]), "average": drawn[:own]}

    def rows(uniform: Tensor) -> Tensor:
        return torch.clamp((uniform * TRAINING).floor(), max=TRAINING - 1).long()

    def one_hot(labels: Tensor) -> Tensor:
        return (labels[:, None] == torch.arange(CLASSES)).float()

    # Generated pictures are asked for the classes of training pictures drawn at random: labels of
    # another law would tell them from the data (`conditional`).
    def discriminator_(
        state: Tensor,
        places: Tensor,
        latent: Tensor,
        asked: Tensor,
        pictures: Tensor,
        labels: Tensor,
        settings: Tensor,
    ) -> flat.Stepped:
        real = rows(places)
        return rule.discriminator_step(
            state,
            (pictures[real], one_hot(labels[real])),
            (latent, one_hot(labels[rows(asked)])),
            None,
            settings,
        )

    def generator_(
        state: Tensor,
        average: Tensor,
        latent: Tensor,
        asked: Tensor,
        labels: Tensor,
        settings: Tensor,
    ) -> dict[str, Tensor]:
        after, loss = rule.generator_step(state, (latent, one_hot(labels[rows(asked)])), settings)
        taken = after[-2]  # the generator's steps, which Adam counts
        keep = torch.clamp(1 - 1 / (1 + taken / RAMP), max=DECAY)
        mean = keep * average + (1 - keep) * after[:own]
        return {"state": after, "average": mean, "loss": loss}

    def drawn(average: Tensor, latents: Tensor, classes: Tensor) -> Tensor:
        named = rule.weights(torch.cat([average, state[own:]]))[0]
        return functional_call(players[0], named, (latents, classes))

    def in_ten(average: Tensor, latents: Tensor) -> Tensor:
        """Each latent in ten classes, (10 N, 64)."""
        each = latents[:, None].expand(-1, CLASSES, -1).reshape(-1, LATENT)
        again = torch.eye(CLASSES).expand(len(latents), -1, -1).reshape(-1, CLASSES)
        return drawn(average, each, again)

    critic = judge_network()
    shapes = {name: weight.shape for name, weight in critic.named_parameters()}

    def read(judge: Tensor, pictures: Tensor) -> Tensor:
        """The class that the classifier reads, a whole number as a float."""
        pieces = torch.split(judge, [shape.numel() for shape in shapes.values()])
        named = {
            name: piece.reshape(shape)
            for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
        }
        return functional_call(critic, named, (pictures,)).argmax(dim=1).float()

    def look(average: Tensor, shown: Tensor, judge: Tensor) -> dict[str, Tensor]:
        made = in_ten(average, shown)
        return {"samples": made, "read": read(judge, made)}

    def verdict(average: Tensor, judged: Tensor, judge: Tensor) -> dict[str, Tensor]:
        made = in_ten(average, judged)
        spread = within(made.reshape(JUDGED, CLASSES, PIXELS))
        return {"answers": read(judge, made), "spread": spread}

    def between(shown: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Latents between the four corners; mixed so that each is standard normal too."""
        shares = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], dim=1)
        return shares @ shown[:4] / shares.square().sum(1, keepdim=True).sqrt()

    def mix(average: Tensor, shown: Tensor, at: Tensor, judge: Tensor) -> dict[str, Tensor]:
        made = in_ten(average, between(shown, at[:1], at[1:]))
        return {"mixed": made, "read_mixed": read(judge, made)}

    def chart(average: Tensor, shown: Tensor, digit: Tensor) -> dict[str, Tensor]:
        axis = (torch.arange(MAP) + 0.5) / MAP
        x, y = axis.repeat(MAP), axis[:, None].expand(MAP, MAP).reshape(-1)
        asked = one_hot(digit.expand(MAP * MAP))
        return {"chart": drawn(average, between(shown, x, y), asked)}

    def nearest(pictures: Tensor, picture: Tensor) -> dict[str, Tensor]:
        # A direct sum in float32: the differences of grey levels are sixteenths or more.
        squares = (pictures - picture).square().mean(1)
        place = squares.argmin()
        return {"place": place.float(), "distance": squares.amin().sqrt()}

    pictures, labels = torch.zeros(TRAINING, PIXELS), torch.zeros(TRAINING)
    average, latent, batch = torch.zeros(own), torch.zeros(BATCH, LATENT), torch.zeros(BATCH)
    shown, judged = torch.zeros(ROWS, LATENT), torch.zeros(JUDGED, LATENT)
    judge = torch.zeros(sum(shape.numel() for shape in shapes.values()))
    one = torch.zeros(1)
    return {
        "initial": (initial, (state, average, torch.zeros(sum(sizes)))),
        "discriminator": (
            discriminator_, (state, batch, latent, batch, pictures, labels, settings)),
        "generator": (generator_, (state, average, latent, batch, labels, settings)),
        "look": (look, (average, shown, judge)),
        "verdict": (verdict, (average, judged, judge)),
        "mix": (mix, (average, shown, torch.zeros(2), judge)),
        "chart": (chart, (average, shown, one)),
        "nearest": (nearest, (pictures, torch.zeros(PIXELS))),
    }  # fmt: skip


def _bounds(player: nn.Module) -> list[float]:
    """Where torch.nn.Linear draws each weight of a network from, in the order of its weights."""
    return [
        1 / math.sqrt(layer.in_features)
        for layer in player.modules()
        if isinstance(layer, nn.Linear)
        for _ in layer.parameters()
    ]
