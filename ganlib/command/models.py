"""Models as files: safetensors, with all that is needed to build the networks again.

A file holds the generator's weights and buffers and, where training kept one, their average;
its metadata are the library's version, the :class:`Plan` of the networks, the
:class:`~ganlib.command.sources.Reading` of the data, and how the model was trained. Nothing in it
is code: reading a file that somebody else made runs none.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor, nn
from tqdm.auto import tqdm

import ganlib
from ganlib.command.arguments import known
from ganlib.command.sources import Reading, is_picture
from ganlib.draws import latents
from ganlib.networks import (
    Conditional,
    JoinedFeatures,
    Projection,
    dcgan_discriminator,
    dcgan_generator,
    latent_shape,
    mlp,
    spectral_norm,
)
from ganlib.networks.plain import seeded
from ganlib.training import sample

__all__ = ["FILE", "LABEL_IN", "NETWORKS", "Model", "Plan", "load", "save", "write_whole"]

#: The name of a model in the folder of its run.
FILE = "model.safetensors"
_FORMAT = "ganlib model 1"
_HEAD = 128  # hidden units after class and features were joined
_CHUNK = 256  # samples a forward pass: bounds memory


@dataclass(frozen=True)
class Plan:
    """What decides the networks of a model, and their first weights.

    Attributes
    ----------
    network
        One of :data:`NETWORKS`.
    shape
        Of one sample: (d,) or (channels, size, size).
    classes
        Their names; none for a model without a condition.
    latent, width
        Numbers in a latent; width of the hidden layers (channels of the finest, for a DCGAN).
    normalise, spectral
        Of a DCGAN's discriminator: batch normalisation; of any: spectral norm.
    seed
        Of the first weights.
    label_in
        Where the discriminator meets the class: one of :data:`LABEL_IN`.
    """

    network: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    latent: int = 16
    width: int = 64
    normalise: bool = True
    spectral: bool = False
    seed: int = 0
    label_in: str = "input"  # models of before this was a choice do not say it

    @property
    def numbers(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.shape)

    def generator(self) -> nn.Module:
        """From latents, with classes from (z, y), to samples, in the form they are trained in."""
        built = NETWORKS[self.network].generator(self)
        return Conditional(built, len(self.classes)) if self.classes else built

    def discriminator(self) -> nn.Module:
        """From samples, with classes from (x, y), to one raw output each."""
        built = NETWORKS[self.network].discriminator(self)
        if self.classes:
            built = LABEL_IN[self.label_in](self, built)
        return spectral_norm(built) if self.spectral else built

    @property
    def beside(self) -> int:
        """How many numbers of the class stand beside a discriminator's input."""
        return len(self.classes) if self.label_in == "input" else 0

    def trained_as(self, samples: Tensor) -> Tensor:
        """Samples as the networks have them: in rows, or as pictures."""
        return samples.flatten(1) if NETWORKS[self.network].flat else samples


class Network(NamedTuple):
    """How the two networks of a kind are built, and whether they have samples in flat rows."""

    generator: Callable[[Plan], nn.Module]
    discriminator: Callable[[Plan], nn.Module]
    flat: bool


def _mlp_generator(plan: Plan) -> nn.Module:
    return mlp(
        plan.latent + len(plan.classes), plan.width, plan.width, plan.numbers, seed=plan.seed,
        output=nn.Tanh if is_picture(plan.shape) else None,
    )  # fmt: skip


def _mlp_discriminator(plan: Plan) -> nn.Module:
    sizes = plan.numbers + plan.beside, plan.width, plan.width, 1
    return mlp(*sizes, seed=plan.seed + 1)


def _dcgan_generator(plan: Plan) -> nn.Module:
    channels, side = _picture(plan)
    return dcgan_generator(
        plan.latent + len(plan.classes), side, channels, width=plan.width, seed=plan.seed
    )


def _dcgan_discriminator(plan: Plan) -> nn.Module:
    channels, side = _picture(plan)
    return dcgan_discriminator(
        side, channels + plan.beside, width=plan.width, normalise=plan.normalise,
        seed=plan.seed + 1,
    )  # fmt: skip


def _picture(plan: Plan) -> tuple[int, int]:
    if not is_picture(plan.shape):
        raise ValueError(
            f"a dcgan makes pictures, and a sample of these data is {plan.numbers} numbers; choose "
            "--network mlp"
        )
    return plan.shape[0], plan.shape[-1]


def _beside(plan: Plan, network: nn.Module) -> nn.Module:
    return Conditional(network, len(plan.classes))


def _projected(plan: Plan, network: nn.Module) -> nn.Module:
    features, head, count = _halves(plan, network)
    directions = seeded(lambda: nn.Linear(len(plan.classes), count, bias=False), plan.seed + 2)
    return Projection(features, head, len(plan.classes), embedding=directions)


def _joined(plan: Plan, network: nn.Module) -> nn.Module:
    features, _, count = _halves(plan, network)
    head = mlp(count + len(plan.classes), _HEAD, 1, seed=plan.seed + 2)
    return JoinedFeatures(features, head, len(plan.classes))


def _halves(plan: Plan, network: nn.Module) -> tuple[nn.Module, nn.Module, int]:
    """A discriminator's features (N, F), the linear head on them, and F."""
    assert isinstance(network, nn.Sequential)
    layers = list(network)
    if NETWORKS[plan.network].flat:
        last = layers[-1]
        assert isinstance(last, nn.Linear)
        return nn.Sequential(*layers[:-1]), last, last.in_features
    last = layers[-2]  # over all of the coarsest grid; then nn.Flatten
    assert isinstance(last, nn.Conv2d)
    grid = last.weight.shape[1:]
    head = nn.Sequential(nn.Unflatten(1, grid), *layers[-2:])
    return nn.Sequential(*layers[:-2], nn.Flatten()), head, grid.numel()


#: Where a discriminator meets the class, by name.
LABEL_IN: dict[str, Callable[[Plan, nn.Module], nn.Module]] = {
    "input": _beside, "projection": _projected, "features": _joined,
}  # fmt: skip

#: The kinds of networks.
NETWORKS = {
    "mlp": Network(_mlp_generator, _mlp_discriminator, flat=True),
    "dcgan": Network(_dcgan_generator, _dcgan_discriminator, flat=False),
}


@dataclass(frozen=True)
class Model:
    """A generator that was read from a file, and what the file says of it.

    Attributes
    ----------
    path, version
        The file, and the version of the library that wrote it.
    generator
        In evaluation mode, where it was asked to be.
    plan, reading
        What it is made of; how its data were read.
    training
        How it was trained: plain values by name.
    averaged
        Whether the weights are the average over training.
    """

    path: Path
    version: str
    generator: nn.Module
    plan: Plan
    reading: Reading
    training: dict[str, Any]
    averaged: bool

    def latents(self, count: int, seed: int) -> Tensor:
        """``count`` latents, those of every call with this seed."""
        like = next(self.generator.parameters())
        rng = torch.Generator("cpu").manual_seed(seed)
        return latents(self.generator, self.plan.latent, like)(count, rng)

    def draw(
        self, z: Tensor, classes: Tensor | None = None, *, progress: bool | None = None
    ) -> Tensor:
        """Samples of latents (N, ...), shape (N, *shape), on the CPU; class numbers (N,)."""
        made = []
        starts = range(0, len(z), _CHUNK)
        for start in tqdm(starts, "drawing", disable=progress is False, delay=2.0, leave=False):
            part = z[start : start + _CHUNK]
            condition = None if classes is None else classes[start : start + _CHUNK]
            made.append(
                sample(
                    self.generator, len(part), condition=condition, latent=lambda *_, z=part: z
                ).cpu()
            )
        return torch.cat(made).reshape(len(z), *self.plan.shape)

    def in_turn(self, count: int, names: list[str] | None = None) -> Tensor | None:
        """Class numbers (count,): those of ``names``, or of all classes, one after the other.

        None for a model without classes; ValueError for a name that is no class.
        """
        every = self.plan.classes
        if not every:
            if names:
                raise ValueError(
                    f"{self.path} was trained without classes; leave --class out, or train with "
                    "--conditional"
                )
            return None
        chosen = [every.index(known(name, "class of this model", every)) for name in names or every]
        return torch.tensor(chosen)[torch.arange(count) % len(chosen)]


def save(
    path: Path,
    plan: Plan,
    reading: Reading,
    training: Mapping[str, Any],
    generator: nn.Module,
    averaged: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model: whole, or not at all.

    Parameters
    ----------
    training
        Plain values by name.
    averaged
        The generator's averaged weights and buffers, if there are any.
    """
    held = {f"generator.{name}": value for name, value in generator.state_dict().items()}
    held |= {f"averaged.{name}": value for name, value in (averaged or {}).items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in held.items()}
    told = {"plan": asdict(plan), "reading": asdict(reading), "training": dict(training)}
    metadata = {name: json.dumps(value) for name, value in told.items()}
    metadata |= {"format": _FORMAT, "ganlib": ganlib.__version__}
    write_whole(path, safetensors.save(tensors, metadata))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its name, then give it the name: nobody reads half of it."""
    partial = path.with_name(f"{path.name}.partial")  # of a killed run: the next one writes over it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}); free some space, or name "
            "another place. What stood there before is whole"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def load(path: Path, device: torch.device, *, raw: bool = False) -> Model:
    """Read a model.

    Parameters
    ----------
    path
        The file, or the folder of a run.
    device
        Where the generator is to be.
    raw
        The weights of the last step, also where there is an average.

    Raises
    ------
    ValueError
        For a file that is not there, is cut short, or is no model of this library.
    """
    path = path.expanduser()
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        where = "has no model yet" if path.is_dir() else "is not there"
        raise ValueError(f"{path} {where}; give the folder of a run, or a file {FILE}")
    try:
        with safe_open(file, "pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{file} is damaged, cut short, or no safetensors file ({error}); copy it again, or "
            "train again: the same command goes on from the run's checkpoint"
        ) from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"{file} is a safetensors file of {metadata.get('format', 'unknown origin')!r}, not "
            f"{_FORMAT!r}; give one that `python -m ganlib train` wrote"
        )
    averaged = not raw and any(name.startswith("averaged.") for name in tensors)
    prefix = "averaged." if averaged else "generator."
    weights = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    try:
        plan = Plan(**_listed(json.loads(metadata["plan"])))
        reading = Reading(**_listed(json.loads(metadata["reading"])))
        training = json.loads(metadata["training"])
        with torch.device("meta"):  # the weights come from the file
            generator = plan.generator()
        generator.load_state_dict(weights, assign=True)
        latent_shape(generator, plan.latent)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{file} does not hold what its settings say ({str(error).splitlines()[0]}); it was "
            f"written by ganlib {metadata.get('ganlib', '?')}, this is {ganlib.__version__}"
        ) from error
    generator.to(device).eval()
    version = metadata.get("ganlib", "?")
    return Model(file, version, generator, plan, reading, training, averaged)


def _listed(values: dict[str, Any]) -> dict[str, Any]:
    # JSON has no tuples.
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
