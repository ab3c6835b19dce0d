"""The laboratory as a widget."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import sympy as sp

from ganlib import losses
from ganlib.lab import formula
from ganlib.lab.gan import lessons
from ganlib.lab.gan.choices import CONTROLS, DEFAULTS, OWN_LABEL, TARGETS, settings
from ganlib.lab.gan.presets import PRESETS, preset_named
from ganlib.lab.gan.run import Record, Run
from ganlib.lab.gan.still import in_words, numbers, picture, shown_steps
from ganlib.lab.laboratory import (
    EVERY,
    KEPT,
    LOSSES,
    OWN,
    PACKS,
    PENALTIES,
    PERFECT,
    SHOWN,
    Objective,
    laboratory,
    name_of,
    weights_of_generator,
)  # fmt: skip
from ganlib.lab.widget import Live, Still, table


class GanLab(Live):
    """The laboratory: a GAN on the plane that trains in the reader's page.

    Parameters
    ----------
    preset
        A name of :data:`PRESETS`.
    compare
        Settings in which a second run, from the same seed, differs from the first: two runs
        side by side. None for one run.
    name
        The widget's name on its page, part of addresses.
    **changes
        Settings that differ from the preset's: names of :data:`DEFAULTS`.

    Attributes
    ----------
    values
        ``preset``, ``settings`` (all of them) and ``compare`` (all of the second run's, or
        None), as the reader has set them.

    Raises
    ------
    ValueError
        For an unknown preset or setting, or a value outside its limits.

    Examples
    --------
    ``GanLab("collapse")`` is the widget; ``GanLab("collapse").run(2000, seed=3)`` trains here,
    with the page's own module, and returns a :class:`Record`.
    """

    kind = "gan"

    def __init__(
        self,
        preset: str = "collapse",
        /,
        *,
        compare: Mapping[str, Any] | None = None,
        name: str | None = None,
        **changes: Any,
    ) -> None:
        chosen = preset_named(preset)
        first = settings(**{**chosen.settings, **changes})
        second = None if compare is None else settings(**{**first, **compare})
        super().__init__(
            name=preset if name is None else name,
            compiled={
                name_of(pack, penalty, own): laboratory(pack, penalty, own=own)
                for own in (False, True)
                for pack in PACKS
                for penalty in PENALTIES
            },
            spec=_spec(preset),
            values={"preset": preset, "settings": first, "compare": second},
        )

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All values, with what is left out as it was; see :class:`ganlib.lab.widget.Live`."""
        if unknown := values.keys() - {"preset", "settings", "compare"}:
            raise ValueError(
                f"values has {', '.join(sorted(unknown))}; it holds preset, settings and compare"
            )
        before = self.values
        preset = values.get("preset", before.get("preset"))
        preset_named(preset)
        old = before.get("settings", DEFAULTS)
        first = settings(**{**old, **values.get("settings", {})})
        second = values.get("compare", before.get("compare"))
        if second is not None:
            second = settings(**{**first, **second})
        return {"preset": preset, "settings": first, "compare": second}

    def run(self, steps: int, /, **changes: Any) -> Record:
        """Train here for so many steps, from the first, with the page's own module.

        Parameters
        ----------
        steps
            Steps of the generator; a run that diverges stops before.
        **changes
            Settings that differ from the widget's, such as ``seed=3``.

        Returns
        -------
        Record
            The same numbers as in the page, to the last bit.
        """
        if steps < 0:
            raise ValueError(f"steps is {steps}; it must be 0 or more")
        run = Run(settings(**{**self.values["settings"], **changes}))
        while run.step < steps and not run.diverged:
            run.both()
        return run.record()

    def still(self) -> Still:
        """A run of the preset's number of steps: its samples, its field, its scores."""
        preset = PRESETS[self.values["preset"]]
        runs = [self.run(preset.steps)]
        if self.values["compare"] is not None:
            runs.append(self.run(preset.steps, **self.values["compare"]))
        labels = ["A", "B"] if len(runs) > 1 else [""]
        said = [
            f"{label} {in_words(record)}".strip()
            for label, record in zip(labels, runs, strict=False)
        ]
        rows = [
            [f"{label} {name}".strip(), *values]
            for label, record in zip(labels, runs, strict=False)
            for name, *values in numbers(record)
        ]
        columns = ["", *(f"step {int(s)}" for s in shown_steps(runs[0]))]
        return Still(
            picture(runs, labels),
            "image/png",
            f"{preset.title}: data and generated samples over the discriminator's field, and the "
            f"scores by step. {' '.join(said)}",
            table(f"{preset.title}: scores by step", columns, rows),
        )


def _lesson(name: str) -> dict[str, Any]:
    preset, said = PRESETS[name], lessons.told(name)
    return {
        "name": name, "title": preset.title, "settings": preset.settings, "steps": preset.steps,
        "claim": said.claim, "try": said.suggestion, "arrows": preset.arrows,
        "predict": lessons.asked(name)._asdict(),
        "more": "<summary>What came of it, counted</summary>"
                f"<p>{html.escape(said.answer)}</p>"
                '<div class="live-tables" tabindex="0" role="group" aria-label="Counts">'
                f"{table(said.caption, said.columns, said.rows)}</div>",
    }  # fmt: skip


def _middle(objective: Objective) -> float | str | None:
    """What is white: a number, the middle of D's two targets, or None for the median."""
    middle = objective.middle
    return "targets" if isinstance(middle, sp.Expr) else middle


def _formulas(objective: Objective) -> list[str]:
    """What D and G minimise, in words of the critic's output s on data x and on samples G(z)."""
    of = objective.loss

    def on(cost: sp.Expr, what: str) -> sp.Expr:
        return cost.subs(losses.critic_output, sp.Symbol(f"s({what})"))

    costs = (on(of.on_real, "x") + on(of.on_fake, "G"), on(of.of_generator, "G"))
    plain = str.maketrans({"*": "", "-": "\u2212"})
    return [sp.sstr(cost).replace("**2", "\u00b2").translate(plain) for cost in costs]


def _spec(preset: str) -> dict[str, Any]:
    controls = [dict(control) for control in CONTROLS]
    for control in controls:
        if control["kind"] == "menu":  # a menu's value is a place, as in every widget
            control["value"] = control["names"].index(control["value"])
    return {
        "title": "GAN laboratory",
        "alt": "Data, generated samples and the discriminator's field, with the scores by step.",
        "presets": [_lesson(name) for name in PRESETS],
        "defaults": DEFAULTS,
        "controls": controls,
        "targets": {
            name: {"label": t.label, "anchors": t.anchors.flatten().tolist(), "std": t.std,
                   "limits": t.limits, "modes": t.modes}
            for name, t in TARGETS.items()
        },
        "losses": [
            {"name": name, "label": o.label, "logistic": o.logistic, "middle": _middle(o),
             "formulas": _formulas(o),
             "texts": [formula.spell(getattr(o.loss, cost)) for cost in formula.NAMES]}
            for name, o in LOSSES.items()
        ] + [{"name": OWN, "label": OWN_LABEL, "logistic": False, "middle": None}],
        "weights_g": weights_of_generator(),
        "every": EVERY, "kept": KEPT, "perfect": PERFECT, "shown": SHOWN,
    }  # fmt: skip
