"""``python -m ganlib score``: numbers for a trained model, each with its floor and its anchors.

The reference is data that the model never saw. Beside the model stand: the *floor*, what other
unseen data get, which is what a perfect generator would; and three samplers that know few features
of the data (:func:`ganlib.metrics.anchors`), which a model has to beat.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganlib import metrics, scoring
from ganlib.command import models, sources
from ganlib.command.arguments import command_parser, count, device, one_of
from ganlib.command.models import Model
from ganlib.command.sources import Source, is_picture
from ganlib.data import Mixture, Samples

__all__ = ["FEATURES", "parser", "run"]

_LEAST = 20  # samples in a reference and a floor: neighbours and covariances need some
_COARSE = 8  # side of the pictures whose pixels are compared
_JUDGED = 600  # unseen labelled pictures from which a classifier is trained and given the word

_EXAMPLES = """\
  # on the data it was trained on: what was held out then is the reference
  python -m ganlib score runs/photographs photographs
  # on other data of the same kind; features of a small classifier of the labels
  python -m ganlib score runs/digits mnist --features classifier --json out.json

The Fréchet and kernel distances are of pixels (pictures averaged to 8 x 8) or
of the features of a small classifier that is trained here: neither is FID or
KID, which take Inception's features.
"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    built = command_parser(
        "score", "MODEL DATA [options]",
        "Measure a trained model; every number beside its floor and its anchors.",
        _EXAMPLES,
    )  # fmt: skip
    add = built.add_argument
    add("model", type=Path, help=f"the folder of a run, or a file such as {models.FILE}")
    add("data", help="a folder of pictures, a table of points, or a named data set")
    add("--count", type=count(_LEAST), default=1000, help="samples compared, as far as there are "
        "data (default 1000)")  # fmt: skip
    add("--features", type=one_of("kind of features", FEATURES), help="pixels, or of a classifier "
        f"(default where {_JUDGED} labelled pictures were held out)")  # fmt: skip
    add("--skip-broken", action="store_true", help="name and leave out files that are no pictures")
    add("--json", type=Path, metavar="FILE", help="write the numbers to a file too")
    add("--raw", action="store_true", help="the weights of the last step, not their average")
    return built


#: From samples (N, ...) to what is compared of them, (N, d).
Features = Callable[[Tensor], Tensor]
Scores = dict[str, float]


class Split(NamedTuple):
    """The data of a score, in parts that have no sample in common."""

    training: Samples | None  #: what the model saw, if the data are those it was trained on
    judge: Samples | None  #: what a classifier is trained on
    reference: Samples  #: what generated samples are compared with
    floor: Samples  #: as many other ones, which a perfect generator would be


def run(options: argparse.Namespace) -> None:
    """Measure and print; ValueErrors for a file that is no model, and for too few or other data."""
    model = models.load(options.model, device(options.device), raw=options.raw)
    bar = False if options.quiet else None
    source = sources.read(
        options.data, model.reading, skip_broken=options.skip_broken, progress=bar
    )
    if source.shape != model.plan.shape:
        raise ValueError(
            f"a sample of {source.samples.name} has shape {source.shape}, one of {model.path} "
            f"{model.plan.shape}; give data like those that it was trained on "
            f"({model.training['data']})"
        )
    rng = torch.Generator("cpu").manual_seed(options.seed)
    split, kind = _split(model, source, options, rng)
    features, notes = FEATURES[kind](split)
    drawn, classes = _drawn(model, split.reference, options.seed)
    measures = [
        _distances(features, split), *_detail(split), *_copies(split), *_modes(source)
    ]  # fmt: skip

    def scores(samples: Tensor) -> Scores:
        return {name: value for measure in measures for name, value in measure(samples).items()}

    anchors = metrics.anchors(split.floor, scores, len(drawn), rng)
    found = {
        "model": scores(drawn), "floor": scores(split.floor.values), "Gaussian": anchors.gaussian,
        "shuffled": anchors.factorised, "ball": anchors.ball,
    }  # fmt: skip
    if classes is not None and split.judge is not None:
        _add_labels(found, split, drawn, classes)
    if "fine detail" in found["model"]:
        notes = [_DETAIL, *notes]
    if isinstance(source.samples, Samples):  # a distribution has nothing to copy
        notes = [_NO_COPIES if split.training is None else _COPIES, *notes]
    if options.json:
        told = {
            "model": str(model.path), "ganlib": model.version, "data": source.samples.name,
            "samples": len(drawn), "features": kind, "seed": options.seed, "scores": found,
            "training": model.training,
        }  # fmt: skip
        models.write_whole(options.json, (json.dumps(told, indent=1) + "\n").encode())
    if not options.quiet:
        what = f"{len(drawn)} samples of each, compared with {len(drawn)} unseen ones of "
        print("\n".join([what + source.samples.name, *_printed(found), *notes]))


def _split(
    model: Model, source: Source, options: argparse.Namespace, rng: torch.Generator
) -> tuple[Split, str]:
    """The parts of the data, and which features are compared."""
    samples, told = source.samples, model.training
    if isinstance(samples, Mixture):
        if options.features == "classifier":
            raise ValueError("a classifier judges labelled pictures; these are points: leave out "
                             "--features")  # fmt: skip
        two = (Samples(samples.name, samples.sample(options.count, rng)) for _ in range(2))
        return Split(None, None, *two), "pixels"
    training, unseen = None, samples
    if sources.fingerprint(samples) == told["fingerprint"]:
        training, held = sources.parts(samples, told["held_out"], told["seed"])
        if held is None:
            raise ValueError(
                f"{model.path} was trained on all of {samples.name} (--hold-out 0); give other "
                "data of the same kind, which it never saw"
            )
        unseen = held
    kind = options.features or (
        "classifier"
        if unseen.labels is not None and is_picture(source.shape) and len(unseen) >= _JUDGED
        else "pixels"
    )
    if kind == "classifier" and unseen.labels is None:
        raise ValueError(f"{samples.name} has no labels to train a classifier on; leave --features")
    shares = 3 if kind == "classifier" else 2
    count = min(options.count, len(unseen) // shares, len(training or unseen))
    if count < _LEAST:
        raise ValueError(_too_few(samples.name, len(unseen), training, shares * _LEAST))
    judged = len(unseen) - 2 * count if shares == 3 else 0
    reference, floor, *judge = scoring.split(
        unseen, count, count, *([judged] if judged else []), seed=options.seed
    )
    return Split(training, judge[0] if judge else None, reference, floor), kind


def _too_few(name: str, unseen: int, training: Samples | None, needed: int) -> str:
    """Why a score is refused, and what would do: more data, or another share of it held out."""
    had = f"{unseen} samples of {name} were never seen by the model"
    if training is None:
        return f"{had}; a score takes {needed} or more: give more data"
    total = unseen + len(training)
    said = (
        f"{had}, {len(training)} were trained on; a score takes {needed} or more of the first and "
        f"{_LEAST} or more of the second: "
    )
    if total < needed + _LEAST:
        return f"{said}train on more data, {needed + _LEAST} samples or more in all"
    held = max(needed, min(total // 2, total - _LEAST))
    return f"{said}train with --hold-out {held / total:.3f}, or on more data"


def _drawn(model: Model, reference: Samples, seed: int) -> tuple[Tensor, Tensor | None]:
    """As many samples of a model as there are in the reference, of its classes where they are."""
    z = model.latents(len(reference), seed)
    classes = model.in_turn(len(z))
    if classes is not None and reference.classes == model.plan.classes:
        classes = reference.labels if reference.labels is not None else classes
    return model.draw(z, classes), classes


def _pixels(split: Split) -> tuple[Features, list[str]]:
    def features(samples: Tensor) -> Tensor:
        if not is_picture(tuple(samples.shape[1:])):
            return samples
        return adaptive_avg_pool2d(samples, min(_COARSE, samples.shape[-1])).flatten(1)

    return features, []


def _classified(split: Split) -> tuple[Features, list[str]]:
    assert split.judge is not None
    scorer = scoring.fit_scorer(split.judge, split.reference)
    note = (
        f"features: the last hidden layer of a classifier of {len(split.judge)} unseen samples, "
        f"right on {scorer.accuracy:.1%} of the reference"
    )
    # What leaves the range of pictures, as the anchors do, is cut off as a file would cut it.
    return lambda samples: scoring.features(scorer, samples.clamp(-1, 1)), [note]


#: What is compared of samples, by name: from the parts of the data to features and notes.
FEATURES: dict[str, Callable[[Split], tuple[Features, list[str]]]] = {
    "pixels": _pixels, "classifier": _classified,
}  # fmt: skip


def _distances(features: Features, split: Split) -> Callable[[Tensor], Scores]:
    real = features(split.reference.values)
    unit = real.var(0).mean().sqrt().clamp(min=torch.finfo(real.dtype).tiny)
    real = real / unit

    def measure(samples: Tensor) -> Scores:
        fake = features(samples) / unit
        near = metrics.precision_recall(real, fake)
        return {
            "Fréchet distance": metrics.frechet_distance(real, fake) / real.shape[1],
            "kernel distance": metrics.kernel_distance(real, fake).value,
            "precision": near.precision, "recall": near.recall,
            "coverage": metrics.density_coverage(real, fake).coverage,
        }  # fmt: skip

    return measure


def _detail(split: Split) -> Iterator[Callable[[Tensor], Scores]]:
    """How much pictures vary from one pixel to the next: what averaging to 8 x 8 hides."""
    real = split.reference.values
    if is_picture(tuple(real.shape[1:])):
        unit = max(_roughness(real), torch.finfo(real.dtype).tiny)
        yield lambda samples: {"fine detail": _roughness(samples) / unit}


def _roughness(pictures: Tensor) -> float:
    steps = (pictures.diff(dim=-1), pictures.diff(dim=-2))
    return sum(step.square().mean().item() for step in steps) / 2


def _copies(split: Split) -> Iterator[Callable[[Tensor], Scores]]:
    if split.training is not None:
        seen = split.training.values[: len(split.reference)]  # in random order already
        yield lambda samples: {
            "copies": scoring.nearest_in_training(samples, seen, split.reference.values)
        }


def _modes(source: Source) -> Iterator[Callable[[Tensor], Scores]]:
    if isinstance(source.samples, Mixture) and _has_modes(source.samples):
        centres, std = source.samples.centres, source.samples.std

        def measure(samples: Tensor) -> Scores:
            found = metrics.mode_coverage(samples, centres, std)
            return {f"modes of {len(centres)}": found.modes, "on a mode": found.high_quality}

        yield measure


def _has_modes(mixture: Mixture) -> bool:
    try:
        mixture.labelled()
    except ValueError:  # a curve
        return False
    return True


def _add_labels(found: dict[str, Scores], split: Split, drawn: Tensor, classes: Tensor) -> None:
    assert split.judge is not None
    assert split.floor.labels is not None
    scorer = scoring.fit_scorer(split.judge, split.reference)
    right = scoring.label_accuracy(scorer, drawn, classes)
    for name, scores in found.items():
        scores["right class"] = right.featureless if name != "model" else right.accuracy
    of_floor = scoring.label_accuracy(scorer, split.floor.values, split.floor.labels)
    found["floor"]["right class"] = of_floor.accuracy


_BEST = {"Fréchet distance": "lowest", "kernel distance": "lowest", "copies": "floor",
         "fine detail": "floor"}  # fmt: skip
_LEGEND = """\
floor: other unseen data, which is what a perfect generator gets. Gaussian: the
mean and the covariance of the data; shuffled: each number from another sample;
ball: no feature at all. Features have variance 1; a Fréchet distance of 1 is
what the one average sample gets."""
_COPIES = """\
copies: the share nearer to a training sample than to as many unseen ones; of
copies 1."""
_DETAIL = """\
fine detail: how much neighbouring pixels differ, over what they do in real
pictures; below the floor blurred, above it specks."""
_NO_COPIES = "copies are not counted: these are not the data that the model was trained on."


def _printed(found: dict[str, Scores]) -> list[str]:
    names = list(found["model"])
    wide = max(map(len, names))
    head = " " * wide + "  best   " + "".join(f"{whose:>11}" for whose in found)
    rows = [
        f"{name:{wide}}  {_BEST.get(name, 'highest'):7}"
        + "".join(f"{scores[name]:11.3g}" for scores in found.values())
        for name in names
    ]
    return ["", head, *rows, "", _LEGEND]
