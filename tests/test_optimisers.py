"""Each optimiser is torch's, in both of its forms; rates are numbers or schedules."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ganlib.optimisers import SGD, Adam, RMSProp, linear, rate_at

PAIRS: dict[str, tuple[Any, Any]] = {
    "adam": (Adam(1e-2, 0.9, 0.99, 1e-6), lambda w: torch.optim.Adam(
        w, 1e-2, (0.9, 0.99), 1e-6)),
    "adam without momentum": (Adam(1e-2, 0.0, 0.99), lambda w: torch.optim.Adam(
        w, 1e-2, (0.0, 0.99))),
    "sgd": (SGD(0.1), lambda w: torch.optim.SGD(w, 0.1)),
    "sgd with momentum": (SGD(0.1, 0.9), lambda w: torch.optim.SGD(w, 0.1, 0.9)),
    "rmsprop": (RMSProp(1e-2, 0.9, 1e-6), lambda w: torch.optim.RMSprop(w, 1e-2, 0.9, 1e-6)),
}  # fmt: skip


def started(optimiser: Any, weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {
        slot: {n: torch.zeros(()) if slot == "count" else torch.zeros_like(w)
               for n, w in weights.items()}
        for slot in optimiser.slots
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_it_is_the_optimiser_of_torch(name: str, dtype: torch.dtype) -> None:
    mine, theirs = PAIRS[name]
    rng = torch.Generator().manual_seed(0)
    start = {n: torch.randn(3, 2, generator=rng, dtype=dtype) for n in "ab"}
    slopes = [{n: torch.randn(3, 2, generator=rng, dtype=dtype) for n in "ab"} for _ in range(12)]
    kept = [w.clone().requires_grad_() for w in start.values()]
    torchs = theirs(kept)
    pure, slots = dict(start), started(mine, start)
    placed = [w.clone() for w in start.values()]
    lists = [list(tree.values()) for tree in started(mine, start).values()]
    constants = {n: torch.tensor(v, dtype=dtype) for n, v in mine.settings.items()}
    for slope in slopes:
        for weight, value in zip(kept, slope.values(), strict=True):
            weight.grad = value.clone()
        torchs.step()
        pure, slots = mine.updated(pure, slope, slots, constants)
        mine.update(placed, list(slope.values()), lists, mine.settings)
    for weight, a, b in zip(kept, pure.values(), placed, strict=True):
        torch.testing.assert_close(a, weight.detach(), rtol=2e-6, atol=2e-6)
        torch.testing.assert_close(b, weight.detach(), rtol=2e-6, atol=2e-6)
    if name == "sgd":
        return  # without momentum torch leaves the velocity alone
    for tree, tensors in zip(slots.values(), lists, strict=True):
        for a, b in zip(tree.values(), tensors, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_adam_keeps_its_digits_at_the_first_steps() -> None:
    # beta2 = 1 - 1e-7: 1 - beta2 has one digit left in float32 unless it is computed with care.
    beta2 = 1 - 1e-7
    (moved, _) = Adam().updated(
        {"w": torch.zeros(1)}, {"w": torch.ones(1)}, started(Adam(), {"w": torch.zeros(1)}),
        {"rate": torch.tensor(1.0), "beta1": torch.tensor(0.5), "beta2": torch.tensor(beta2),
         "epsilon": torch.tensor(0.0)},
    )  # fmt: skip
    assert moved["w"].item() == pytest.approx(-1, abs=1e-3)


def test_a_line_is_a_schedule_of_numbers_and_of_tensors() -> None:
    line = linear(1.0, 0.2, over=10, after=2)
    expected = {0: 1.0, 2: 1.0, 6: 0.6, 10: 0.2, 50: 0.2}
    for done, value in expected.items():
        assert line(done) == pytest.approx(value)
        assert line(torch.tensor(float(done))).item() == pytest.approx(value)
        assert line(torch.tensor(done)).item() == pytest.approx(value)
    assert rate_at(line, 6) == pytest.approx(0.6)
    assert rate_at(0.3, 6) == 0.3
    assert repr(line) == repr(linear(1.0, 0.2, over=10, after=2))  # a checkpoint compares it
    for over, after in ((0, 0), (5, 5), (5, -1)):
        with pytest.raises(ValueError, match="0 <= after < over"):
            linear(1.0, over=over, after=after)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(-1e-3), r"rate is -0\.001; .* descends its own cost"),
        (lambda: Adam(math.nan), "rate is nan"),
        (lambda: Adam(math.inf), "rate is inf"),
        (lambda: Adam(beta1=1.0), r"beta1 is 1\.0; it must be at least 0 and below 1"),
        (lambda: Adam(beta2=-0.1), r"beta2 is -0\.1"),
        (lambda: Adam(epsilon=0.0), r"epsilon is 0\.0; it must be positive"),
        (lambda: Adam(lambda done: -1.0), r"rate is -1\.0"),
        (lambda: linear(-1.0, over=3), "its ends must be 0 or more"),
        (lambda: linear(1.0, math.nan, over=3), "a line from 1.0 to nan"),
        (lambda: SGD(momentum=1.0), r"momentum is 1\.0"),
        (lambda: RMSProp(decay=2.0), r"decay is 2\.0"),
    ],
)
def test_constants_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
