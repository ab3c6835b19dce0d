"""The study of the tricks: what each row changes, and that drawn labels have the mean they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganlib import losses, networks
from ganlib.results import stabilising
from ganlib.results.target import Job

PLAN = stabilising.TARGET.sizes["small"]
CPU = torch.device("cpu")


def test_every_row_changes_something_and_no_two_the_same() -> None:
    settings = [dict(setting) for setting in PLAN.rows.values()]
    for task in ("ring", "digits"):
        assert {"task": task, "runs": 16} in settings  # the plain run
    assert len({str(sorted(setting.items(), key=str)) for setting in settings}) == len(settings)
    assert PLAN.rows.keys() == stabilising.TARGET.sizes["full"].rows.keys()
    assert all(setting["runs"] >= 16 for setting in settings)


@pytest.mark.parametrize("row", PLAN.rows)
def test_a_row_is_two_networks_that_fit_its_data(row: str) -> None:
    setting = stabilising._setting(PLAN.rows[row], 100)
    made = {name: setting[name] for name in ("task", "noise", *stabilising._NETWORKS)
            if name in setting}  # fmt: skip
    generator, critic, points = stabilising._networks(3, **made)
    z = torch.randn(5, stabilising._LATENT[setting["task"]])
    samples = generator(z)
    assert critic(samples).shape == (5, 1)
    real = points.sample(5) if hasattr(points, "sample") else points[:5]
    assert samples.shape == real.shape
    if PLAN.rows[row].get("unit"):
        assert real.min() > -0.1
        assert real.max() < 1.1


def test_even_latents_are_even_and_of_variance_one() -> None:
    found = stabilising._Evenly()(torch.randn(20_000, generator=torch.Generator().manual_seed(0)))
    assert found.abs().max() < 3**0.5
    assert found.var().item() == pytest.approx(1, abs=0.03)
    share = (found < 0.5 * 3**0.5).float().mean().item()  # of (-1, 1): three quarters
    assert share == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("plain", [losses.non_saturating(), losses.least_squares()])
@pytest.mark.parametrize(
    ("how", "labels"),
    [({"flips": 0.1}, (0.9, 0.1)), ({"real": (0.7, 1.2), "fake": (0.0, 0.3)}, (0.95, 0.15))],
)
def test_drawn_labels_are_smoothed_ones_on_average(plain, how, labels) -> None:
    count = 200_000
    real, fake = torch.full((count, 1), 1.5), torch.full((count, 1), -0.7)
    drawn = stabilising.DrawnLabels(plain, **how)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = drawn.discriminator(real, fake)
        again = drawn.discriminator(real, fake)
    assert found != again
    expected = losses.smoothed(plain, *labels).discriminator(real, fake)
    assert found.item() == pytest.approx(expected.item(), abs=0.01)
    assert drawn.generator(fake) == plain.generator(fake)


def test_labels_that_are_not_changed_are_the_plain_loss() -> None:
    real, fake = torch.randn(8, 1), torch.randn(8, 1)
    drawn = stabilising.DrawnLabels(losses.non_saturating())
    torch.testing.assert_close(
        drawn.discriminator(real, fake), losses.non_saturating().discriminator(real, fake)
    )


@pytest.mark.parametrize("engine", ["exact", "fit"])
def test_a_job_is_so_many_runs_at_two_budgets(engine: str) -> None:
    setting = {"task": "ring", "runs": 2, "engine": engine}
    found = stabilising.run(Job("ring: plain", setting, 5), 8, CPU, False).numbers
    assert found["looks"] == [2, 8]
    assert found["engine"] == [engine, engine]
    assert [len(found[name]) for name in ("good", "fair", "diverged")] == [2, 2, 2]
    assert all(len(by_seed) == 2 for by_seed in found["good"])
    other = stabilising.run(Job("ring: plain", {**setting, "runs": 1}, 6), 8, CPU, False).numbers
    assert [by_seed[1] for by_seed in found["good"]] == [by_seed[0] for by_seed in other["good"]]


def test_a_run_that_diverged_has_the_worst_score() -> None:
    setting = {"task": "ring", "runs": 2, "rates": [1e30, 1e30], "engine": "fit"}
    found = stabilising.run(Job("ring: wild", setting, 0), 60, CPU, False).numbers
    assert found["diverged"][1] == 2
    assert found["good"][1] == [0, 0]


def test_dropout_stays_on_where_a_row_is_measured() -> None:
    generator, _, _ = stabilising._networks(0, task="ring", dropout=0.5)
    layers = [layer for layer in generator.modules() if isinstance(layer, networks.Dropout)]
    assert len(layers) == 2
    generator.eval()
    with torch.no_grad():
        stabilising._measured_by("ring", False)(generator)
    assert all(layer.calls == 1 for layer in layers)
    assert isinstance(generator, nn.Sequential)
