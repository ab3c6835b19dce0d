"""Inside the hull: the zygote, which knows no secret, and the student's process, forked from it.

    python -P -s -m tools.grader.worker DESCRIPTOR CONFIGURATION

DESCRIPTOR is the control connection (a sequenced-packet socket), CONFIGURATION the JSON of a
:class:`Config`. Words on the control connection: ``start N`` with a socket for the new process,
``end N``, each answered by the same words. From :func:`serve` on the student's code shares the
process, and the grader believes nothing that comes from there.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tools.grader import kernel, wire


@dataclass(frozen=True)
class Config:
    """What the hull tells the zygote."""

    namespaces: bool = False  # the student's process makes its own
    landlock: bool = False
    seccomp: bool = True
    readable: tuple[str, ...] = ()  # with Landlock
    scratch: str = "/tmp"  # the only folder to write to
    limits: dict[str, int] = field(default_factory=dict)
    user: int = 0  # root gives its rights up for this user and group; 0: nothing to give up
    bare: bool = False  # no IPython: for a try of the hull
    silent: tuple[str, ...] = ()  # modules of public checks: do nothing here

    def text(self) -> str:
        return json.dumps(asdict(self))


# --------------------------------------------------------------------------------------------
# The zygote
# --------------------------------------------------------------------------------------------


def zygote(control: socket.socket, config: Config) -> None:
    """Load what a notebook needs, then fork a process for each submission that is announced."""
    if config.user and not os.getuid():
        os.setgroups([])
        os.setresgid(config.user, config.user, config.user)
        os.setresuid(config.user, config.user, config.user)
    shell = None if config.bare else make_shell(config.silent)
    if shell is not None:
        warm_up()
    gc.collect()
    gc.freeze()
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # nobody may trace it or open its memory
    control.send(b"ready")
    jobs: dict[str, int] = {}
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 1)
        if not message:  # the grader is gone
            for process in jobs.values():
                os.kill(process, signal.SIGKILL)
            kernel.sweep()
            return
        word, number = message.decode().split()
        if word == "start":
            process = os.fork()
            if not process:
                control.close()
                _confine_and_serve(socket.socket(fileno=descriptors[0]), shell, config)
            os.close(descriptors[0])
            jobs[number] = process
        elif number in jobs:
            process = jobs.pop(number)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            if not kernel.sweep():
                return  # something lives on: with the zygote the whole hull ends
        control.send(message)


def _confine_and_serve(connection: socket.socket, shell: Any, config: Config) -> None:
    """Body of the forked process; never returns."""
    try:
        confine(connection, config)
        connection = socket.socket(fileno=3)
    except BaseException as error:
        with contextlib.suppress(Exception):
            if connection.fileno() < 0:
                connection = socket.socket(fileno=3)
            wire.send(connection, {"ready": False, "why": f"{error}"[:300]})
        os._exit(70)
    try:
        wire.send(connection, {"ready": True})
        serve(connection, shell)
    finally:
        os._exit(70)


def confine(connection: socket.socket, config: Config) -> None:
    """Shut this process in; afterwards ``connection`` is descriptor 3, and the only one."""
    if config.namespaces:
        kernel.own_namespaces()
        first = os.fork()  # process 1 of the new name space: with it everything in there ends
        if first:
            connection.close()
            os.waitpid(first, 0)
            os._exit(0)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        second = os.fork()
        if second:
            connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, 0)[0] != second:
                    pass
            os._exit(0)
        kernel.no_capabilities()
    else:
        os.setsid()
    os.chdir(config.scratch)
    nowhere = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    if connection.fileno() != 3:
        os.dup2(connection.fileno(), 3, inheritable=False)
    connection.detach()
    os.closerange(4, 4096)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    version = 0
    if config.landlock:
        version = kernel.landlock(config.readable, (config.scratch, "/dev/null"))
    kernel.limits(config.limits)
    if config.seccomp:
        signals_out = not config.namespaces and version < kernel.SCOPED_SIGNALS
        kernel.seccomp(keep_signals_in=signals_out)


# --------------------------------------------------------------------------------------------
# A notebook's shell
# --------------------------------------------------------------------------------------------


class Silent(types.ModuleType):
    """Stands for the public checks: everything in it can be called, and does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


def _nothing(line: str) -> None:
    """Stands for a magic function that is not wanted here."""


INSTALLERS = ("pip", "pip3", "conda", "mamba", "uv", "apt", "apt-get")


def make_shell(silent: tuple[str, ...] = ()) -> Any:
    """An IPython shell as a notebook has it, without history, colours, output or installers."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config as Settings

    settings = Settings()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "NoColor"
    settings.InteractiveShell.cache_size = 0

    class Shell(InteractiveShell):  # type: ignore[misc]
        def enable_gui(self, gui: str | None = None) -> None:
            """``%matplotlib`` needs no event loop here."""

        def ask_exit(self) -> None:
            """``exit()`` ends nothing: a notebook, too, runs the cell to its end."""

        def showtraceback(self, *_: Any, **__: Any) -> None: ...

        def showsyntaxerror(self, *_: Any, **__: Any) -> None: ...

        def system(self, command: str) -> None:
            words = command.split()
            if not any(word in INSTALLERS for word in words[:3]):
                self.system_piped(command)

    shell = Shell.instance(config=settings)
    for installer in ("pip", "conda", "mamba", "uv"):
        shell.register_magic_function(_nothing, "line", installer)  # type: ignore[arg-type]
    for name in silent:
        sys.modules[name] = Silent(name)
    shell.user_ns["grader"] = Silent("grader")
    return shell


def warm_up() -> None:
    """Import what would cost each submission seconds, and what no longer imports once confined."""
    import asyncio  # noqa: F401
    import linecache  # noqa: F401
    import statistics  # noqa: F401

    import numpy  # noqa: F401
    import sympy  # noqa: F401

    with contextlib.suppress(ImportError):
        import matplotlib.pyplot
        import matplotlib_inline.backend_inline  # noqa: F401

        matplotlib.pyplot.close(matplotlib.pyplot.figure())
    torch.set_num_threads(1)
    torch.manual_seed(0)
    weight = torch.zeros(2, requires_grad=True)
    weight.grad = torch.zeros(2)  # no backward: its thread would not survive the fork
    for optimiser in (torch.optim.Adam([weight]), torch.optim.SGD([weight], lr=0.1)):
        optimiser.step()  # the first one imports 800 modules
        optimiser.zero_grad()


# --------------------------------------------------------------------------------------------
# From here on the student's code shares the process
# --------------------------------------------------------------------------------------------


class TookTooLong(BaseException):
    """The time for this cell or question is over; as when a notebook is interrupted."""


@contextlib.contextmanager
def time_limit(seconds: float | None, clock: float | None) -> Iterator[None]:
    """Raise :class:`TookTooLong` after CPU ``seconds``, or after ``clock`` seconds of waiting.

    A courtesy that keeps what a cell had defined before its loop. Code that catches everything
    goes on, and is ended from outside.
    """

    def stop(*_: Any) -> None:
        raise TookTooLong("the time is over")

    for number, timer, value in (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, clock),
    ):
        signal.signal(number, stop)
        signal.setitimer(timer, value or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def serve(connection: socket.socket, shell: Any) -> None:
    """Answer frame after frame until the grader closes the connection."""
    me = os.getpid()
    names: dict[str, Any] = shell.user_ns if shell is not None else {}
    kept: list[Any] = []
    injected: dict[str, Any] = {}
    while True:
        try:
            ask, sent = wire.receive(connection)
        except wire.Gone:
            os._exit(0)
        reply: dict[str, Any] = {"ok": True}
        raw = bytearray()
        try:
            with time_limit(ask.get("seconds"), ask.get("clock")):
                if ask["op"] == "inject":
                    scratch: dict[str, Any] = {}
                    exec(compile(ask["source"], "<injected>", "exec"), scratch)
                    injected = {name: scratch[name] for name in ask["names"]}
                    names.update(injected)
                elif ask["op"] == "cell":
                    try:
                        error = run_cell(shell, ask["source"], ask["number"])
                    finally:
                        names.update(injected)
                    if error is not None:
                        reply = {"ok": False, "error": trouble(error)}
                elif ask["op"] == "probe":
                    reply["probe"] = probe(ask)
                else:
                    with shell.builtin_trap, shell.display_trap:
                        reply, raw = answer(ask, sent, names, kept)
        except BaseException as error:
            reply, raw = {"ok": False, "error": trouble(error)}, bytearray()
        if os.getpid() != me:  # the student's code forked, and this is the copy
            os._exit(0)
        wire.send(connection, reply, bytes(raw))


def run_cell(shell: Any, source: str, number: int) -> BaseException | None:
    """Run a cell as a notebook does; what stopped it, if anything did."""
    shell.compile.get_code_name = lambda *_: f"<cell {number}>"
    result = shell.run_cell(source, store_history=False, silent=True)
    return result.error_before_exec or result.error_in_exec  # type: ignore[no-any-return]


def trouble(error: BaseException) -> dict[str, Any]:
    """An exception as data: type, text, and where in the student's cells it came from."""
    cell = line = None
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith("<cell "):
            cell, line = int(name[6:-1]), trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and str(error.filename).startswith("<cell "):
        cell, line = int(str(error.filename)[6:-1]), error.lineno
    text = wire.clean(error.msg if isinstance(error, SyntaxError) else error, 300)
    return {"type": type(error).__name__[:60], "text": text, "cell": cell, "line": line}


def answer(
    ask: Mapping[str, Any], sent: bytes, names: Mapping[str, Any], kept: list[Any]
) -> tuple[dict[str, Any], bytearray]:
    """Answer ``get``, ``call``, ``make``, ``state``; the checks in a notebook use this function.

    ``names`` are those of the notebook; ``kept`` the objects that handles stand for.
    """
    do: dict[str, Callable[..., dict[str, Any]]] = {
        "get": _get,
        "call": _call,
        "make": _call,
        "state": _state,
    }
    raw = bytearray()
    return do[ask["op"]](ask, wire.Reader(sent, kept), names, kept, raw), raw


def _get(
    ask: Mapping[str, Any],
    _: wire.Reader,
    names: Mapping[str, Any],
    kept: list[Any],
    raw: bytearray,
) -> dict[str, Any]:
    value = names.get(ask["name"], ...)
    if value is ...:
        return {"ok": True, "there": False}
    keep = kept if ask.get("keep") else None
    return {"ok": True, "there": True, "value": wire.encode(value, raw, keep)}


def _state(
    ask: Mapping[str, Any],
    reader: wire.Reader,
    _: Mapping[str, Any],
    __: list[Any],
    raw: bytearray,
) -> dict[str, Any]:
    module = reader.value(ask["on"])
    parameters = dict(module.named_parameters())
    parts = {
        "parameters": parameters,
        "buffers": dict(module.named_buffers()),
        "gradients": {name: p.grad for name, p in parameters.items()},
        "trainable": {name: p.requires_grad for name, p in parameters.items()},
        "training": module.training,
    }
    return {"ok": True, "value": wire.encode(parts, raw)}


def _call(
    ask: Mapping[str, Any],
    reader: wire.Reader,
    names: Mapping[str, Any],
    kept: list[Any],
    raw: bytearray,
) -> dict[str, Any]:
    # Values are read in the order in which they were written: their bytes lie one after another.
    args = [reader.value(a) for a in ask["args"]]
    kwargs = {name: reader.value(a) for name, a in ask["kwargs"].items()}
    cotangent = reader.value(ask["cotangent"])
    if ask["on"] is not None:
        target = reader.value(ask["on"])
        function = getattr(target, ask["name"]) if ask["name"] else target
    else:
        function = names.get(ask["name"], ...)
    if function is ... or function is None:
        return {"ok": True, "there": False}
    leaves = []
    for where in ask["wrt"]:
        holder: Any = kwargs if isinstance(where, str) else args
        leaves.append(holder[where].requires_grad_(True))
        # No leaf is handed over: a change in place is then seen, and not an error of autograd.
        holder[where] = holder[where].clone()
    everything = [*args, *kwargs.values()]
    generators = [a for a in everything if isinstance(a, torch.Generator)]
    before, states = torch.get_rng_state(), [g.get_state() for g in generators]
    value = function(*args, **kwargs)
    reply: dict[str, Any] = {
        "ok": True,
        "there": True,
        "rng_same": bool(torch.equal(before, torch.get_rng_state())),
        "moved": [
            not torch.equal(s, g.get_state()) for s, g in zip(states, generators, strict=True)
        ],
    }
    outputs = list(value) if isinstance(value, list | tuple) else [value]
    attached = [v for v in outputs if isinstance(v, torch.Tensor) and v.requires_grad]
    reply["attached"] = bool(attached)
    reply["value"] = wire.encode(value, raw, kept if ask["op"] == "make" else None)
    gradients: list[torch.Tensor | None] = [None] * len(leaves)
    if leaves and attached:
        weights = [torch.ones_like(v) if cotangent is None else cotangent for v in attached]
        gradients = list(
            torch.autograd.grad(attached, leaves, weights, allow_unused=True, retain_graph=True)
        )
    reply["grads"] = [wire.encode(g, raw) for g in gradients]
    reply["after"] = [
        wire.encode(a if isinstance(a, torch.Tensor) else None, raw) for a in everything
    ]
    return reply


def probe(ask: Mapping[str, Any]) -> dict[str, Any]:
    """Try what must not be possible; see :func:`tools.grader.hull.try_out`."""
    found: dict[str, Any] = {"read": [], "network": True}
    found |= {"signal": True, "imports": True}
    for path in ask["paths"]:
        with contextlib.suppress(OSError):
            if os.path.isdir(path):
                os.listdir(path)
            else:
                Path(path).read_bytes()
            found["read"].append(path)
    with contextlib.suppress(OSError):
        Path(ask["canary"]).write_text("changed")
    try:
        with socket.socket() as other:
            other.settimeout(1)
            other.connect((b"127.0.0.1", ask["port"]))  # bytes: a text would import a codec
    except OSError:
        found["network"] = False
    try:
        os.kill(ask["process"], 0)
    except OSError:
        found["signal"] = False
    try:
        importlib.import_module(ask["module"])
    except (ImportError, OSError):
        found["imports"] = False
    found["environment"] = sorted(set(os.environ) - set(ask["environment"]))
    found["user"] = os.getuid()
    Path("own").write_text("what it may write")
    return found


def main() -> None:
    descriptor, text = sys.argv[1:]
    settings: dict[str, Any] = json.loads(text)
    settings |= {key: tuple(settings[key]) for key in ("readable", "silent")}
    with socket.socket(fileno=int(descriptor)) as control:
        zygote(control, Config(**settings))


if __name__ == "__main__":
    main()
