"""``python -m ganlib train``: a call of :func:`ganlib.training.fit` on data by name.

The folder of a run holds ``checkpoint.pt``, from which the same command goes on,
``model.safetensors``, ``losses.csv``, and for pictures ``progress/step-N.png``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shlex
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from ganlib import divergences, losses, penalties
from ganlib.command import models, pictures, sources
from ganlib.command.arguments import command_parser, count, device, number, one_of, share
from ganlib.command.models import Plan
from ganlib.command.sources import Reading, Source, is_picture
from ganlib.data import Mixture, Samples
from ganlib.draws import Data
from ganlib.losses import Loss
from ganlib.options import averaged
from ganlib.penalties import Penalty
from ganlib.step import State, Step
from ganlib.training import History, fit

__all__ = ["CHECKPOINT", "LOSSES", "PENALTIES", "parser", "run"]

#: The objectives by name; those of f-GAN are ``f-gan-`` and a divergence without a parameter.
LOSSES: dict[str, Callable[[], Loss]] = {
    "non-saturating": losses.non_saturating, "minimax": losses.minimax,
    "least-squares": losses.least_squares, "wasserstein": losses.wasserstein,
    "hinge": losses.hinge, "maximum-likelihood": losses.maximum_likelihood,
    **{
        f"f-gan-{name.replace('_', '-')}": functools.partial(
            lambda name: losses.f_gan(divergences.divergence(name)), name
        )
        for name in divergences.NAMES if name not in ("alpha", "weighted_jensen_shannon")
    },
}  # fmt: skip

#: The penalties on the discriminator by name.
PENALTIES: dict[str, Penalty | None] = {
    "none": None, "gradient-penalty": penalties.gradient_penalty, "r1": penalties.r1,
    "r2": penalties.r2,
}  # fmt: skip

#: The file in the folder of a run that it goes on from.
CHECKPOINT = "checkpoint.pt"
_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
_SHOWN = 64  # pictures in a grid of progress
_BY_HEART = 500  # pictures below which a warning says that they may be learnt by heart

_EXAMPLES = (
    """\
  # a folder of pictures of any sizes: cut square, 32 x 32; DCGAN
  python -m ganlib train photographs --out runs/photographs
  # by class, DATA/CLASS/picture.jpg; averaged weights, 20,000 steps
  python -m ganlib train animals --conditional --loss least-squares \\
      --average 0.999 --steps 20000 --out runs/animals
  # killed, or Ctrl-C? The same command goes on where it was, and ends where
  # it would have.
  # Wasserstein with gradient penalty, five critic steps, mixed precision
  python -m ganlib train cifar10 --loss wasserstein --penalty gradient-penalty \\
      --critic-steps 5 --device cuda --precision bfloat16 --out runs/cifar10
  # points: eight modes on a ring, or the columns of a table
  python -m ganlib train ring --steps 3000 --out runs/ring
  python -m ganlib train flowers.csv --label species --conditional \\
      --out runs/flowers

data: a folder of .jpg, .jpeg and .png files; a .csv, .tsv or .txt of numbers;
  or one of
"""
    + f"  {', '.join(sources.NAMED)}\n"
)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    built = command_parser(
        "train",
        "DATA --out FOLDER [options]",
        "Train a GAN, and go on with a run that was stopped: repeat its command.",
        _EXAMPLES,
    )
    add = built.add_argument
    add("data", help="a folder of pictures, a table of points, or a named data set")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the folder of the run")
    read = built.add_argument_group("how the data are read")
    add = read.add_argument
    add("--size", type=count(), help="side of the pictures of a folder, in pixels (default 32)")
    add("--grey", action="store_true", help="pictures without colour")
    add("--skip-broken", action="store_true", help="name and leave out files that are no pictures")
    add("--columns", type=_names, default=(), metavar="A,B", help="of a table (default all)")
    add("--label", metavar="COLUMN", help="the column of a table that holds the classes")
    add("--conditional", action="store_true", help="by class: a folder, a label, or a mode each")
    add("--label-in", type=one_of("place", models.LABEL_IN), metavar="PLACE", help="where the "
        f"discriminator meets the class: {_or(models.LABEL_IN)}; default input")  # fmt: skip
    add(
        "--hold-out", type=share, metavar="SHARE", help="of the data that training never sees, for "
        "`score` (default a tenth, 100 samples at least, a third at most)",
    )  # fmt: skip
    game = built.add_argument_group("what is trained")
    add = game.add_argument
    add("--network", type=one_of("network", models.NETWORKS), help=f"{_or(models.NETWORKS)}; "
        "default dcgan for pictures, mlp for points")  # fmt: skip
    add("--width", type=count(), help="of hidden layers; of a dcgan's finest (default 64; 256 for "
        "pictures by an mlp)")  # fmt: skip
    add("--latent", type=count(), help="numbers in a latent (default 100; 16 for points)")
    add("--spectral-norm", action="store_true", help="of the discriminator")
    add("--loss", type=one_of("loss", LOSSES), default="non-saturating", help=f"{_or(LOSSES)}; "
        "default non-saturating")  # fmt: skip
    add("--penalty", type=one_of("penalty", PENALTIES), help=f"{_or(PENALTIES)}; default none")
    add("--penalty-weight", type=number(), default=10.0, help="default 10")
    how = built.add_argument_group("how it is trained")
    add = how.add_argument
    add("--steps", type=count(), default=5000, help="of the generator (default 5000); a run that "
        "is done goes on if asked for more")  # fmt: skip
    add(
        "--batch",
        type=count(2),
        help="samples a step (default 64, for points 256; half of the data where they are fewer)",
    )
    add("--critic-steps", type=count(), default=1, help="of the discriminator for each (default 1)")
    add("--rate", type=number(), nargs="+", metavar="RATE", help="Adam's rate, or two: "
        "generator's and discriminator's (default 0.0002; 0.001 for points)")  # fmt: skip
    add("--average", type=share, metavar="DECAY", help="keep averaged weights too, such as 0.999")
    add("--precision", type=one_of("precision", _PRECISIONS), default="float32",
        help=f"{_or(_PRECISIONS)} (mixed); default float32")  # fmt: skip
    add("--save-every", type=count(), default=500, metavar="STEPS", help="default 500")
    return built


def run(options: argparse.Namespace) -> None:
    """Train, or go on; errors as :func:`ganlib.training.fit`, and ValueErrors of the options."""
    where = device(options.device)
    precision = _precision(options.precision, where)
    _refuse(options)
    with _alone(options.out):
        _train(options, where, precision)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder of a run, made if need be, for one process at a time; ValueErrors if it cannot."""
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"nothing can be written in {folder} ({error.strerror or error}); name another folder, "
            "--out"
        ) from error
    with contextlib.ExitStack() as stack:
        if fcntl is not None:  # on Windows a checkpoint still sees another run, when it is written
            held = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, held)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however
            except BlockingIOError:
                raise ValueError(
                    f"another run trains in {folder} now; wait until it ends, or name another "
                    "folder, --out"
                ) from None
            except OSError:  # a file system without locks
                pass
        try:
            yield
        finally:
            if new and not any(folder.iterdir()):
                folder.rmdir()  # what was refused leaves nothing behind


def _train(options: argparse.Namespace, where: torch.device, precision: torch.dtype | None) -> None:
    reading = Reading(options.size, options.grey, options.columns, options.label)
    sources.refuse_idle(options.data, reading)
    bar = False if options.quiet else None
    source = sources.read(options.data, reading, skip_broken=options.skip_broken, progress=bar)
    plan = _plan(options, source)
    told = _told(options, source, where)
    data = _data(source, plan, told)
    generator, discriminator = plan.generator().to(where), plan.discriminator().to(where)
    follow = _Follow()
    keep = _Keeper(options.out, plan, source.reading, told, generator, follow)
    penalty = PENALTIES[told["penalty"]]
    try:
        history = fit(
            generator, discriminator, data, LOSSES[options.loss](), steps=options.steps,
            batch_size=told["batch"], discriminator_steps=options.critic_steps,
            learning_rate=told["rates"], latent=plan.latent, seed=options.seed,
            penalty=penalty and penalties.weighted(options.penalty_weight, penalty),
            options=[*([averaged(options.average)] if options.average else []), follow],
            autocast=precision, watch=keep, watch_every=options.save_every,
            checkpoint=options.out / CHECKPOINT, checkpoint_every=options.save_every,
            progress=bar,
        )  # fmt: skip
    except (RuntimeError, ValueError, OSError) as error:
        words = str(error)
        if isinstance(error, RuntimeError) and "another run" not in words:
            raise
        for of_fit in ("name another file", "name a file in another folder"):
            words = words.replace(of_fit, "name another folder, --out")
        raise ValueError(words) from error
    keep.write(history.steps, history.extra.get("averaged"))
    _write_losses(options.out / "losses.csv", history)
    if not options.quiet:
        print(_summary(options, told, history))


def _refuse(options: argparse.Namespace) -> None:
    """What can be seen to be wrong, or odd, before thousands of pictures are read."""
    if len(options.rate or ()) > 2:
        raise ValueError(
            f"--rate has {len(options.rate)} numbers; give one, or the generator's and the "
            "discriminator's"
        )
    if options.loss == "wasserstein" and not (options.penalty or options.spectral_norm):
        raise ValueError(
            "a Wasserstein critic without a bound runs away; add --penalty gradient-penalty "
            "(--penalty none if that is meant)"
        )
    if options.size and options.network != "mlp":
        Plan("dcgan", (1, options.size, options.size), latent=1, width=1).generator()
    if options.average and options.steps < 3 / (1 - options.average):
        warnings.warn(
            f"--average {options.average} looks back over {1 / (1 - options.average):.0f} steps: "
            f"after {options.steps} the first weights still weigh in it; take a smaller one, or "
            "sample with --raw",
            stacklevel=2,
        )


def _precision(name: str, where: torch.device) -> torch.dtype | None:
    if name == "bfloat16" and where.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError(
            f"{torch.cuda.get_device_name(where)} does not compute in bfloat16; leave --precision "
            "out"
        )
    return _PRECISIONS[name]


def _plan(options: argparse.Namespace, source: Source) -> Plan:
    picture = is_picture(source.shape)
    network = options.network or ("dcgan" if picture else "mlp")
    if options.label_in and not options.conditional:
        raise ValueError("--label-in says where the class enters; add --conditional")
    return Plan(
        network, source.shape, source.classes() if options.conditional else (),
        latent=options.latent or (100 if picture else 16),
        width=options.width or (256 if picture and network == "mlp" else 64),
        normalise=options.penalty in (None, "none"), spectral=options.spectral_norm,
        seed=options.seed, label_in=options.label_in or "input",
    )  # fmt: skip


def _told(options: argparse.Namespace, source: Source, where: torch.device) -> dict[str, Any]:
    """What a model file says of how it was trained; defaults that depend on the data are here."""
    picture, rates = is_picture(source.shape), options.rate or []
    samples, held, batch = source.samples, 0, 64 if picture else 256
    if isinstance(samples, Samples):
        held = sources.held_out(len(samples), options.hold_out)
        seen = len(samples) - held
        if not picture or seen < batch:
            batch = max(2, min(batch, seen // 2))
    return {
        "data": source.samples.name, "fingerprint": sources.fingerprint(source.samples),
        "held_out": held, "loss": options.loss, "penalty": options.penalty or "none",
        "penalty_weight": options.penalty_weight,
        "batch": options.batch or batch,
        "rates": (rates or [2e-4 if picture else 1e-3]) * (1 if len(rates) == 2 else 2),
        "critic_steps": options.critic_steps, "average": options.average, "seed": options.seed,
        "precision": options.precision, "device": where.type, "torch": torch.__version__,
    }  # fmt: skip


def _data(source: Source, plan: Plan, told: dict[str, Any]) -> Data:
    """What is trained on, with labels for a plan with classes."""
    if isinstance(source.samples, Mixture):
        return source.samples.labelled() if plan.classes else source.samples
    training, _ = sources.parts(source.samples, told["held_out"], told["seed"])
    total, batch = len(training), told["batch"]
    if total < batch:
        raise ValueError(
            f"{total} samples to train on are fewer than a batch of {batch}; add some, or pass "
            f"--batch {max(2, total // 2)}"
        )
    if is_picture(plan.shape) and total < _BY_HEART:
        warnings.warn(
            f"{total} pictures are few: the discriminator may learn them by heart; `score` says "
            "whether the generator copies them",
            stacklevel=2,
        )
    values = plan.trained_as(training.values)
    if not plan.classes:
        return values
    assert training.labels is not None  # the plan has classes
    return values, training.labels


class _Follow:
    """An option that changes nothing: it knows what the options before it keep."""

    extra: dict[str, Any] = {}  # noqa: RUF012 - never changed, only assigned anew

    def __repr__(self) -> str:
        return "follow"  # what a checkpoint compares: always the same

    def __call__(self, one: Step) -> Step:
        def generator(state: State, latent: Any, *ahead: Any, **how: Any) -> tuple[State, Tensor]:
            state, loss = one.generator(state, latent, *ahead, **how)
            self.extra = state.extra
            return state, loss

        return one._replace(generator=generator)


@dataclass
class _Keeper:
    """Writes the model, and a grid of its pictures, whenever fit looks."""

    folder: Path
    plan: Plan
    reading: Reading
    told: dict[str, Any]
    generator: nn.Module
    follow: _Follow

    def __call__(self, done: int) -> dict[str, Any]:
        if done:
            self.write(done, self.follow.extra.get("averaged"))
        return {}

    def write(self, done: int, average: dict[str, Tensor] | None) -> None:
        """Write the model after ``done`` steps, and what it draws from the same latents."""
        path, told = self.folder / models.FILE, {**self.told, "steps": done}
        models.save(path, self.plan, self.reading, told, self.generator, average)
        if is_picture(self.plan.shape):
            model = models.load(path, next(self.generator.parameters()).device)
            columns = pictures.columns(_SHOWN, self.plan.classes)
            count = _SHOWN // columns * columns
            shown = model.draw(model.latents(count, 0), model.in_turn(count), progress=False)
            drawn = self.folder / "progress" / f"step-{done:06}.png"
            pictures.write_grid(drawn, shown, columns)


def _write_losses(path: Path, history: History) -> None:
    rows = zip(history.discriminator_loss.tolist(), history.generator_loss.tolist(), strict=True)
    lines = [f"{step},{d:.6g},{g:.6g}" for step, (d, g) in enumerate(rows, 1)]
    models.write_whole(path, "\n".join(["step,discriminator,generator", *lines, ""]).encode())


def _summary(options: argparse.Namespace, told: dict[str, Any], history: History) -> str:
    folder = shlex.quote(str(options.out))
    return (
        f"{history.steps} steps on {told['data']} in {history.seconds:.0f} s; the model is "
        f"{options.out / models.FILE}\n"
        f"  python -m ganlib sample {folder}\n"
        f"  python -m ganlib score {folder} {shlex.quote(options.data)}"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
