"""Compiled functions against eager torch: random compositions, bit for bit.

``make fuzz FUNCTIONS=5000 SEED=7`` makes that many functions of three to eight operations each,
compiles them together, and runs them on ordinary and on extreme values: zeros of both signs,
infinities, NaN, subnormal numbers, 1e38, the ends of 64-bit integers. A function is made of
operations whose result IEEE arithmetic or integers determine, and must agree with torch in every
bit; half of them end in one that rounds (:data:`ROUNDED`), and agree within its tolerance. Before
that each operation is tried alone.
"""

from __future__ import annotations

import argparse
import inspect
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganlib.lab.compiler import Module, compile_functions
from ganlib.lab.runtime import start

__all__ = ["Composition", "alone", "compositions", "main", "mismatches"]

ROWS, COLUMNS = 3, 5
#: The arguments of every function: float32, float64, int64, int32 and bool, all broadcastable.
ARGUMENTS: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
    "f": ((ROWS, COLUMNS), torch.float32),
    "g": ((COLUMNS,), torch.float32),
    "h": ((), torch.float32),
    "d": ((ROWS, COLUMNS), torch.float64),
    "e": ((ROWS, 1), torch.float64),
    "n": ((ROWS, COLUMNS), torch.int64),
    "m": ((ROWS, 1), torch.int64),
    "i": ((COLUMNS,), torch.int32),
    "b": ((ROWS, COLUMNS), torch.bool),
}
_FLOATS = [
    0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, -3e-42, 1.17549435e-38, 1e38, -3e38, 0.1, -0.1,
    0.5, -0.5, 1.5, 2.5, -2.5, 1.0, -1.0, 3.0, 6.0, -7.0, 16777217.0, 1e-8, 88.7, -104.0, 0.99999,
]  # fmt: skip
_INTEGERS = [
    0, 1, -1, 2, -2, 3, -7, 7, 10, 100, 2**31, -(2**31), 2**53 + 1, 2**60 + 1, -(2**60) - 1,
    2**63 - 1, -(2**63) + 1, -(2**63), 6, -6,
]  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """What is done to operands of given kinds: ``x`` a float, ``k`` an integer, ``b`` a bool,
    ``c`` an integer or a bool, ``a`` anything."""

    text: str
    takes: str
    call: Callable[..., Tensor]
    rtol: float = 0.0  #: in units of the result's epsilon
    atol: float = 0.0


def _operations(*entries: tuple[Any, ...]) -> list[Operation]:
    return [Operation(*entry) for entry in entries]


def _divisor(k: Tensor) -> Tensor:
    return torch.where((k == 0) | (k == -1), 3, k)  # by 0 torch raises; -2**63 // -1 has no value


def _small(x: Tensor) -> Tensor:
    return x.nan_to_num(0.5, 3.0, -3.0).clamp(-4, 4)


def _places(k: Tensor, count: int) -> Tensor:
    return (k % count).long()


def _full(x: Tensor) -> Tensor:
    return x.expand(ROWS, COLUMNS)


#: Operations whose results are determined to the last bit.
EXACT = _operations(
    ("{} + {}", "aa", lambda x, y: x + y),
    ("{} - 3", "k", lambda k: k - 3),
    ("1 - {}", "x", lambda x: 1 - x),
    ("{} - {}", "xx", lambda x, y: x - y),
    ("{} - {}", "kk", lambda x, y: x - y),
    ("{} * {}", "aa", lambda x, y: x * y),
    ("{} * 0.1", "a", lambda x: x * 0.1),
    ("{} / {}", "aa", lambda x, y: x / y),
    ("{} // {}", "xx", lambda x, y: x // y),
    ("{} // 0.1", "x", lambda x: x // 0.1),
    ("{} // {}", "kk", lambda x, y: x // _divisor(y)),
    ("{} // -3", "k", lambda x: x // -3),
    ("{} // 2", "k", lambda x: x // 2),
    ("div({}, {}, floor)", "xx", lambda x, y: torch.div(x, y, rounding_mode="floor")),
    ("div({}, {}, trunc)", "xx", lambda x, y: torch.div(x, y, rounding_mode="trunc")),
    ("div({}, {}, floor)", "kk", lambda x, y: torch.div(x, _divisor(y), rounding_mode="floor")),
    ("div({}, {}, trunc)", "kk", lambda x, y: torch.div(x, _divisor(y), rounding_mode="trunc")),
    ("{} % {}", "xx", lambda x, y: x % y),
    ("{} % 0.3", "x", lambda x: x % 0.3),
    ("{} % {}", "kk", lambda x, y: x % _divisor(y)),
    ("{} % -3", "k", lambda x: x % -3),
    ("fmod({}, {})", "xx", torch.fmod),
    ("fmod({}, {})", "kk", lambda x, y: torch.fmod(x, _divisor(y))),
    ("-{}", "x", lambda x: -x),
    ("-{}", "k", lambda x: -x),
    ("abs({})", "x", torch.abs),
    ("abs({})", "k", torch.abs),
    ("~{}", "c", lambda x: ~x),
    ("{} & {}", "cc", lambda x, y: x & y),
    ("{} | {}", "cc", lambda x, y: x | y),
    ("{} ^ {}", "cc", lambda x, y: x ^ y),
    ("{} ** 3", "k", lambda x: x**3),
    ("{} ** 2", "a", lambda x: x.square()),
    ("{} ** ({} % 5)", "kk", lambda x, y: x ** (y % 5)),
    ("floor({})", "x", torch.floor),
    ("ceil({})", "x", torch.ceil),
    ("round({})", "x", torch.round),
    ("trunc({})", "x", torch.trunc),
    ("reciprocal({})", "x", torch.reciprocal),
    ("sign({})", "x", torch.sign),
    ("sign({})", "k", torch.sign),
    ("relu({})", "x", torch.relu),
    ("leaky_relu({}, 0.5)", "x", lambda x: F.leaky_relu(x, 0.5)),
    ("hardtanh({})", "x", F.hardtanh),
    ("clamp({}, -1, 2)", "x", lambda x: x.clamp(-1, 2)),
    ("clamp({}, min={})", "xx", lambda x, y: x.clamp(min=y)),
    ("clamp({}, {}, {})", "xxx", lambda x, y, z: x.clamp(y, z)),
    ("clamp({}, max={})", "kk", lambda x, y: x.clamp(max=y)),
    ("maximum({}, {})", "xx", torch.maximum),
    ("minimum({}, {})", "kk", torch.minimum),
    ("fmax({}, {})", "xx", lambda x, y: torch.fmax(x, y) + 0.0),  # of 0.0, -0.0 either may come
    ("fmin({}, {})", "xx", lambda x, y: torch.fmin(x, y) + 0.0),
    ("where({}, {}, {})", "baa", torch.where),
    ("where({}, {}, 2.5)", "ba", lambda c, x: torch.where(c, x, 2.5)),
    ("masked_fill({}, {})", "xb", lambda x, b: x.expand(ROWS, COLUMNS).masked_fill(b, -1.5)),
    ("{} < {}", "xx", lambda x, y: x < y),
    ("{} <= {}", "kk", lambda x, y: x <= y),
    ("{} > {}", "kx", lambda x, y: x > y),
    ("{} == {}", "aa", lambda x, y: x == y),
    ("{} != 2**60 + 1", "k", lambda x: x != 2**60 + 1),
    ("{} >= 0.1", "x", lambda x: x >= 0.1),
    ("isnan({})", "x", torch.isnan),
    ("isinf({})", "x", torch.isinf),
    ("isfinite({})", "x", torch.isfinite),
    ("logical_and({}, {})", "aa", torch.logical_and),
    ("logical_or({}, {})", "aa", torch.logical_or),
    ("logical_not({})", "a", torch.logical_not),
    ("{}.float()", "a", lambda x: x.float()),
    ("{}.double()", "a", lambda x: x.double()),
    ("{}.bool()", "a", lambda x: x.bool()),
    ("{}.long()", "c", lambda x: x.long()),
    ("{}.int()", "c", lambda x: x.int()),
    ("{}.long()", "x", lambda x: (_small(x) * 1000).long()),
    ("amax({}, 1)", "x", lambda x: _full(x).amax(1, keepdim=True)),
    ("amin({}, 0)", "k", lambda x: _full(x).amin(0)),
    ("max({})", "a", lambda x: x.max()),
    ("min({})", "x", lambda x: x.min()),
    ("max({}, 1)", "x", lambda x: _full(x).max(1, keepdim=True).values),
    ("min({}, 0).indices", "x", lambda x: _full(x).min(0).indices),
    ("argmax({}, 1)", "x", lambda x: _full(x).argmax(1, keepdim=True)),
    ("argmin({})", "k", lambda x: _full(x).argmin()),
    ("any({}, 0)", "a", lambda x: _full(x).any(0)),
    ("all({})", "a", lambda x: x.all()),
    ("sum({}, 0)", "c", lambda x: _full(x).sum(0)),
    ("sum({})", "c", lambda x: x.sum()),
    ("prod({}, 1)", "c", lambda x: _full(x).prod(1, keepdim=True)),
    ("cumsum({}, 1)", "c", lambda x: _full(x).cumsum(1)),
    ("cumprod({}, 0)", "k", lambda x: _full(x).cumprod(0)),
    ("sort({}, 1)", "x", lambda x: _full(x).sort(dim=1, stable=True).values),
    ("argsort({}, 0)", "x", lambda x: _full(x).argsort(dim=0, descending=True, stable=True)),
    ("flip({})", "a", lambda x: _full(x).flip(0, 1)),
    ("roll({})", "a", lambda x: _full(x).roll(2, 1)),
    ("gather({}, {})", "ak", lambda x, k: _full(x).gather(1, _full(_places(k, COLUMNS)))),
    ("{}[:, {}[0]]", "ak", lambda x, k: _full(x)[:, _full(_places(k, COLUMNS))[0]]),
    ("scatter({}, {})", "xk", lambda x, k: _full(x).scatter(
        0, _full(_places(k, ROWS))[:1], _full(x)[:1])),
    ("tril({})", "x", lambda x: _full(x).tril()),
    ("pad({})", "x", lambda x: F.pad(_full(x)[:, 1:-1], (1, 1), value=2.5)),
    ("pad({}, circular)", "x", lambda x: F.pad(_full(x)[None, :, 1:-1], (1, 1), "circular")[0]),
    ("one_hot({})", "k", lambda k: F.one_hot(_places(_full(k)[:, 0], COLUMNS), COLUMNS)),
    ("embedding({})", "kx", lambda k, x: F.embedding(_full(_places(k, ROWS))[:, 0], _full(x))),
    ("max_pool1d({})", "x", lambda x: F.max_pool1d(_full(x), 3, 1, 1)),
    ("max_pool2d({})", "x", lambda x: F.max_pool2d(_full(x)[None], (2, 3), (1, 1), (1, 1))[0, :3]),
    ("nan_to_num({})", "x", lambda x: x.nan_to_num(0.25)),
    ("reshape({})", "a", lambda x: _full(x).T.reshape(ROWS, COLUMNS)),
    ("{}.T.contiguous().view", "a", lambda x: _full(x).T.contiguous().view(ROWS, COLUMNS)),
    ("stack({}, {})", "aa", lambda x, y: torch.stack([_full(x), _full(y)])[1]),
    ("cat({}, {})", "aa", lambda x, y: torch.cat([_full(x), _full(y)], 1)[:, 3:8]),
    ("repeat_interleave({})", "a", lambda x: _full(x)[:1].repeat_interleave(3, 0)),
    ("add({}, {}, alpha=2)", "kk", lambda x, y: torch.add(x, y, alpha=2)),
)  # fmt: skip

#: Operations that round: tolerance in epsilons of the result, then absolute.
ROUNDED = _operations(
    *((f"{name}({{}})", "x", getattr(torch, name), 4.0) for name in (
        "exp", "expm1", "log", "log1p", "log2", "log10", "exp2", "atan", "asinh", "sinh", "cosh",
        "tanh", "erf", "rsqrt", "sigmoid")),
    *((f"{name}(small {{}})", "x", lambda x, call=call: call(_small(x)), 4.0, 1e-6)
      for name, call in {"sin": torch.sin, "cos": torch.cos, "tan": torch.tan,
                         "erfc": torch.erfc}.items()),
    *((f"{name}({{}})", "x", getattr(torch, name), 8.0) for name in ("asin", "acos", "atanh")),
    ("sqrt({})", "x", torch.sqrt, 1.0),  # torch's own is an ulp off here and there
    ("acosh({})", "x", torch.acosh, 16.0),
    ("softplus({})", "x", F.softplus, 8.0),
    ("silu({})", "x", F.silu, 8.0),
    ("elu({})", "x", F.elu, 8.0),
    ("gelu({})", "x", lambda x: F.gelu(x.clamp(-30, 1e30)), 8.0, 1e-6),
    ("gelu({}, tanh)", "x", lambda x: F.gelu(x.clamp(-9, 9), approximate="tanh"), 16.0, 1e-6),
    ("logsigmoid({})", "x", F.logsigmoid, 8.0),
    ("atan2({}, {})", "xx", torch.atan2, 4.0),
    ("hypot({}, {})", "xx", torch.hypot, 4.0),
    ("pow({}, {})", "xx", lambda x, y: _small(x).abs() ** _small(y), 8.0),
    ("logaddexp({}, {})", "xx", lambda x, y: torch.logaddexp(_small(x), _small(y)), 8.0, 1e-6),
    ("sum({}, 0)", "x", lambda x: _full(_small(x)).sum(0), 16.0, 1e-5),
    ("mean({})", "x", lambda x: _small(x).mean(), 16.0, 1e-5),
    ("mean({}, 1)", "x", lambda x: _full(_small(x)).mean(1), 16.0, 1e-5),
    ("prod({}, 1)", "x", lambda x: _full(_small(x)).prod(1), 16.0),
    ("cumsum({}, 0)", "x", lambda x: _full(_small(x)).cumsum(0), 16.0, 1e-5),
    ("cumprod({}, 1)", "x", lambda x: _full(_small(x)).cumprod(1), 16.0),
    ("var({}, 1)", "x", lambda x: _full(_small(x)).var(1), 32.0, 1e-5),
    ("std({})", "x", lambda x: _full(_small(x)).std(correction=0), 32.0, 1e-5),
    ("norm({})", "x", lambda x: torch.linalg.vector_norm(_full(_small(x)), dim=1), 16.0, 1e-6),
    ("softmax({}, 1)", "x", lambda x: _full(_small(x)).softmax(1), 16.0, 1e-7),
    ("log_softmax({}, 0)", "x", lambda x: _full(_small(x)).log_softmax(0), 16.0, 1e-6),
    ("logsumexp({}, 1)", "x", lambda x: _full(_small(x)).logsumexp(1), 16.0, 1e-6),
    ("{} @ {}", "xx", lambda x, y: _full(_small(x)) @ _full(_small(y)).T.to(x.dtype), 32.0, 2e-5),
    ("layer_norm({})", "x", lambda x: F.layer_norm(_full(_small(x)) + torch.arange(5), (5,)),
     64.0, 1e-4),
    ("group_norm({})", "x", lambda x: F.group_norm(
        (_full(_small(x)) + torch.arange(5))[None], 3), 64.0, 1e-4),
    ("batch_norm({})", "x", lambda x: F.batch_norm(
        _full(_small(x)), torch.arange(5.0).to(x.dtype), torch.arange(1.0, 6).to(x.dtype)),
     32.0, 1e-5),
    ("conv1d({}, {})", "xx", lambda x, y: F.conv1d(
        _full(_small(x))[None], _full(_small(y)).to(x.dtype)[:2, None, :3].expand(2, 3, 3),
        stride=2, padding=1), 32.0, 1e-4),
    ("conv2d({}, {})", "xx", lambda x, y: F.conv2d(
        _full(_small(x))[None, None], _full(_small(y)).to(x.dtype)[:2, None, :2, None],
        padding=(0, 1), dilation=(1, 2)), 32.0, 1e-4),
    ("conv_transpose2d({}, {})", "xx", lambda x, y: F.conv_transpose2d(
        _full(_small(x))[None, None], _full(_small(y)).to(x.dtype)[None, :2, :2, None],
        stride=2, padding=(1, 0), output_padding=1), 32.0, 1e-4),
    ("avg_pool1d({})", "x", lambda x: F.avg_pool1d(_full(_small(x)), 3, 1, 1), 16.0, 1e-5),
    ("avg_pool2d({})", "x", lambda x: F.avg_pool2d(_full(_small(x))[None], 2), 16.0, 1e-5),
    ("Normal({}, 1).log_prob({})", "xx", lambda x, y: torch.distributions.Normal(
        _small(x), 1, validate_args=False).log_prob(_small(y)), 16.0, 1e-5),
)  # fmt: skip


@dataclass(frozen=True)
class Composition:
    """Steps, each an operation and the numbers of its operands: arguments come first."""

    steps: tuple[tuple[Operation, tuple[int, ...]], ...]

    def __str__(self) -> str:
        names = list(ARGUMENTS)
        lines = []
        for operation, operands in self.steps:
            shown = operation.text.format(*(names[i] for i in operands))
            names.append(f"t{len(names) - len(ARGUMENTS)}")
            lines.append(f"{names[-1]} = {shown}")
        return "; ".join(lines)

    def __call__(self, *arguments: Tensor) -> Tensor:
        values = list(arguments)
        for operation, operands in self.steps:
            values.append(operation.call(*(values[i] for i in operands)))
        return values[-1]

    def function(self) -> Callable[..., Tensor]:
        """The same as a function whose parameters are named."""

        def composed(*arguments: Tensor) -> Tensor:
            return self(*arguments)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in ARGUMENTS]
        composed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return composed


def _kind(dtype: torch.dtype) -> str:
    return "x" if dtype.is_floating_point else "b" if dtype == torch.bool else "k"


def _fits(wanted: str, kind: str) -> bool:
    return wanted in ("a", kind) or (wanted == "c" and kind in "kb")


def alone() -> Iterator[Composition]:
    """Each operation on its own, on every kind of number that it takes."""
    kinds = {name: _kind(dtype) for name, (_, dtype) in ARGUMENTS.items()}
    rng = random.Random(0)
    for operation in [*EXACT, *ROUNDED]:
        for first, (name, kind) in enumerate(kinds.items()):
            if name not in "gh" and _fits(operation.takes[0], kind):
                others = [
                    rng.choice([j for j, k in enumerate(kinds.values()) if _fits(wanted, k)])
                    for wanted in operation.takes[1:]
                ]
                yield Composition(((operation, (first, *others)),))


def compositions(count: int, seed: int) -> Iterator[Composition]:
    """Random functions of three to eight operations."""
    rng = random.Random(seed)
    examples = list(_inputs(seed).values())
    while count:
        values, steps = list(examples), []
        for left in reversed(range(rng.randint(3, 8))):
            last = left == 0 and rng.random() < 0.5
            operation = rng.choice(ROUNDED if last else EXACT)
            operands = _operands(rng, operation, values)
            if operands is None:
                continue
            result = operation.call(*(values[i] for i in operands))
            steps.append((operation, operands))
            values.append(result)
            if last:
                break
        if len(steps) > 2:
            yield Composition(tuple(steps))
            count -= 1


def _operands(rng: random.Random, of: Operation, values: list[Tensor]) -> tuple[int, ...] | None:
    chosen = []
    for wanted in of.takes:
        fitting = [i for i, v in enumerate(values) if _fits(wanted, _kind(v.dtype))]
        # What was computed last rather than an argument: long chains.
        chosen.append(rng.choice(fitting[-2:] if rng.random() < 0.6 else fitting))
    return tuple(chosen)


def _inputs(seed: int, special: bool = False) -> dict[str, Tensor]:
    rng = random.Random(seed)
    made = {}
    for name, (shape, dtype) in ARGUMENTS.items():
        count = math.prod(shape)
        if dtype == torch.bool:
            values: list[Any] = [rng.random() < 0.5 for _ in range(count)]
        elif dtype.is_floating_point:
            values = [rng.choice(_FLOATS) if special else rng.gauss(0, 3) for _ in range(count)]
        else:
            ends = [k for k in _INTEGERS if dtype == torch.int64 or abs(k) < 2**31]
            values = [rng.choice(ends) if special else rng.randint(-9, 9) for _ in range(count)]
        made[name] = torch.tensor(values, dtype=dtype).reshape(shape)
    return made


def compiled(made: Sequence[Composition]) -> Module:
    """All of them as one module."""
    examples = list(_inputs(0).values())
    return compile_functions(
        {f"f{i}": (c.function(), examples) for i, c in enumerate(made)}, seldom=_names(len(made))
    )


def _names(count: int) -> list[str]:
    return [f"f{i}" for i in range(count)]


def mismatches(made: Sequence[Composition], seeds: Sequence[int]) -> list[str]:
    """What a compiled function and torch compute differently, in words; empty if nothing."""
    running = start(compiled(made))
    found = []
    for seed in seeds:
        given = _inputs(seed, special=seed % 3 != 0)
        for i, composition in enumerate(made):
            function = running.functions[f"f{i}"]
            for name, view in function.inputs.items():
                view[...] = given[name].numpy()
            function.run()
            expected = composition(*given.values())
            got = torch.from_numpy(np.array(function.outputs["result"]))
            if wrong := _difference(composition.steps[-1][0], got, expected):
                found.append(f"inputs {seed}: {composition}: {wrong}")
    return found


def _difference(last: Operation, got: Tensor, expected: Tensor) -> str:
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return f"{got.dtype} {tuple(got.shape)}, torch {expected.dtype} {tuple(expected.shape)}"
    same = got == expected
    if expected.dtype.is_floating_point:
        same = same & (got.signbit() == expected.signbit()) | (got.isnan() & expected.isnan())
        if last.rtol or last.atol:
            room = last.rtol * torch.finfo(expected.dtype).eps * expected.abs() + last.atol
            room = room + torch.finfo(expected.dtype).tiny
            same = same | ((got - expected).abs() <= room)
    if bool(same.all()):
        return ""
    places = (~same).flatten().nonzero().flatten()[:3]
    pairs = [(got.flatten()[p].item(), expected.flatten()[p].item()) for p in places]
    return ", ".join(f"{a!r}, torch {b!r}" for a, b in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz from the command line; 1 if something differs."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--functions", type=int, default=2000, help="how many compositions")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch")
    chosen = parser.parse_args(arguments)
    print("each operation alone", flush=True)
    found = mismatches(list(alone()), range(6))
    done = 0
    while done < chosen.functions:
        count = min(250, chosen.functions - done)
        seed = chosen.seed + done // 250
        found += mismatches(list(compositions(count, seed)), range(6))
        done += count
        print(f"{done} compositions, {len(found)} differences", flush=True)
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
