"""The hull around strangers' code, from outside: which one this machine allows, slots and jobs.

A *mode* is a way to shut a process in. :func:`choose` tries them, best first: it starts a hull and
has a process in it attempt what must not be possible. A :class:`Slot` is one hull with one zygote;
a :class:`Job` is the process of one submission, forked from it.

=========================  ========================================================================
bubblewrap, as root        own name spaces twice over, a user of its own; memory by control group
bubblewrap                 own name spaces twice over
plain, as root             a user of its own, Landlock, seccomp, limits
plain                      Landlock, seccomp, limits
unprotected                limits, and seccomp where there is one; only if told so by name
=========================  ========================================================================
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tools.grader import kernel, wire
from tools.grader.worker import Config

HERE = Path(__file__).resolve().parent
#: What lies inside the hull of the grader's own code.
INSIDE = (
    "tools/__init__.py",
    *(f"tools/grader/{n}.py" for n in ("__init__", "kernel", "wire", "worker")),
)
MEBI = 1 << 20
#: Resource limits of each process of a student.
LIMITS = {
    "AS": 6000 * MEBI,
    "DATA": 1500 * MEBI,
    "FSIZE": 32 * MEBI,
    "NOFILE": 128,
    "NPROC": 32,
    "CORE": 0,
    "CPU": 900,
    "MEMLOCK": MEBI,
    "MSGQUEUE": 65536,
}
TOTAL_MEMORY = 2500 * MEBI  # of a slot: the zygote and all that a submission starts
TOTAL_PROCESSES = 64
SCRATCH_BYTES, SCRATCH_FILES = 128 * MEBI, 4096  # where the scratch folder is on a disk
OPEN_TO_ALL = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # folders that anybody may write to
WALL = 6.0  # seconds of the clock for each second of CPU: a busy machine fails nobody
USERS = range(61000, 65000)  # of no account: root's slots run as these
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
    "PIP_NO_INDEX": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
}


class Unprotected(Exception):
    """This machine offers no way to shut a stranger's code in; the message says what was tried."""


class HullError(Exception):
    """The hull itself failed: no fault of a submission."""


@dataclass(frozen=True)
class Mode:
    """How strangers' code is shut in.

    ``hull``: "bubblewrap", "plain" or "unprotected"; ``root``: the grader runs as root, and the
    code as a user of its own; ``landlock``: its version, where files are guarded by it.
    """

    hull: str
    root: bool = False
    landlock: int = 0
    why: str = ""  # why no better one

    def __str__(self) -> str:
        user = "a user of its own" if self.root else "the grader's own user"
        by = {
            "bubblewrap": "name spaces (bubblewrap), seccomp, limits",
            "plain": f"Landlock {self.landlock}, seccomp, limits"
            if self.landlock
            else "seccomp, limits; files by their owner's rights alone",
            "unprotected": "NOT PROTECTED",
        }[self.hull]
        return f"{by}; as {user}" + (f" (nothing better: {self.why})" if self.why else "")


# --------------------------------------------------------------------------------------------
# Which mode
# --------------------------------------------------------------------------------------------


def candidates() -> list[Mode]:
    """The modes to try, best first."""
    root = hasattr(os, "getuid") and os.getuid() == 0
    try:
        landlock = kernel.landlock_version()
    except OSError:
        return []
    found = [Mode("bubblewrap", root)] if shutil.which("bwrap") else []
    if landlock:
        found.append(Mode("plain", root, landlock))
    elif root:
        found.append(Mode("plain", root))
    return found


def choose(hidden: Sequence[Path] = (), *, trust: bool = False) -> Mode:
    """The best mode that keeps ``hidden`` (files, folders) and the rest out of sight, by trial.

    Raises
    ------
    Unprotected
        If there is none and ``trust`` (``--trust-submissions``) is not given.
    """
    failed = [] if shutil.which("bwrap") else ["bubblewrap is not installed"]
    for mode in candidates():
        problems = try_out(mode, hidden)
        if not problems:
            return replace(mode, why="; ".join(failed))
        failed.append(f"{mode.hull}: {', '.join(problems)}")
    why = "; ".join(failed) or f"no protection is known for {sys.platform}"
    if Path(sys.prefix).is_relative_to("/tmp"):
        why += "; the project lies under /tmp, where a submission has its own folder: move it"
    if trust:
        return Mode("unprotected", why=why)
    raise Unprotected(
        f"strangers' code cannot be shut in here ({why}). Install bubblewrap, run as root in a "
        "container, or use a Linux with Landlock (5.13 or newer). --trust-submissions runs all "
        "the same, with your rights: only for code that you have read."
    )


def try_out(mode: Mode, hidden: Sequence[Path] = ()) -> list[str]:
    """Start a hull, attempt in it what must not be possible; what was possible (or failed)."""
    with tempfile.TemporaryDirectory(prefix="grader-") as folder, socket.socket() as listener:
        canary = Path(folder) / "canary"
        canary.write_text("secret")
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        paths = [folder, str(canary), *(str(p.resolve()) for p in hidden if p.exists())]
        ask = {
            "op": "probe",
            "paths": paths,
            "canary": str(canary),
            "port": listener.getsockname()[1],
            "process": os.getpid(),
            "environment": [*ENVIRONMENT, "HOME", "PYTHONPATH", "LC_CTYPE", "PWD"],
            "module": "colorsys",
        }
        slot = Slot(mode, bare=True)
        try:
            slot.start()
            with slot.job() as job:
                reply = job.ask(ask, seconds=10)[0]
                found = reply.get("probe")
        except (HullError, wire.Gone, wire.Late, wire.Bad, OSError) as error:
            return [str(error) or f"it does not answer ({type(error).__name__})"]
        finally:
            slot.stop()
        changed = canary.read_text() != "secret"
    if not isinstance(found, dict):
        return [f"the trial failed: {reply.get('error')}"]
    problems = [f"can read {p}" for p in found["read"]]
    problems += [f"can write {folder}"] if changed else []
    problems += ["can connect"] if found["network"] else []
    problems += ["can signal the grader"] if found["signal"] else []
    problems += [f"sees the variables {found['environment']}"] if found["environment"] else []
    if not found["imports"]:
        problems.append(f"its user cannot read the interpreter in {sys.base_prefix}")
    if mode.root and found["user"] == 0:
        problems.append("is root")
    return problems


# --------------------------------------------------------------------------------------------
# What is put into the hull
# --------------------------------------------------------------------------------------------


def _libraries() -> list[Path]:
    """The folders that hold the interpreter and the packages, none inside another."""
    found = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()}
    found.add(Path(sysconfig.get_path("stdlib")).resolve())
    for name in ("torch", "sympy", "IPython", "numpy", "matplotlib"):
        spec = find_spec(name)
        if spec is not None and spec.origin:
            found.add(Path(spec.origin).resolve().parent.parent)
    system = Path("/usr")
    return sorted(
        path
        for path in found
        if not path.is_relative_to(system) and not any(p in found for p in path.parents)
    )


def _python_path(inside: Path, extra: Iterable[Path]) -> str:
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return os.pathsep.join(map(str, (inside, *extra, Path(spec.origin).resolve().parent.parent)))


def _copy_inside(folder: Path) -> None:
    """The grader's own modules that run inside, alone in a folder."""
    for name in INSIDE:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE.parent.parent / name, target)
        target.chmod(0o644)
    for each in (folder, folder / "tools", folder / "tools" / "grader"):
        each.chmod(0o755)


def _control_groups(name: str) -> list[Path]:
    """A limit of memory and processes for a whole slot, where this process may make one."""
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        groups = {
            top / name: {
                "memory.max": TOTAL_MEMORY,
                "memory.swap.max": 0,
                "pids.max": 4 * TOTAL_PROCESSES,
            }
        }
    else:
        groups = {
            top / "memory" / name: {"memory.limit_in_bytes": TOTAL_MEMORY},
            top / "pids" / name: {"pids.max": 4 * TOTAL_PROCESSES},
        }
    made: list[Path] = []
    try:
        for folder, settings in groups.items():
            folder.mkdir()
            made.append(folder)
            for key, value in settings.items():
                (folder / key).write_text(str(value))
    except OSError:
        _remove_groups(made)
        return []
    return made


def _remove_groups(folders: list[Path]) -> None:
    for folder in folders:
        for _ in range(40):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)


PREFIX = "grader-"  # of temporary folders and control groups; then the process that made them


def _make_scratch(folder: Path, user: int) -> None:
    folder.mkdir(mode=0o700)
    if user:
        os.chown(folder, user, user)


def _remove(folder: Path) -> None:
    """Remove a folder of a stranger's making: closed to its owner, or deeper than Python goes."""
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        subprocess.run([*command, "--", str(folder)], capture_output=True, check=False)


def tidy() -> None:
    """Remove what a grader that was killed has left: its folders and control groups."""
    groups = Path("/sys/fs/cgroup")
    for parent in (Path(tempfile.gettempdir()), groups, groups / "memory", groups / "pids"):
        for left in parent.glob(f"{PREFIX}*-*"):
            maker = left.name.split("-")[1]
            if maker.isdigit() and not kernel.running(int(maker)):
                with contextlib.suppress(OSError):
                    if left.is_relative_to(groups):
                        left.rmdir()
                    elif left.stat().st_uid == os.getuid() and not left.is_symlink():
                        _remove(left)


JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs"; shift; done; shift; exec "$@"'


# --------------------------------------------------------------------------------------------
# Slots and jobs
# --------------------------------------------------------------------------------------------


class Slot:
    """One hull with a zygote: serves one submission after another, each in a process of its own."""

    def __init__(
        self,
        mode: Mode,
        number: int = 0,
        *,
        bare: bool = False,
        silent: Sequence[str] = (),
        extra: Sequence[Path] = (),
    ) -> None:
        """``silent``: modules of public checks; ``extra``: folders of further modules."""
        self.mode, self.number = mode, number
        self.bare, self.silent = bare, tuple(silent)
        self.extra = [path.resolve() for path in extra]
        self.process: subprocess.Popen[bytes] | None = None
        self.jobs = 0
        self.peak_memory = 0  # bytes, of all that ran in it
        self._lock = threading.Lock()  # of the control connection
        self._standing = threading.RLock()  # of starting and stopping
        self._watched: Job | None = None
        self._folder: Path | None = None
        self._groups: list[Path] = []
        self._user = 0

    def __enter__(self) -> Slot:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the hull; :class:`HullError` if it does not come up."""
        with self._standing:
            self._start()

    def _start(self) -> None:
        self.stop()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        folder = self._folder
        folder.chmod(0o711)
        inside, scratch = folder / "inside", folder / "scratch"
        _copy_inside(inside)
        user = USERS[(os.getpid() * 16 + self.number) % len(USERS)] if self.mode.root else 0
        self._user = user
        _make_scratch(scratch, user)
        name = f"{PREFIX}{os.getpid()}-{self.number}"
        self._groups = [] if self.mode.hull == "unprotected" else _control_groups(name)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = self._command(inside, scratch, user, theirs.fileno())
        if self._groups:
            command = ["/bin/sh", "-c", JOIN, "sh", *map(str, self._groups), "--", *command]
        said = (folder / "said").open("wb")
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={},
            cwd="/",
            start_new_session=True,
        )
        said.close()
        theirs.close()
        self.control = ours
        ours.settimeout(300)
        try:
            ready = ours.recv(64)
        except OSError:
            ready = b""
        if ready != b"ready":
            lines = (folder / "said").read_text(errors="replace").strip().splitlines()
            self.stop()
            raise HullError(f"it did not start: {(lines or ['no reason was given'])[-1][:200]}")
        threading.Thread(target=self._monitor, args=(self.process,), daemon=True).start()

    def _command(self, inside: Path, scratch: Path, user: int, descriptor: int) -> list[str]:
        shut = self.mode.hull == "bubblewrap"
        place = Path("/grader") if shut else inside
        work = "/tmp" if shut else str(scratch)
        libraries = [*_libraries(), *self.extra]
        limits = dict(LIMITS)
        if not shut and not self.mode.root:  # the limit counts all that this user runs
            limits["NPROC"] += _threads_of(os.getuid())
        config = Config(
            namespaces=shut,
            landlock=self.mode.landlock > 0,
            seccomp=self.mode.hull != "unprotected" or _has_seccomp(),
            readable=(
                *("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime"),
                *("/dev/null", "/dev/urandom", "/dev/zero", str(inside), *map(str, libraries)),
            ),
            scratch=work,
            limits=limits,
            user=user,
            bare=self.bare,
            silent=self.silent,
        )
        python = [sys.executable, "-P", "-s", "-m", "tools.grader.worker"]
        environment = ENVIRONMENT | {
            "HOME": work,
            "PYTHONPATH": _python_path(place, self.extra),
        }
        if shut:
            box = _bubblewrap([*libraries, Path(sys.executable).parent], inside, self.mode.root)
            for key, value in environment.items():
                box += ["--setenv", key, value]
        else:
            box = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items())]
        return [*box, *python, str(descriptor), config.text()]

    def job(self) -> Job:
        """A fresh process for a submission."""
        if not self.alive:
            self.start()
        self.jobs += 1
        ours, theirs = socket.socketpair()
        with theirs:
            self._say(f"start {self.jobs}", theirs)
        job = Job(self, self.jobs, ours)
        try:
            reply, _ = wire.receive(ours, time.monotonic() + 120)
        except (wire.Gone, wire.Late, wire.Bad):
            reply = {}
        if reply.get("ready") is not True:
            job.close()
            raise HullError(str(reply.get("why", "a forked process did not come up")))
        return job

    def _say(self, words: str, passed: socket.socket | None = None) -> None:
        process = self.process
        with self._lock:
            try:
                self.control.settimeout(120)
                given = [] if passed is None else [passed.fileno()]
                socket.send_fds(self.control, [words.encode()], given)
                if self.control.recv(64) == words.encode():
                    return
            except OSError:
                pass
        self.stop(process)
        raise HullError("the zygote does not answer")

    def end(self, number: int) -> None:
        """End a job and all that it started."""
        with contextlib.suppress(HullError):  # then the hull is stopped, and with it the job
            self._say(f"end {number}")
            self._clear_up()

    def _clear_up(self) -> None:
        """Take away what a submission wrote, where its files were no file system of its own."""
        with self._standing:
            if self.mode.hull == "bubblewrap" or self._folder is None:
                return
            scratch, used = self._folder / "scratch", self._folder / "used"
            with contextlib.suppress(OSError):
                if not any(scratch.iterdir()):
                    scratch = used  # there is nothing to take away
            if scratch != used:
                used.mkdir(mode=0o700)
                # What resists (closed or endless folders) is out of the next one's reach already.
                scratch.rename(used / "scratch")
                _make_scratch(scratch, self._user)
                _remove(used)
            if self.mode.root and not self.mode.landlock:
                places = [place for place in OPEN_TO_ALL if os.path.isdir(place)]
                mine = ["-xdev", "-uid", str(self._user), "-not", "-path", f"{self._folder}/*"]
                mine.append("-delete")
                subprocess.run(["find", *places, *mine], capture_output=True, check=False)

    def usage(self) -> Usage:
        """What everything under the hull has used so far."""
        process = self.process
        return usage(process.pid) if process is not None else Usage()

    def _monitor(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a job that uses more than it may."""
        while process.poll() is None:
            time.sleep(0.1)
            used = usage(process.pid)
            self.peak_memory = max(self.peak_memory, used.memory)
            job = self._watched
            if job is None or job.why:
                continue
            if used.cpu - job.began > job.seconds:
                job.why = wire.Late
            elif (
                used.processes > TOTAL_PROCESSES
                or self._scratch_full()
                or (used.memory > TOTAL_MEMORY and _shared_out(process.pid) > TOTAL_MEMORY)
            ):
                job.why = wire.Fat
            if job.why:
                self.end(job.number)

    def _scratch_full(self) -> bool:
        if self.mode.hull == "bubblewrap" or self._folder is None:
            return False
        size = number = 0
        closed: list[OSError] = []
        for folder, _, files in os.walk(self._folder / "scratch", onerror=closed.append):
            for name in files:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_blocks * 512
                number += 1
            if size > SCRATCH_BYTES or number > SCRATCH_FILES:
                return True
        # A folder closed to the one who counts hides what is in it.
        return any(isinstance(error, PermissionError) for error in closed)

    def stop(self, which: subprocess.Popen[bytes] | None = None) -> None:
        """End the hull and all in it; with ``which``: unless another has taken its place."""
        with self._standing:
            if which is None or which is self.process:
                self._stop()

    def _stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            self.control.close()  # the zygote ends all its jobs, then itself
            if self.mode.hull == "bubblewrap":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                for each in (*kernel.children(process.pid), process.pid):
                    with contextlib.suppress(OSError):
                        os.kill(each, signal.SIGKILL)
                process.wait()
        _remove_groups(self._groups)
        self._groups = []
        if self._folder is not None:
            _remove(self._folder)
            self._folder = None


class Job:
    """The process of one submission."""

    def __init__(self, slot: Slot, number: int, connection: socket.socket) -> None:
        self.slot, self.number, self.connection = slot, number, connection
        self.open = True
        self.why: type[Exception] | None = None  # the monitor ended it for this
        self.began, self.seconds = 0.0, math.inf
        self.cpu = 0.0  # seconds that the last ask took

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self, message: dict[str, Any], raw: bytes = b"", seconds: float = 10.0
    ) -> tuple[dict[str, Any], bytes]:
        """One question, one answer, within ``seconds`` of CPU.

        Raises
        ------
        wire.Late, wire.Fat, wire.Gone, wire.Bad
            If it took too long or too much, ended itself, or answered nonsense; the job is over.
        """
        if not self.open:
            raise wire.Gone
        began = time.monotonic()
        self.began = self.slot.usage().cpu
        # Inside, the code is interrupted in time, as a notebook would be; here, it is ended.
        self.seconds = 1.2 * seconds + 0.5
        self.slot._watched = self
        message = message | {"seconds": seconds, "clock": WALL * seconds}
        try:
            deadline = time.monotonic() + WALL * self.seconds
            wire.send(self.connection, message, raw, deadline)
            return wire.receive(self.connection, deadline)
        except (wire.Gone, wire.Late, wire.Bad):
            self.slot._watched = None
            why = self.why
            self.close()
            if why is not None:
                raise why from None
            raise
        finally:
            self.slot._watched = None
            used = self.slot.usage().cpu - self.began
            self.cpu = min(max(used, 0.0), time.monotonic() - began) if self.open else seconds

    def close(self) -> None:
        """End the process and all that it started."""
        if self.open:
            self.open = False
            self.connection.close()
            self.slot.end(self.number)


def _bubblewrap(libraries: Sequence[Path], inside: Path, root: bool) -> list[str]:
    """The command that makes the outer hull: /usr, the libraries, an empty /tmp, nothing else."""
    box = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    box += ["--unshare-cgroup-try", "--die-with-parent", "--new-session"]
    if root:
        # Without a user name space: in one, the kernel counts root's processes and limits none.
        for capability in ("SETUID", "SETGID", "KILL"):
            box += ["--cap-add", f"CAP_{capability}"]
    else:
        box += ["--unshare-user"]
    box[0] = shutil.which("bwrap") or "bwrap"
    box += ["--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib64", "bin", "sbin"):
        if Path("/", name).is_symlink():
            box += ["--symlink", os.readlink(Path("/", name)), f"/{name}"]
        elif Path("/", name).is_dir():
            box += ["--ro-bind", f"/{name}", f"/{name}"]
    made: list[Path] = [Path("/usr")]
    bound: list[Path] = []
    for leaf in libraries:
        if leaf.is_relative_to("/usr") or any(leaf.is_relative_to(each) for each in bound):
            continue
        for parent in reversed(leaf.parents[:-1]):  # bubblewrap would make them 0700
            if parent not in made:
                made.append(parent)
                box += ["--perms", "0755", "--dir", str(parent)]
        box += ["--ro-bind", str(leaf), str(leaf)]
        bound.append(leaf)
    box += ["--ro-bind", str(inside), "/grader", "--proc", "/proc", "--dev", "/dev"]
    box += ["--perms", "1777", "--size", str(64 * MEBI), "--tmpfs", "/tmp"]
    return [*box, "--remount-ro", "/", "--chdir", "/tmp", "--clearenv"]


def _has_seccomp() -> bool:
    try:
        kernel.column()
    except OSError:
        return False
    return True


def _threads_of(user: int) -> int:
    """How many threads a user runs: what RLIMIT_NPROC counts."""
    number = 0
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and process.stat().st_uid == user:
                number += len(os.listdir(process / "task"))
    return number


@dataclass(frozen=True)
class Usage:
    """CPU seconds, bytes of memory (pages shared after a fork count in each), processes."""

    cpu: float = 0.0
    memory: int = 0
    processes: int = 0


def usage(process: int) -> Usage:
    """Of a process and all that descends from it."""
    cpu, memory, number = 0.0, 0, 0
    for each in (process, *kernel.children(process)):
        with contextlib.suppress(OSError, IndexError, ValueError):
            resident, files = Path(f"/proc/{each}/statm").read_text().split()[1:3]
            times = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
            memory += (int(resident) - int(files)) * os.sysconf("SC_PAGESIZE")
            cpu += sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
            number += 1
    return Usage(cpu, memory, number)


def _shared_out(process: int) -> int:
    """Bytes of memory, each page once: slower, and exact where /proc allows."""
    total = 0
    for each in (process, *kernel.children(process)):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):
            return TOTAL_MEMORY + 1  # not allowed to look: the sum has to do
    return total
