"""What a run of the laboratory can be set to: targets, controls, defaults, limits."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganlib import data
from ganlib.lab import formula
from ganlib.lab.laboratory import ANCHORS, LATENT, LOSSES, OWN, PACKS
from ganlib.lab.widget import checked


class Target(NamedTuple):
    """An entry of the menu of targets: a mixture of Gaussians about its anchors."""

    label: str
    anchors: Tensor  #: (count, 2), the centres, or points along a curve
    std: float
    modes: int  #: 0 where modes mean nothing
    limits: tuple[float, float, float, float] = (-1.5, 1.5, -1.5, 1.5)


def _mixture(label: str, mixture: data.Mixture) -> Target:
    return Target(label, mixture.centres, mixture.std, len(mixture.centres))


def _curve(label: str, mixture: data.Mixture) -> Target:
    # So close together that the sum of Gaussians is smooth along the curve.
    along = mixture.centres
    between = (along[:-1] + along[1:]) / 2
    return Target(label, torch.cat([along, between]), mixture.std, 0)


#: The menu of targets. All fit the square [-1.5, 1.5]^2; the grid is PacGAN's, scaled by 1/4 (and
#: wider: 0.03, not 0.0125), the ring VEEGAN's (and wider: 0.05, not 0.01).
TARGETS: dict[str, Target] = {
    "ring": _mixture("ring of 8", data.ring(8, std=0.05)),
    "grid": _mixture("grid of 25", data.grid(5, spacing=0.5, std=0.03)),
    "two": Target("two Gaussians", torch.tensor([[-0.75, 0.0], [0.75, 0.0]]), 0.15, 2),
    "spiral": _curve("spiral", data.spiral(std=0.03)),
    "swiss-roll": _curve("swiss roll", data.swiss_roll(std=0.03)),
    "drawn": Target("drawn by you", torch.zeros(0, 2), 0.05, 0),
}


def _slider(name: str, value: float, low: float, high: float, label: str, **more: Any) -> Any:
    return {"kind": "slider", "name": name, "value": value, "min": low, "max": high,
            "label": label, "restarts": False, **more}  # fmt: skip


def _formula(name: str, like: str) -> Any:
    cost = getattr(LOSSES[like].loss, name)
    return {"kind": "formula", "name": name, "value": formula.spell(cost), "restarts": False,
            "label": formula.NAMES[name], "longest": formula.LONGEST, "group": _GAME,
            "when": {"loss": [OWN]}}  # fmt: skip


def _menu(name: str, value: Any, options: Mapping[Any, str], label: str, **more: Any) -> Any:
    return {"kind": "menu", "name": name, "value": value, "label": label, "restarts": False,
            "names": list(options), "options": list(options.values()), **more}  # fmt: skip


OWN_LABEL = "your formulas"  #: of the reader's own loss, in the menu

_TARGET, _GAME, _OPTIMISER = "Target and noise", "Game", "Optimiser"
_TARGETS_OF_LS = {"when": {"loss": ["least-squares"]}, "step": 0.1, "group": _GAME}

#: Every setting but ``drawn``: its default, its limits or what a menu offers, whether a run
#: starts again when it changes, and whether it is ``rare``, so that it may be folded away.
CONTROLS: tuple[dict[str, Any], ...] = (
    _menu("target", "ring", {k: t.label for k, t in TARGETS.items()}, "Target",
          group=_TARGET, restarts=True),
    _slider("latent", 2, 1, LATENT, "Noise dimension", step=1, group=_TARGET, restarts=True),
    _menu("batch", 256, {b: str(b) for b in (32, 64, 128, 256)}, "Batch", group=_TARGET,
          rare=True),
    _menu("loss", "non-saturating", {k: o.label for k, o in LOSSES.items()} | {OWN: OWN_LABEL},
          "Loss", group=_GAME),
    *(_formula(name, "non-saturating") for name in formula.NAMES),
    _slider("a", 0.0, -2, 2, "a: target of D for fakes", **_TARGETS_OF_LS),
    _slider("b", 1.0, -2, 2, "b: target of D for real", **_TARGETS_OF_LS),
    _slider("c", 1.0, -2, 2, "c: what G wants D to say", **_TARGETS_OF_LS),
    _menu("penalty", "none", {"none": "none", "gp": "gradient penalty", "r1": "R1",
                              "clip": "weight clipping"}, "Penalty on D", group=_GAME,
          restarts=True),
    _slider("weight", 1.0, 1e-3, 100, "Weight of the penalty", log=True, group=_GAME,
            when={"penalty": ["gp", "r1"]}),
    _slider("clip", 0.1, 1e-3, 1, "D's weights within", log=True, group=_GAME,
            when={"penalty": ["clip"]}),
    _menu("pack", 1, {p: str(p) for p in PACKS}, "Samples D sees at once", group=_GAME,
          restarts=True),
    _slider("critic_steps", 1, 1, 10, "Steps of D for one of G", step=1, group=_GAME),
    _slider("rate_g", 1e-3, 1e-5, 1, "Rate of G", log=True, group=_OPTIMISER),
    _slider("rate_d", 1e-3, 1e-5, 1, "Rate of D", log=True, group=_OPTIMISER),
    _slider("beta1", 0.5, 0, 0.99, "Adam's beta 1", step=0.01, group=_OPTIMISER, rare=True),
    _slider("beta2", 0.999, 0, 0.999, "Adam's beta 2", step=0.001, group=_OPTIMISER, rare=True),
    _slider("epsilon", 1e-8, 1e-8, 1e-1, "Adam's epsilon", log=True, group=_OPTIMISER, rare=True),
    {"kind": "number", "name": "seed", "value": 0, "min": 0, "max": 2**32 - 1, "step": 1,
     "label": "Seed", "group": _TARGET, "restarts": True},
)  # fmt: skip

#: Every setting at its default. ``drawn`` holds x, y, x, y, ... of at most 200 points, or None.
DEFAULTS: dict[str, Any] = {c["name"]: c["value"] for c in CONTROLS} | {"drawn": None}


def settings(**changes: Any) -> dict[str, Any]:
    """All settings of a run: :data:`DEFAULTS` with these changes.

    Raises
    ------
    ValueError
        For a name that is no setting, or a value outside its limits.
    """
    for name in changes:
        if name not in DEFAULTS:
            near = difflib.get_close_matches(name, DEFAULTS, n=1, cutoff=0)[0]
            raise ValueError(
                f"there is no setting {name!r}; the nearest is {near!r}, all are "
                f"{', '.join(DEFAULTS)}"
            )
    chosen = {**DEFAULTS, **changes}
    for given in CONTROLS:
        name, value = given["name"], chosen[given["name"]]
        if given["kind"] == "menu":
            if isinstance(value, bool) or value not in given["names"]:
                allowed = ", ".join(map(repr, given["names"]))
                raise ValueError(f"{name} is {value!r}; choose one of {allowed}")
            continue
        if given["kind"] == "formula":
            try:
                formula.program(value)
            except (TypeError, ValueError) as wrong:
                raise ValueError(f"{name} is {value!r}: {wrong}") from wrong
            continue
        whole = given.get("step") == 1
        checked([given], {name: value})
        if whole and not (value == int(value) and given["min"] <= value <= given["max"]):
            raise ValueError(
                f"{name} is {value!r}; set an integer from {given['min']} to {given['max']}"
            )
        chosen[name] = int(value) if whole else float(value)
    if chosen["loss"] == "least-squares" and chosen["a"] == chosen["b"]:
        raise ValueError(
            f"a = b = {chosen['a']:g}: real and fake have one target, so D has nothing to learn; "
            "choose a different from b"
        )
    drawn = chosen["drawn"]
    if drawn is not None:
        drawn = [float(v) for v in drawn]
        x0, x1, y0, y1 = TARGETS["drawn"].limits
        inside = all(x0 <= x <= x1 for x in drawn[::2]) and all(y0 <= y <= y1 for y in drawn[1::2])
        if len(drawn) % 2 or len(drawn) > 2 * ANCHORS or not inside:
            raise ValueError(
                f"drawn holds {len(drawn)} numbers; give x, y, x, y, ... of at most {ANCHORS} "
                f"points, x from {x0:g} to {x1:g}, y from {y0:g} to {y1:g}"
            )
        chosen["drawn"] = drawn
    return chosen
