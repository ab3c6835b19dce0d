"""The library behind the book *GANs: Proof and Play*.

One concept a module, named as the chapter that derives it. Imports run downwards only::

    command                 the command line: train, sample, score, reproduce
    results                 published tables made again: targets, their jobs, their rows
    lab                     torch functions compiled to WebAssembly, and live figures made of them
    studies                 many GANs over settings and seeds: a table with a row for each run
    training                fit: the readable loop (run, checkpoint, draws, inspection: its parts)
    options                 averaged weights, replay, unrolling: functions from step to step
    step                    two drivers of one game: a pure function of a named state; in place
    game                    what each player pays, written once
    networks, penalties     what is trained, and what keeps its gradient in bounds
    flows                   generators that invert and know their density
    optimisers, noise       how a player moves; draws that are a function of a key
    losses                  GAN objectives, made from
    divergences, distances  f-divergences (fdivergence: what one is); integral probability metrics
                            (finite: of probability vectors)
    data, metrics, scoring, dynamics (updates: its rules), vae, estimators
    discrete                relaxed and hard draws from given noise, pairs of draws, exact laws
    formulas, proofs        SymPy expression -> torch function; assertions for check cells
    numerics                the torch functions that formulas are compiled to
    pairs, files            points and their distances in blocks; data files and their checksums
    batches                 samples, or samples with a condition
    checks, plotting        what input must be; the house style of every figure
    zoo                     the named variants of the GAN, and where the book has them

Submodules load on first use: ``import ganlib; ganlib.losses.minimax()``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__version__ = "0.1.0"

_MODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


def device() -> torch.device:
    """The device to train on: a CUDA device if torch sees one, else the CPU.

    Examples
    --------
    >>> import ganlib
    >>> torch.zeros(2, device=ganlib.device()).shape
    torch.Size([2])
    """
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"ganlib.{name}")
    raise AttributeError(
        f"module 'ganlib' has no attribute {name!r}; its modules are "
        f"{', '.join(sorted(m for m in _MODULES if not m.startswith('_')))}"
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
