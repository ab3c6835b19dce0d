"""What crosses between the grader and a stranger's process: laws, limits, and noise."""

from __future__ import annotations

import json
import math
import socket
import time
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from frames import fuzz, noise
from hypothesis import given
from hypothesis import strategies as st

from tools.grader import wire

TEXTS = st.text(max_size=20)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**900), 2**900)
    | st.floats()
    | st.complex_numbers()
    | TEXTS.filter(lambda t: t == wire.clean(t)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(TEXTS.filter(lambda t: t == wire.clean(t)), inner, max_size=3)
    ),
    max_leaves=20,
)


def crossed(value: Any) -> Any:
    """A value after a journey in a frame."""
    raw = bytearray()
    message = {"value": wire.encode(value, raw)}
    back = wire.parse(wire.pack(message, bytes(raw))[wire.HEAD.size :][: len(json.dumps(message))])
    return wire.Reader(bytes(raw)).value(back["value"])


@given(PLAIN)
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    assert repr(crossed(value)) == repr(value)


@pytest.mark.parametrize("name", wire.SIZES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_tensors_arrive_bit_for_bit(name: str, shape: tuple[int, ...]) -> None:
    dtype = getattr(torch, name)
    drawn = torch.randn(shape, dtype=torch.float64) * 4
    value = drawn > 0 if name == "bool" else drawn.to(dtype)
    got = crossed([value, value.clone(), 1])
    for each in got[:2]:
        assert each.dtype == dtype
        assert each.shape == value.shape
        assert torch.equal(each, value)


def test_strange_tensors_cross_by_value_or_not_at_all() -> None:
    base = torch.arange(6.0).reshape(2, 3)
    for value in (base.T, base[:, ::2], base.expand(4, 2, 3), torch.tensor([1j]).conj()):
        assert torch.equal(crossed(value), value)
    nothing = torch.tensor([math.nan, math.inf, -math.inf, -0.0])
    got = crossed(nothing)
    assert torch.equal(got.view(torch.int32), nothing.view(torch.int32))
    for value in (
        torch.zeros(2, device="meta"),
        torch.zeros(2).to_sparse(),
        torch.zeros(1).expand(10**12),
    ):
        assert isinstance(crossed(value), wire.Opaque)


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.arange(3), np.array([[1.5, 2.0]]), np.bool_(True)]
)
def test_arrays_of_numpy(value: Any) -> None:
    got = crossed(value)
    assert isinstance(got, wire.Array)
    assert got.tensor.tolist() == value.tolist()


def test_expressions() -> None:
    p, q = sp.symbols("p q", positive=True)
    got = crossed([p / (p + q), sp.Rational(-2, 3), sp.exp(p) + sp.pi])
    added = ["Add", ["Symbol", "p"], ["Symbol", "q"]]
    assert got[0].tree == ["Mul", ["Symbol", "p"], ["Pow", added, ["Integer", "-1"]]]
    assert got[1].tree == ["Rational", "-2", "3"]
    assert crossed(sp.Matrix([[p, 1]])) == [
        [wire.Tree(["Symbol", "p"]), wire.Tree(["Integer", "1"])]
    ]
    deep = p
    for _ in range(100):
        deep = sp.sin(deep)
    for large in (deep, sp.Add(*sp.symbols("x:4000")), sp.Integer(10) ** 5000):
        with pytest.raises(ValueError, match="the expression"):
            wire.tree_of(large)


def test_what_does_not_cross_says_its_type() -> None:
    class Mine:
        pass

    assert crossed(Mine()) == wire.Opaque("Mine")
    assert crossed(10**1000) == wire.Opaque("int")
    kept: list[Any] = []
    thing = Mine()
    encoded = wire.encode([thing, 1], bytearray(), kept)
    assert kept == [thing]
    handle, _ = wire.Reader(b"", process=7).value(encoded)
    assert handle == wire.Handle(0, "Mine", 7)
    assert wire.Reader(b"", kept).value(wire.encode(handle, bytearray())) is thing


def test_a_seed_becomes_a_generator_there_alone() -> None:
    encoded = wire.encode(wire.Seed(5), bytearray())
    there = wire.Reader(b"", kept=[]).value(encoded)
    assert torch.equal(
        torch.rand(3, generator=there), torch.rand(3, generator=wire.Seed(5).generator())
    )
    with pytest.raises(wire.Bad):
        wire.Reader(b"").value(encoded)  # a stranger makes the grader do nothing


BAD_VALUES: dict[str, Any] = {
    "no object": 3,
    "list": [],
    "empty": {},
    "two kinds": {"i": "1", "f": "0x1p0"},
    "unknown": {"q": 1},
    "integer as a number": {"i": 5},
    "long integer": {"i": "f" * 2000},
    "float as a number": {"f": 0.5},
    "float of words": {"f": "import os"},
    "unknown dtype": {"t": ["qint8", [1]]},
    "attribute as dtype": {"t": ["nn", [1]]},
    "negative shape": {"t": ["float32", [-1]]},
    "shape of floats": {"t": ["float32", [1.0]]},
    "shape of bools": {"t": ["float32", [True]]},
    "huge shape": {"t": ["float32", [2**31 - 1] * 8]},
    "beyond the frame": {"t": ["float32", [3]]},
    "many dimensions": {"t": ["float32", [1] * 9]},
    "text as a list": {"l": "abc"},
    "key": {"d": [[{"l": []}, None]]},
    "no pairs": {"d": [[1]]},
    "handle": {"h": -1},
    "handle of text": {"h": "0"},
    "no tree": {"x": 5},
    "empty tree": {"x": []},
    "tree of numbers": {"x": [1, 2]},
    "symbol without name": {"x": ["Symbol"]},
    "symbol of trees": {"x": ["Symbol", ["Integer", "1"]]},
    "long number": {"x": ["Integer", "9" * 500]},
    "generator": {"g": 3},
    "array of an array": {"n": {"n": 5}},
}


@pytest.mark.parametrize("encoded", BAD_VALUES.values(), ids=BAD_VALUES)
def test_what_is_no_value_is_refused(encoded: Any) -> None:
    with pytest.raises(wire.Bad):
        wire.Reader(bytes(8)).value(encoded)


def test_no_value_is_larger_than_its_frame() -> None:
    """Many tensors cannot share the same bytes, and many parts are too many."""
    one = {"t": ["uint8", [600]]}
    assert len(wire.Reader(bytes(1000)).value({"l": [one]})) == 1
    with pytest.raises(wire.Bad):
        wire.Reader(bytes(1000)).value({"l": [one, one]})
    with pytest.raises(wire.Bad):
        wire.Reader(b"").value({"l": [None] * (wire.MAX_PARTS + 1)})


def test_texts_can_always_be_written() -> None:
    got = wire.Reader(b"").value(wire.parse(b'{"v": {"s": "\\ud800x\\udcff"}}')["v"])
    assert got.encode("utf-8") == b"?x?"


def test_depth_counts_brackets_outside_strings_and_takes_linear_time() -> None:
    assert wire.depth(b'{"a": [[1], "]]]]{{{{\\"[[["]}') == 3
    began = time.process_time()
    for text in (b'"' + b'\\"' * 10**6, b'"' * 10**6, b"\\" * 10**6, b"[" * 10**6):
        wire.depth(text)
    assert time.process_time() - began < 10


BAD_MESSAGES = {
    "nothing": b"",
    "list": b"[]",
    "number": b"3",
    "cut": b"{",
    "nan": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "bytes": b"\xff{}",
    "deep": b'{"a":' * 61 + b"1" + b"}" * 61,
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("text", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_what_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises(wire.Bad):
        wire.parse(text)


def test_whatever_comes_is_a_value_or_no_answer() -> None:
    seen = fuzz(3000, noise, 0)
    assert set(seen) == {"value", "Bad", "Gone"}
    assert min(seen.values()) > 100
    assert set(fuzz(500, lambda draw: draw.randbytes(draw.randrange(200)), 1)) == {"Bad", "Gone"}


def test_time_is_over_when_it_is_over() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(wire.MAGIC)
        began = time.monotonic()
        with pytest.raises(wire.Late):
            wire.receive(ours, began + 0.2)
        assert 0.1 < time.monotonic() - began < 5
        with pytest.raises(wire.Late):  # nobody reads, and the pipe is full
            wire.send(ours, {}, bytes(wire.MAX_RAW), time.monotonic() + 0.2)
