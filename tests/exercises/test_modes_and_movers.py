"""What only `all-modes` and `earth-movers` must pass; the rest is in test_every_assignment.py."""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import all_modes_answers
import earth_movers_answers
from asking_here import Answers, source

from ganlib import distances, losses, metrics
from ganlib.data import ring
from ganlib.divergences import divergence
from ganlib.dynamics import dirac_gan, r1
from tools.grader import editions
from tools.grader.questions import varied

MODES, MOVERS = all_modes_answers.ANSWERS, earth_movers_answers.ANSWERS


@pytest.mark.parametrize("answers", [MODES, MOVERS], ids=lambda a: a.name)
def test_the_notebook_checks_itself(answers: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    whole = editions.notebook_edition(answers.book, source(answers.book), solutions=True)
    names: dict[str, object] = {}
    for cell in whole.cells:
        left_out = {"play", "check"} & set(editions.tags(cell))
        if cell.cell_type == "code" and not left_out and "# Your figure" not in cell.source:
            exec(cell.source, names)
    for question in answers.book.questions:
        names["grader"].check(question.name)  # type: ignore[attr-defined]
        assert "the public checks pass" in capsys.readouterr().out


def test_the_count_is_the_librarys_at_three_standard_deviations() -> None:
    module, target = MODES.book.module, ring()
    x = target.sample(500, torch.Generator().manual_seed(0))
    x = torch.cat([x[:400], 3 * x[400:]])
    mine = module.score(varied(MODES.book.k, reach=3), x, target.centres, target.std)
    found = metrics.mode_coverage(x, target.centres, target.std)
    assert mine[1] == pytest.approx(found.high_quality)


def test_the_field_is_the_librarys_with_the_data_at_zero() -> None:
    module = MODES.book.module
    k = varied(MODES.book.k, m=0, a=1, gamma=0.25)
    game = dirac_gan(losses.non_saturating(), r1(0.25))
    for theta, psi in ((0.5, -1.0), (2.0, 0.75)):
        due = [float(v) for v in game(torch.tensor(theta), torch.tensor(psi))]
        assert [module.push(k, theta, psi), module.pull(k, theta, psi)] == pytest.approx(due)


@pytest.mark.parametrize("count", [2, 5])
def test_one_point_against_many_has_the_books_value_at_weight_one(count: int) -> None:
    even = torch.full((count,), 1 / count, dtype=torch.float64)
    point = torch.zeros(count, dtype=torch.float64)
    point[0] = 1
    twice_jsd = divergence("jensen_shannon").between(even, point).item()
    value = MODES.book.module.points_value(1, even)[0].item()
    due = -(math.log(count + 1) / count) - math.log(1 + 1 / count)
    assert value == pytest.approx(due)
    assert value == pytest.approx(twice_jsd - math.log(4))


def test_cost_and_gap_are_the_librarys_for_even_slopes() -> None:
    module, k = MOVERS.book.module, MOVERS.book.k
    g = torch.Generator().manual_seed(0)
    p, q = torch.rand(2, 6, generator=g, dtype=torch.float64)
    p, q, x = p / p.sum(), q / q.sum(), torch.rand(6, generator=g).double().cumsum(0)
    cost = (x[:, None] - x).abs()
    due, _ = distances.kantorovich_potential(p, q, cost)
    assert module.best_gap(k, p, q, x, 1, 1) == pytest.approx(float(due))
    a, b = torch.randn(4, generator=g).double(), torch.randn(6, generator=g).double()
    mass = [torch.full((n,), 1 / n, dtype=torch.float64) for n in (4, 6)]
    least, _ = distances.transport_plan(*mass, (a[:, None] - b).abs() ** k.power)
    assert float(module.moving(k, a, b)) == pytest.approx(float(least))


def test_steepest_is_reached_and_not_exceeded() -> None:
    module, k = MOVERS.book.module, MOVERS.book.k
    sizes = [2, k.hidden, k.hidden, 1]
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.LeakyReLU(0.2)]
    critic = torch.nn.Sequential(*layers[:-1]).double()
    x = torch.full((1, 2), 9.0, dtype=torch.float64, requires_grad=True)
    seen = []
    for even in (False, True):
        with torch.no_grad():
            for w in critic.parameters():
                w.fill_(k.c) if even else w.uniform_(-k.c, k.c)
        seen.append(torch.autograd.grad(critic(x).sum(), x)[0].norm().item())
    assert seen[0] < seen[1] == pytest.approx(module.steep(k))
