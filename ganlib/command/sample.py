"""``python -m ganlib sample``: pictures, or points, of a trained model."""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlib.command import models, pictures
from ganlib.command.arguments import command_parser, count, device
from ganlib.command.models import Model
from ganlib.command.sources import is_picture

__all__ = ["parser", "run", "walk"]

_EXAMPLES = """\
  # a grid of 64 pictures
  python -m ganlib sample runs/photographs --out faces.png
  # 1,000 single files, from another seed
  python -m ganlib sample runs/photographs --count 1000 --seed 7 --each faces
  # by class: cats and dogs in turn, the same latents for both
  python -m ganlib sample runs/animals --class cat --class dog --same
  # five walks from one latent to the next, eight pictures each
  python -m ganlib sample runs/photographs --walk 8 --count 40 --out walk.png
  # points, in the units of the table that the model learnt from
  python -m ganlib sample runs/flowers --count 500 --out flowers.csv
"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    built = command_parser(
        "sample", "MODEL [options]", "Draw pictures, or points, from a trained model.", _EXAMPLES
    )
    add = built.add_argument
    add("model", type=Path, help=f"the folder of a run, or a file such as {models.FILE}")
    add("--out", type=Path, metavar="FILE", help="the grid, a .png (default samples.png); of "
        "points the table, a .csv (default samples.csv)")  # fmt: skip
    add("--each", type=Path, metavar="FOLDER", help="write every picture as a file of its own")
    add("--count", type=count(), default=64, help="how many (default 64)")
    add("--columns", type=count(), help="of the grid")
    add("--class", dest="classes", action="append", metavar="NAME",
        help="of a model by class; may be repeated; all in turn where left out")  # fmt: skip
    add("--same", action="store_true", help="the same latent once in every class")
    add("--walk", type=count(2), metavar="STEPS", help="walks of so many pictures, each from "
        "where the last one ended")  # fmt: skip
    add("--raw", action="store_true", help="the weights of the last step, not their average")
    return built


def run(options: argparse.Namespace) -> None:
    """Draw and write; ValueErrors for a file that is no model and options that do not fit it."""
    model = models.load(options.model, device(options.device), raw=options.raw)
    classes = model.in_turn(options.count, options.classes)
    z = model.latents(options.count, options.seed)
    if options.walk:
        if options.count % options.walk:
            raise ValueError(
                f"--count {options.count} does not divide into walks of {options.walk}; pass "
                f"--count {options.walk * max(1, round(options.count / options.walk))}"
            )
        legs = options.count // options.walk
        z = walk(model.latents(legs + 1, options.seed), options.walk)
        classes = model.in_turn(legs, options.classes)
        classes = None if classes is None else classes.repeat_interleave(options.walk)
    elif options.same:
        if classes is None:
            raise ValueError("--same is for a model by class; leave it out")
        z = z[torch.arange(options.count) // len(set(classes.tolist()))]
    drawn = model.draw(z, classes, progress=False if options.quiet else None)
    write = _write_pictures if is_picture(model.plan.shape) else _write_points
    told = write(options, model, drawn, classes)
    if not options.quiet:
        print(told)


def walk(stations: Tensor, steps: int) -> Tensor:
    """Latents on the way from each of N + 1 stations to the next, (N * steps, ...).

    On the arc a cos(t) + b sin(t) between two independent standard normal a and b every point is
    standard normal too; on the straight line those in the middle are too short.
    """
    angle = torch.linspace(0, math.pi / 2, steps, dtype=stations.dtype, device=stations.device)
    angle = angle.reshape(1, steps, *(1 for _ in stations.shape[1:]))
    legs = stations[:-1, None] * angle.cos() + stations[1:, None] * angle.sin()
    return legs.flatten(0, 1)


def _write_pictures(
    options: argparse.Namespace, model: Model, drawn: Tensor, classes: Tensor | None
) -> str:
    if options.each:
        digits = len(str(len(drawn) - 1))
        names = [f"{i:0{digits}}" for i in range(len(drawn))]
        if classes is not None:
            kinds = [model.plan.classes[k] for k in classes.tolist()]
            names = [f"{kind}/{name}" for kind, name in zip(kinds, names, strict=True)]
        pictures.write_each(options.each, drawn, names)
        if not options.out:
            return f"{len(drawn)} pictures in {options.each}"
    out = _named(options.out or Path("samples.png"), ".png", "a grid of pictures")
    chosen = tuple(options.classes or model.plan.classes)
    columns = options.columns or options.walk or pictures.columns(len(drawn), chosen)
    pictures.write_grid(out, drawn, columns)
    return f"{len(drawn)} pictures in {out}, {columns} in a row"


def _write_points(
    options: argparse.Namespace, model: Model, drawn: Tensor, classes: Tensor | None
) -> str:
    if options.each:
        raise ValueError("this model makes points, which go to one table: --out FILE.csv")
    out = _named(options.out or Path("samples.csv"), ".csv", "a table of points")
    points = model.reading.in_their_units(drawn.double())
    names = list(model.reading.columns) or [f"x{k}" for k in range(points.shape[1])]
    text = io.StringIO()
    np.savetxt(text, points.numpy(), "%.9g", ",")
    rows = text.getvalue().splitlines()
    if classes is not None:
        names.append(model.reading.label or "class")
        kinds = [model.plan.classes[k] for k in classes.tolist()]
        rows = [f"{row},{kind}" for row, kind in zip(rows, kinds, strict=True)]
    models.write_whole(out, "\n".join([",".join(names), *rows, ""]).encode())
    return f"{len(drawn)} points in {out}"


def _named(path: Path, suffix: str, what: str) -> Path:
    if path.suffix.lower() != suffix:
        raise ValueError(f"{what} goes to a {suffix} file; {path} is none")
    return path
