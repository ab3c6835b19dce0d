"""Published tables, made again: what is reproduced, and the rows that came of it.

A target is a declared value in a module of its own (:mod:`ganlib.results.target` says of what it
consists). :func:`reproduce` runs its jobs into a table with provenance, row by row, and goes on
where it was stopped; :func:`read` reads the tables that come with the library, which the page
`results` shows. On the command line ``reproduce --list`` has them all.
"""

from __future__ import annotations

from ganlib.results import (
    dcgan_cifar10,
    dcgan_mnist,
    dirac_gan,
    f_gan_gaussian,
    mode_remedies,
    pacgan,
    stabilising,
    unrolled_ring,
    wgan_gp_toys,
)
from ganlib.results.running import reproduce
from ganlib.results.store import Read, Row, missing, picture, read
from ganlib.results.target import SIZES, Job, Outcome, Published, Size, Target

__all__ = [
    "SIZES",
    "TARGETS",
    "Job",
    "Outcome",
    "Published",
    "Read",
    "Row",
    "Size",
    "Target",
    "missing",
    "picture",
    "read",
    "reproduce",
]

#: Every target by its name.
TARGETS = {
    module.TARGET.name: module.TARGET
    for module in (
        dirac_gan, f_gan_gaussian, unrolled_ring, wgan_gp_toys, pacgan, dcgan_mnist, dcgan_cifar10,
        mode_remedies, stabilising,
    )
}  # fmt: skip
