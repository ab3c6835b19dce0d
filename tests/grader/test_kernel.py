"""The numbers of Linux's interface, for both machines, against its own header files."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from tools.grader import kernel

HEADERS = (
    Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    Path("/usr/include/asm-generic/unistd.h"),  # aarch64 takes these
)


@pytest.mark.parametrize(("column", "header"), list(enumerate(HEADERS)), ids=["x86_64", "aarch64"])
def test_numbers_of_system_calls(column: int, header: Path) -> None:
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    known = {name: int(number) for name, number in found}
    ours = {name: numbers[column] for name, numbers in kernel.CALLS.items() if name in known}
    assert ours == {name: known[name] for name in ours}
    assert len(ours) > 60


@pytest.mark.parametrize("machine", kernel.ARCHITECTURES)
@pytest.mark.parametrize("signals", [False, True])
def test_the_filter_is_a_program(
    machine: str, signals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every jump stays inside, every path ends in a decision."""
    monkeypatch.setattr(kernel.platform, "machine", lambda: machine)
    code = kernel._program(signals)
    assert len(code) < 4096  # the kernel's limit
    for at, (what, if_true, if_false, _) in enumerate(code):
        assert 0 <= if_true < 256
        assert 0 <= if_false < 256
        if what != 0x06:  # anything but a return goes on
            assert at + 1 + max(if_true, if_false) < len(code)
    assert code[-1] == (0x06, 0, 0, 0x7FFF0000)


def decide(code: kernel.Code, number: int, *arguments: int) -> int:
    """Run the filter on a system call."""
    at = value = 0
    while True:
        what, if_true, if_false, k = code[at]
        at += 1
        if what == 0x20:
            value = {0: number, 4: kernel.ARCHITECTURES[kernel.platform.machine()][1]}.get(k, -1)
            value = arguments[(k - 16) // 8] if value < 0 else value
        elif what == 0x54:
            value &= k
        elif what == 0x06:
            return k
        else:
            yes = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[what]
            at += if_true if yes else if_false


@pytest.mark.parametrize("machine", kernel.ARCHITECTURES)
def test_what_the_filter_allows(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.platform, "machine", lambda: machine)
    column = kernel.ARCHITECTURES[machine][0]
    allow, refuse = 0x7FFF0000, 0x50001
    me = os.getpid()
    for signals in (False, True):
        code = kernel._program(signals)
        kept = refuse if signals else allow

        def of(name: str, *arguments: int, code: kernel.Code = code) -> int:
            return decide(code, kernel.CALLS[name][column], *arguments)

        assert {of(name, 0, 0) for name in kernel.REFUSED} == {refuse}
        assert decide(code, 0 if machine == "x86_64" else 63) == allow  # read
        assert (of("prlimit64", 0), of("prlimit64", me + 1)) == (allow, refuse)
        assert (of("socketpair", 1, 1), of("socketpair", 1, 0x80001)) == (allow, allow)
        assert of("socketpair", 1, 2) == refuse
        assert (of("clone", 17), of("clone", 17 | kernel.CLONE_NEWUSER)) == (allow, refuse)
        assert of("clone3") == 0x50026
        assert (of("kill", me, 9), of("kill", 0, 9)) == (allow, allow)
        assert (of("kill", me + 1, 9), of("kill", 2**32 - 1, 9)) == (kept, kept)
        assert (of("tkill", me, 9), of("pidfd_send_signal", 3, 9)) == (kept, kept)
        assert (of("fcntl", 3, 1), of("fcntl", 3, 8), of("fcntl", 3, 15)) == (allow, kept, kept)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_everything_that_descends_is_ended() -> None:
    """Also what forks as fast as it can, in sessions of its own."""
    ours, theirs = os.pipe()
    guard = os.fork()
    if not guard:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.limits({"CPU": 60})
        me = os.getpid()
        if not os.fork():
            until = time.monotonic() + 20
            while time.monotonic() < until:
                if len(kernel.children(me)) < 30 and not os.fork():
                    os.setsid()
            os._exit(0)
        time.sleep(0.3)
        done = kernel.sweep() and not kernel.children(os.getpid())
        os.write(theirs, b"1" if done else b"0")
        os._exit(0)
    os.waitpid(guard, 0)
    assert os.read(ours, 1) == b"1"
