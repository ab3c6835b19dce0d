"""Frames as a stranger might send them, and what the grader makes of them."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import torch

from tools.grader import wire


def received(data: bytes) -> str:
    """What the grader makes of bytes that came: the name of its exception, or "value"."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        try:
            message, raw = wire.receive(ours, time.monotonic() + 5)
            wire.Reader(raw).value(message.get("value"))
        except (wire.Bad, wire.Gone) as error:
            return type(error).__name__
    return "value"


def noise(draw: random.Random) -> bytes:
    """A frame, damaged in one of the ways that frames can be."""
    tree: list[Any] = ["Add", ["Symbol", "p"], ["Integer", "2"]]
    raw = bytearray()
    values = [1, 0.5, "x", torch.ones(3), [None, (True, {"a": 1j})], wire.Tree(tree), None]
    encoded = [wire.encode(draw.choice(values), raw) for _ in range(draw.randrange(1, 6))]
    frame = bytearray(wire.pack({"ok": True, "value": {"l": encoded}}, bytes(raw)))
    for _ in range(draw.randrange(0, 4)):
        at, how = draw.randrange(len(frame) or 1), draw.randrange(5)
        if how == 0:
            frame[at : at + 1] = draw.randbytes(1)
        elif how == 1:
            del frame[at : at + draw.randrange(1, 9)]
        elif how == 2:
            frame[at:at] = draw.choice(
                [b"[" * 70, b"{", b'"', b"null", b"1e999", b"\\ud800", b"}" * 9]
            )
        elif how == 3:
            frame[at : at + 4] = draw.randbytes(4)
        else:
            other = draw.randrange(len(frame) or 1)
            frame[at:at] = frame[other : other + draw.randrange(1, 40)]
    return bytes(frame)


def fuzz(count: int, make: Callable[[random.Random], bytes], seed: int) -> dict[str, int]:
    draw = random.Random(seed)
    seen: dict[str, int] = {}
    for _ in range(count):
        what = received(make(draw))
        seen[what] = seen.get(what, 0) + 1
    return seen
