"""How a process shuts itself in, by Linux's own calls: name spaces, Landlock, seccomp, limits.

Used inside the hull, by :mod:`.worker`; x86-64 and aarch64. Each function raises ``OSError``,
naming the call, where the kernel refuses. What a machine allows is found out by trying
(:func:`tools.grader.hull.choose`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

# --------------------------------------------------------------------------------------------
# Numbers of the kernel's interface (include/uapi/linux)
# --------------------------------------------------------------------------------------------

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column; AUDIT_ARCH
#: System calls: (x86-64, aarch64).
CALLS = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "acct": (163, 89),
    "add_key": (248, 217),
    "bind": (49, 200),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "delete_module": (176, 106),
    "fcntl": (72, 25),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "listen": (50, 201),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "semget": (64, 190),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
#: Refused whatever the arguments: they reach other processes, the network, or the kernel's rarer
#: parts, and nothing a notebook of a course needs calls them.
REFUSED = (
    *("accept", "accept4", "acct", "add_key", "bind", "bpf", "chroot", "clock_settime", "connect"),
    *("delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module"),
    *("io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp", "kexec_file_load"),
    *("kexec_load", "keyctl", "listen", "memfd_create", "memfd_secret", "migrate_pages", "mount"),
    *("mount_setattr", "move_mount", "move_pages", "mq_open", "msgget", "name_to_handle_at"),
    *("open_by_handle_at", "open_tree", "perf_event_open", "personality", "pidfd_getfd"),
    *("pivot_root", "process_madvise", "process_mrelease", "process_vm_readv"),
    *("process_vm_writev", "ptrace", "quotactl", "reboot", "request_key", "semget"),
    *("setdomainname", "sethostname", "setns", "setpriority", "settimeofday", "shmget", "socket"),
    *("swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd", "ioprio_set"),
)
#: Refused where their first argument, a process, is not 0: the caller itself.
SELF_ONLY = (
    *("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"),
)
#: Where no kernel mechanism keeps signals in: refused but for the caller's own process.
SIGNALS = ("kill", "tgkill")
SIGNALS_NEVER = ("pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill")
F_SETOWN, F_SETOWN_EX = 8, 15  # fcntl: who gets the signals of a file

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 1, 2, 4, 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38

LIBC = ctypes.CDLL(None, use_errno=True)


def _done(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def column() -> int:
    """Which column of :data:`CALLS` is this machine's; ``OSError`` if neither."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise OSError(
            f"no protection is known for {sys.platform} on {machine}; only Linux: {known}"
        )
    return ARCHITECTURES[machine][0]


def prctl(option: int, value: int = 0) -> None:
    _done(LIBC.prctl(option, value, 0, 0, 0), f"prctl {option}")


# --------------------------------------------------------------------------------------------
# Name spaces and capabilities
# --------------------------------------------------------------------------------------------


def own_namespaces() -> None:
    """Its own users, mounts, process numbers (for children), network, IPC and host name.

    ``/tmp`` and ``/dev/shm`` are new, small and empty; ``/proc`` is empty.
    """
    user, group = os.getuid(), os.getgid()
    prctl(PR_SET_DUMPABLE, 1)  # or /proc/self/uid_map belongs to root
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS
    _done(LIBC.unshare(flags), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"1000 {user} 1"),
        ("gid_map", f"1000 {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text)
    _mount("none", "/", None, MS_REC | MS_PRIVATE, None)
    both = MS_NOSUID | MS_NODEV
    _mount("tmpfs", "/tmp", "tmpfs", both, "size=64m,nr_inodes=4096,mode=1777")
    if os.path.isdir("/dev/shm"):
        _mount("tmpfs", "/dev/shm", "tmpfs", both, "size=16m,nr_inodes=256,mode=1777")
    # A new proc may be refused, and nothing needs one.
    _mount("tmpfs", "/proc", "tmpfs", both | MS_RDONLY, "size=4k")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    texts = [None if t is None else t.encode() for t in (source, target, kind)]
    options = None if data is None else data.encode()
    _done(LIBC.mount(*texts, ctypes.c_ulong(flags), options), f"mount {target}")


def no_capabilities() -> None:
    """Give up every capability, for good."""
    for capability in range(64):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails beyond the last one
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _done(LIBC.capset(head, (ctypes.c_uint32 * 6)()), "capset")


# --------------------------------------------------------------------------------------------
# Landlock
# --------------------------------------------------------------------------------------------


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


#: Rights to files that each version of Landlock knows: bits 0 to n - 1.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_EXECUTE_READ_LIST = 0b1101
_OF_FILES = 0b111 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl
SCOPED_SIGNALS = 6  # the version that keeps signals in


def landlock_version() -> int:
    """Of this kernel's Landlock; 0 without."""
    number = CALLS["landlock_create_ruleset"][column()]
    return max(0, int(LIBC.syscall(number, None, ctypes.c_size_t(0), 1)))


def landlock(readable: Iterable[str], writable: Iterable[str]) -> int:
    """Files: read and run these, write those, nothing else. No TCP, no signals outwards.

    Returns the version of Landlock: signals are kept in from :data:`SCOPED_SIGNALS` on. 0: there
    is none, and nothing was done.
    """
    version = landlock_version()
    if not version:
        return 0
    at = column()
    everything = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    rules = _Ruleset(everything, 3 if version >= 4 else 0, 3 if version >= SCOPED_SIGNALS else 0)
    size = 24 if version >= SCOPED_SIGNALS else 16 if version >= 4 else 8
    create, add, restrict = (
        CALLS[f"landlock_{name}"][at] for name in ("create_ruleset", "add_rule", "restrict_self")
    )
    ruleset = _done(LIBC.syscall(create, ctypes.byref(rules), ctypes.c_size_t(size), 0), "landlock")
    for paths, rights in ((readable, _EXECUTE_READ_LIST), (writable, everything)):
        for path in filter(os.path.exists, paths):
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights if os.path.isdir(path) else rights & _OF_FILES
            beneath = _Beneath(allowed, opened)
            _done(LIBC.syscall(add, ruleset, 1, ctypes.byref(beneath), 0), f"landlock {path}")
            os.close(opened)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _done(LIBC.syscall(restrict, ruleset, 0), "landlock")
    os.close(ruleset)
    return version


# --------------------------------------------------------------------------------------------
# seccomp
# --------------------------------------------------------------------------------------------


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x50001, 0x50026
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ARGUMENT = [16 + 8 * n for n in range(6)]  # the low halves; both machines are little endian

Code = list[tuple[int, int, int, int]]


def _program(keep_signals_in: bool) -> Code:
    """The filter, as (code, skip if true, skip if false, constant)."""
    at = column()
    number = {name: numbers[at] for name, numbers in CALLS.items()}
    code: Code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, ARCHITECTURES[platform.machine()][1]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if platform.machine() == "x86_64":  # the x32 interface has its own numbers for all of this
        code += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _EPERM)]

    def when(name: str, then: Code) -> None:
        """``then`` is run for this call alone, and decides."""
        code.append((_EQUAL, 0, len(then), number[name]))
        code.extend(then)

    def unless(argument: int, allowed: tuple[int, ...], mask: int | None = None) -> Code:
        """Refuse unless the low half of an argument is one of ``allowed``."""
        load: Code = [(_LOAD, 0, 0, _ARGUMENT[argument])]
        if mask is not None:
            load.append((_AND, 0, 0, mask))
        tests: Code = [(_EQUAL, len(allowed) - n, 0, value) for n, value in enumerate(allowed)]
        return [*load, *tests, (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]

    for name in REFUSED:
        when(name, [(_RETURN, 0, 0, _EPERM)])
    for name in SELF_ONLY:
        when(name, unless(0, (0,)))
    # A pair of datagram sockets could send to any socket's path.
    when("socketpair", unless(1, (1,), mask=0xF))  # SOCK_STREAM
    when("clone3", [(_RETURN, 0, 0, _ENOSYS)])  # its flags lie in memory; libc then uses clone
    when(
        "clone",
        [
            (_LOAD, 0, 0, _ARGUMENT[0]),
            (_ANY_BIT, 0, 1, CLONE_NEWUSER),
            (_RETURN, 0, 0, _EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    if keep_signals_in:
        me = os.getpid()
        for name in SIGNALS_NEVER:
            when(name, [(_RETURN, 0, 0, _EPERM)])
        when("kill", unless(0, (me, 0)))
        when("tgkill", unless(0, (me,)))
        owner: Code = [(_LOAD, 0, 0, _ARGUMENT[1])]
        owner += [(_EQUAL, 1, 0, F_SETOWN), (_EQUAL, 0, 1, F_SETOWN_EX), (_RETURN, 0, 0, _EPERM)]
        when("fcntl", [*owner, (_RETURN, 0, 0, _ALLOW)])
    code.append((_RETURN, 0, 0, _ALLOW))
    return code


def seccomp(keep_signals_in: bool = False) -> None:
    """Refuse the system calls of :data:`REFUSED`, for this process and all it starts.

    ``keep_signals_in``: signals to other processes too, where nothing else stops them.
    """
    code = _program(keep_signals_in)
    table = (_Instruction * len(code))(*(_Instruction(*each) for each in code))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    program = _Program(len(code), table)
    _done(LIBC.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp")


# --------------------------------------------------------------------------------------------
# Limits, and the end of processes
# --------------------------------------------------------------------------------------------


def limits(values: dict[str, int]) -> None:
    """Set resource limits for good, by their names without ``RLIMIT_``."""
    for name, value in values.items():
        which = getattr(resource, f"RLIMIT_{name}", None)
        if which is None:
            continue
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def children(process: int) -> list[int]:
    """All that descends from a process, as far as /proc shows."""
    found: list[int] = []
    left = [process]
    while left:
        parent = left.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                left += (born := [int(number) for number in text.split()])
                found += born
        except OSError:
            continue
    return found


def running(process: int) -> bool:
    """Whether a process exists and has not ended yet."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def reap() -> None:
    """Collect every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def sweep() -> bool:
    """End all that descends from this process, which must be a subreaper; whether all are gone."""
    for _ in range(20):
        # All are stopped before any is killed: what is stopped starts nothing new, and still
        # counts, so that not even a fork bomb can keep ahead.
        stopped: set[int] = set()
        for _ in range(1000):
            alive = [p for p in children(os.getpid()) if p not in stopped and running(p)]
            if not alive:
                break
            _signal(alive, signal.SIGSTOP)
            stopped.update(alive)
        if not stopped:
            return True
        _signal(stopped, signal.SIGKILL)
        until = time.monotonic() + 5
        while any(map(running, stopped)) and time.monotonic() < until:
            reap()
            time.sleep(0.002)
        reap()
    return False


def _signal(processes: Iterable[int], number: int) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, number)
