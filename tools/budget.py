"""Run the parts of `make test` one after the other, and say what each took beside its budget.

    python3 tools/budget.py test|test-all

A part that fails does not stop the others, except those that stand on it; the exit status says
whether any failed. A part over its budget is marked and is no error: budgets are minutes on two
quiet cores. CPU is that of a part's processes, user and system. Needs the standard library alone:
the first part makes the environment.
"""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

MAKE = shlex.split(os.environ.get("MAKE", "make"))


@dataclass(frozen=True)
class Part:
    name: str
    targets: tuple[str, ...]
    budget: float | None = None  # minutes
    after: tuple[str, ...] = ("set-up",)  # parts without which it makes no sense


@dataclass(frozen=True)
class Took:
    part: Part
    state: str  # "ok", "FAILED" or "not run"
    minutes: float = 0.0
    cpu: float = 0.0


TEST = (
    Part("set-up", ("set-up",), 2, ()),
    Part("unit", ("lint", "unit"), 9),
    Part("exercises", ("test-exercises",), 4),
    Part("chapters", ("book",), 22),
    Part("site", ("test-site",), 12, ("set-up", "chapters")),
)
SUITES = {
    "test": TEST,
    "test-all": (*TEST, Part("slow", ("test-slow",), None, ("chapters",)), Part("fuzz", ("fuzz",))),
}


def make(part: Part) -> int:
    """Make a part's targets, all of them even if one fails."""
    return subprocess.call([*MAKE, "--no-print-directory", "--keep-going", *part.targets])


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(parts: tuple[Part, ...], do: Callable[[Part], int] = make) -> list[Took]:
    """Run the parts in order; what cannot be run for an earlier failure is left out."""
    took: dict[str, Took] = {}
    for part in parts:
        if any(took[name].state != "ok" for name in part.after if name in took):
            took[part.name] = Took(part, "not run")
            continue
        began, used = time.monotonic(), children()
        state = "FAILED" if do(part) else "ok"
        minutes, cpu = (time.monotonic() - began) / 60, (children() - used) / 60
        took[part.name] = Took(part, state, minutes, cpu)
    return list(took.values())


def table(results: list[Took]) -> str:
    lines = ["", f"{'part':<12}{'minutes':>8}{'budget':>8}{'CPU':>8}"]
    for took in results:
        budget = "-" if took.part.budget is None else f"{took.part.budget:g}"
        over = took.part.budget is not None and took.minutes > took.part.budget
        notes = [*(["over budget"] if over else []), *([took.state] if took.state != "ok" else [])]
        line = f"{took.part.name:<12}{took.minutes:>8.1f}{budget:>8}{took.cpu:>8.1f}"
        lines.append(f"{line}  {', '.join(notes)}".rstrip())
    minutes, cpu = sum(t.minutes for t in results), sum(t.cpu for t in results)
    allowed = sum(t.part.budget or 0 for t in results)
    lines.append(f"{'together':<12}{minutes:>8.1f}{allowed:>8g}{cpu:>8.1f}")
    load = f"{os.getloadavg()[0]:.1f}"
    lines.append(f"Budgets: two quiet cores. Here: {os.cpu_count()}, load {load} at the end.")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in SUITES:
        print(f"expected one of {', '.join(SUITES)}, got {arguments}", file=sys.stderr)
        return 2
    results = run(SUITES[arguments[0]])
    print(table(results), flush=True)
    return int(any(took.state != "ok" for took in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
