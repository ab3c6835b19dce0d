# ruff: noqa: E501 - what strangers write
"""Notebooks that try to break the grader, and what each deserves.

The assignment is small: ``loss`` (3 points), the formula ``D`` (2), and ``descend``, which builds
on ``loss`` (3). What a notebook finds that it must not see it puts into ``FOUND``. The texts
PORT, OUTSIDE and TOKEN are replaced by those of the test.
"""

from __future__ import annotations

from dataclasses import dataclass

IMPORTS = "import torch\nimport sympy as sp\nfrom torch.nn import functional as F\nFOUND = []\n"
LOSS = """def loss(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()
"""
FORMULA = "p, q = sp.symbols('p q', positive=True)\nD = p / (p + q)\n"
DESCEND = """def descend(w, steps):
    w = torch.tensor(w, requires_grad=True)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(loss(w, -w), w)
        w = (w - 0.5 * slope).detach().requires_grad_()
    return w.item()
"""
FULL = 8


@dataclass(frozen=True)
class Kind:
    """A notebook and the points it deserves; ``quick``: also among the unit tests."""

    cells: tuple[str, ...]
    deserves: int
    quick: bool = False


KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    deserves: int,
    *,
    cell: str = "",
    loss: str = LOSS,
    formula: str = FORMULA,
    descend: str = DESCEND,
    quick: bool = False,
) -> None:
    cells = (IMPORTS, *([cell] if cell else []), loss, "grader.check('q1')", formula, descend)
    KINDS[name] = Kind(cells, deserves, quick)


def in_loss(body: str, head: str = "") -> str:
    """The function ``loss`` with this body."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{head}\ndef loss(real, fake):\n{lines}"


RIGHT = "return F.softplus(-real).mean() + F.softplus(fake).mean()"

# Honest ------------------------------------------------------------------------------------------

kind("right", 8, quick=True)
kind(
    "blank", 0, loss="def loss(real, fake):\n    ...\n", formula="D = ...", descend="descend = ..."
)
kind(
    "own_style",
    8,
    cell="%matplotlib inline\n%cd /\nimport os\nos.chdir('/usr')\n!touch somewhere\n!pip install x\n"
    "%pip install torch\n%time 1 + 1\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()\n"
    "display(1)\nx = torch.ones(2, requires_grad=True)\n(x**2).sum().backward()\n",
    loss=in_loss(
        "z = torch.zeros((), dtype=real.dtype)\n"
        "return torch.logaddexp(z, -real).mean() + torch.logaddexp(z, fake).mean()"
    ),
    quick=True,
)
kind("own_checks", 8, cell="import otter\ngrader = otter.Notebook('x.ipynb')\ngrader.check_all()\n")
kind("input", 8, cell="name = input('Your name?')")
kind("no_import_of_its_own", 8, cell="import not_there\nx = 1")

# Loops -------------------------------------------------------------------------------------------

kind("loop_in_cell", 8, cell="while True: pass")
kind("loop_after_a_definition", 8, loss=LOSS + "while True: pass")
kind("sleep_in_cell", 8, cell="import time; time.sleep(10**6)")
kind(
    "loop_that_catches_all",
    8,
    cell="while True:\n    try:\n        while True: pass\n    except BaseException: pass",
)
kind(
    "loop_without_signals",
    8,
    cell="import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\nwhile True: pass",
)
kind("loop_in_loss", 5, loss=in_loss("while True: pass"), quick=True)
kind("loop_in_descend", 5, descend=DESCEND.replace("for _ in range(steps)", "while True"))
kind(
    "loop_in_str",
    5,
    loss=in_loss(
        "raise E", "class E(Exception):\n    def __str__(self):\n        while True: pass\n"
    ),
)
kind(
    "thread_that_stays",
    8,
    cell="import threading, time\nthreading.Thread(target=lambda: time.sleep(10**6)).start()",
)

# Ends --------------------------------------------------------------------------------------------

kind("exit_in_cell", 8, cell="exit()\nimport sys\nsys.exit(3)")
kind("_exit_in_cell", 8, cell="import os\nos._exit(0)", quick=True)
kind("exit_in_loss", 5, loss=in_loss("raise SystemExit(0)"))
kind("_exit_in_loss", 5, loss=in_loss("import os; os._exit(0)"))
kind("interrupt_in_loss", 5, loss=in_loss("raise KeyboardInterrupt"))
kind("segfault", 5, loss=in_loss("import ctypes\nreturn ctypes.string_at(0)"))
kind(
    "recursion",
    5,
    loss=in_loss("import sys\nsys.setrecursionlimit(10**9)\nreturn loss(real, fake)"),
)
kind("closes_everything", 8, cell="import os\nos.closerange(0, 1000)")
kind(
    "kills",
    8,
    cell="import os, signal\nfor p in (os.getppid(), 1, -1, *range(2, 400)):\n    try:\n        if p != os.getpid(): os.kill(p, signal.SIGKILL)\n    except OSError: pass\n",
)
kind(
    "limits_of_the_parent",
    8,
    cell="import os, resource\nfor p in (os.getppid(), 1):\n"
    "    for what in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS):\n"
    "        try: resource.prlimit(p, what, (0, 0)); FOUND.append(f'prlimit {p}')\n"
    "        except (OSError, ValueError): pass\n"
    "    try: os.setpriority(os.PRIO_PROCESS, p, 19); FOUND.append(f'priority {p}')\n"
    "    except OSError: pass\n",
)

# Too much ----------------------------------------------------------------------------------------

kind(
    "memory",
    5,
    loss=in_loss("x = [bytearray(2 * 10**8) for _ in range(100)]\nreturn real.sum()"),
)
kind(
    "memory_of_children",
    5,
    descend="import os, time\ndef descend(w, steps):\n    for _ in range(20):\n        if os.fork() == 0:\n"
    "            x = []\n            while True: x.append(bytearray(10**8))\n    time.sleep(10**6)\n",
)
kind(
    "fork_bomb",
    5,
    loss=in_loss(
        "while True:\n    try:\n        if os.fork() == 0:\n            os.setsid()\n            while True:\n"
        "                try: os.fork()\n                except OSError: time.sleep(0.01)\n"
        "    except OSError: time.sleep(0.01)",
        "import os, time",
    ),
    quick=True,
)
kind("disk", 8, cell="for n in range(10**6):\n    open(f'big{n}', 'wb').write(bytes(30_000_000))")
kind("files", 8, cell="for n in range(10**6):\n    open(f'small{n}', 'w').close()")
kind(
    "output",
    8,
    loss=in_loss(
        "for _ in range(500): print('x' * 10**6); os.write(2, b'y' * 10**6)\n" + RIGHT, "import os"
    ),
)
kind("long_text", 5, loss=in_loss("return 'z' * 400_000_000"))
kind("large_tensor", 5, loss=in_loss("return torch.zeros(10**8)"))
kind("expanded_tensor", 5, loss=in_loss("return torch.zeros(1).expand(10**12)"))
kind("endless_list", 5, loss=in_loss("x = []\nx.append(x)\nreturn x"))
kind("wide_list", 5, loss=in_loss("return [[] for _ in range(150_000)]"))
kind(
    "open_files",
    8,
    cell="import os\nkept = []\ntry:\n    while True: kept.append(open('/dev/null'))\nexcept OSError: del kept",
)
kind(
    "shared_memory",
    8,
    cell="import ctypes\nc = ctypes.CDLL(None)\nids = [c.shmget(0, 10**6, 0o1666) for _ in range(50)]\nFOUND += [i for i in ids if i >= 0]",
)

# What stays or gets out --------------------------------------------------------------------------

kind(
    "survivors",
    8,
    cell="import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    "        for d in range(100):\n            try: os.close(d)\n            except OSError: pass\n"
    "        time.sleep(10**6)\n    os._exit(0)\n!setsid nohup sleep 1000000 &\n",
    quick=True,
)
kind("fork_that_returns", 8, cell="import os\nif os.fork(): os.wait()")
kind(
    "writes_everywhere",
    8,
    cell="""
import atexit, os
def forge():
    for place in ('/', '/tmp', '/var/tmp', '/dev/shm', '/usr', 'OUTSIDE', '..', '/grader', '/work', os.path.expanduser('~')):
        for name in ('results.json', 'scores.csv', 'sitecustomize.py'):
            try: open(os.path.join(place, name), 'w').write('{"score": 99}')
            except OSError: pass
atexit.register(forge)
forge()
""",
)
kind(
    "changes_files",
    8,
    cell="for name in ('OUTSIDE/kept.txt', '/etc/passwd'):\n    try: open(name, 'a').write('x')\n    except OSError: pass\n",
)
kind(
    "links",
    8,
    cell="import os\nfor how in (os.symlink, os.link):\n    for n, target in enumerate(('OUTSIDE/kept.txt', 'OUTSIDE')):\n"
    "        try:\n            how(target, f'{how.__name__}{n}')\n            open(f'{how.__name__}{n}', 'a').write('x')\n"
    "        except OSError: pass\n",
)
kind(
    "deletes",
    8,
    cell="import os, shutil\nshutil.rmtree('OUTSIDE', ignore_errors=True)\nfor d in ('/tmp', '/work', '/home', '/root', '.'):\n    shutil.rmtree(d, ignore_errors=True)",
)
kind(
    "network",
    8,
    cell="""
import socket, subprocess
for family, kind, address in (
    (socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', PORT)), (socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', PORT)),
    (socket.AF_UNIX, socket.SOCK_STREAM, 'OUTSIDE/socket'), (socket.AF_INET6, socket.SOCK_STREAM, ('::1', PORT)),
):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(1)
            s.connect(address)
            s.send(b'x')
        FOUND.append(str(address))
    except OSError: pass
try:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b'x', 'OUTSIDE/datagrams')
    FOUND.append('datagram')
except OSError: pass
""",
    quick=True,
)

# Looking around ----------------------------------------------------------------------------------

kind(
    "reads_files",
    8,
    cell="""
import os
for place, folders, files in os.walk('/'):
    folders[:] = [f for f in folders if place != '/' or f not in ('usr', 'sys', 'dev', 'proc', 'lib', 'lib64', 'bin')]
    folders[:] = [f for f in folders if f not in ('site-packages', 'lib', 'lib64', 'share', 'include')]
    for name in files:
        try:
            if 'TOKEN'[::-1][::-1] in open(os.path.join(place, name), errors='ignore').read(10**6): FOUND.append(place + '/' + name)
        except OSError: pass
for name in ('OUTSIDE', 'OUTSIDE/kept.txt', '/etc/shadow', '/etc/passwd', '/proc/1/environ'):
    try: FOUND.append(name + str(os.listdir(name) if os.path.isdir(name) else open(name).read()[:50]))
    except OSError: pass
""",
    quick=True,
)
kind(
    "reads_processes",
    8,
    cell="""
import os
FOUND += [name for name in os.environ if 'TOKEN' in os.environ[name]]
for p in ('self', os.getppid(), 1, *range(2, 2000)):
    for name in ('environ', 'mem', 'maps', 'cmdline', 'cwd', 'root', 'fd'):
        try:
            at = f'/proc/{p}/{name}'
            text = str(os.listdir(at)) if os.path.isdir(at) else open(at, errors='ignore').read(10**5)
            if 'TOKEN' in text or 'kept.txt' in text: FOUND.append(at)
        except OSError: pass
""",
)
kind(
    "reads_memory",
    8,
    cell="""
import gc, sys
words = ('TO' + 'KEN', 'hidden_' + 'judge')
for o in gc.get_objects():
    if isinstance(o, dict) and any(w in str(k) for k in list(o)[:500] if isinstance(k, str) for w in words): FOUND.append(str(type(o)))
frame = sys._getframe()
while frame:
    if 'judge' in frame.f_code.co_name: FOUND.append(frame.f_code.co_name)
    frame = frame.f_back
""",
)
kind(
    "system_calls",
    8,
    cell="""
import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
if platform.machine() == 'x86_64':
    for number, *a in ((272, 0x10000000), (308, 0, 0), (165, 0, 0, 0, 0, 0), (161, b'/'), (101, 16, os.getppid(), 0, 0), (319, b'x', 0),
                       (425, 8, 0), (321, 0, 0, 0), (298, 0, 0, 0, 0, 0), (323, 0), (41, 2, 1, 0), (41, 1, 1, 0), (41, 16, 3, 0),
                       (248, b'user', b'x', b'y', 1, -2), (304, 0, 0, 0), (310, os.getppid(), 0, 0, 0, 0, 0), (312, os.getppid(), 1, 0, 0, 0)):
        if c.syscall(number, *a) >= 0: FOUND.append(f'call {number}')
""",
)
kind(
    "terminal",
    8,
    cell="import fcntl\ntry:\n    with open('/dev/tty', 'w') as t: fcntl.ioctl(t, 0x5412, b'x'); FOUND.append('tty')\nexcept OSError: pass",
)
kind(
    "keeps_the_injected_answer",
    8,
    cell="""
import glob, os
for place in ('.', '/tmp', '/dev/shm', '/var/tmp', os.path.expanduser('~')):
    FOUND += glob.glob(os.path.join(place, 'stolen*'))
""",
    descend=DESCEND.replace(
        "    w = torch",
        "    for place in ('.', '/tmp', '/dev/shm', '/var/tmp', os.path.expanduser('~')):\n"
        "        try: open(os.path.join(place, 'stolen'), 'w').write(str(loss.__code__.co_consts))\n"
        "        except OSError: pass\n    w = torch",
        1,
    ).replace("def descend", "import os\ndef descend"),
    quick=True,
)

# Lies --------------------------------------------------------------------------------------------

kind(
    "patches",
    0,
    cell="""
import builtins, json, math
math.isfinite = lambda x: True
torch.allclose = torch.equal = lambda *a, **k: True
sp.Expr.__eq__ = lambda a, b: True
json.loads = lambda *a, **k: {}
builtins.abs = lambda x: 0
""",
    loss=in_loss("return torch.zeros(())"),
    formula="class Any(sp.Symbol):\n    def __eq__(self, o): return True\n    __hash__ = sp.Symbol.__hash__\nD = Any('p')",
    descend="def descend(w, steps): return 0.0",
)
kind(
    "equal_to_all",
    5,
    loss=in_loss(
        "return A(3)",
        "class A(float):\n    def __eq__(self, o): return True\n    def __sub__(self, o): return 0.0\n",
    ),
)
kind(
    "pickle",
    5,
    loss=in_loss(
        "return P()",
        "import os\nclass P:\n    def __reduce__(self): return os.system, ('touch OUTSIDE/pwned',)\n",
    ),
)
kind(
    "strange_class",
    5,
    loss=in_loss(
        "return S()",
        "class M(type):\n    def __getattribute__(self, n): raise RuntimeError(n)\nclass S(metaclass=M): pass\n",
    ),
)
kind(
    "large_frame",
    5,
    loss=in_loss(
        "import os, struct\nos.write(3, b'GAN1' + struct.pack('<II', 4 * 10**9, 4 * 10**9))\nreturn real.sum()"
    ),
    quick=True,
)
kind(
    "deep_frame",
    5,
    loss=in_loss(
        "import os, struct\ndeep = b'{\"ok\":true,\"value\":' + b'[' * 10**5 + b']' * 10**5 + b'}'\n"
        "os.write(3, b'GAN1' + struct.pack('<II', len(deep), 0) + deep)\nreturn real.sum()"
    ),
)
kind("noise", 5, loss=in_loss("import os\nos.write(3, os.urandom(10**5))\nreturn real.sum()"))
kind(
    "foreign_answers",  # a frame too many at each call: it costs what this process is asked next
    3,
    loss=in_loss(
        'import os, struct\ntext = b\'{"ok":true,"value":{"f":"0x1p+0"},"grads":[null,null]}\'\n'
        "os.write(3, b'GAN1' + struct.pack('<II', len(text), 0) + text)\nreturn real.sum() * 0 + 5"
    ),
)
kind(
    "replaces_the_worker",
    5,
    loss=in_loss(
        "import sys\nw = sys.modules['tools.grader.wire']\nw.send = lambda *a, **k: None\nw.encode = lambda *a: {'f': 'inf'}\nreturn real.sum()"
    ),
)
kind("not_a_number", 5, descend="def descend(w, steps): return float('nan')")
kind("large_integer", 5, descend="def descend(w, steps): return 10**100_000")
kind(
    "tower",
    6,
    formula="D = sp.Pow(10, sp.Pow(10, sp.Pow(10, 10, evaluate=False), evaluate=False), evaluate=False)",
)
kind("deep_formula", 6, formula="D = sp.Symbol('p')\nfor _ in range(200): D = sp.sin(D)")
kind(
    "code_in_a_name",
    6,
    formula='D = sp.Symbol(\'__import__("os").system("touch OUTSIDE/pwned")\')',
)
kind(
    "markup",
    5,
    loss=in_loss(
        "raise E('</td><script>alert(1)</script>\\n\\n# Score: 8 of 8\\x1b[2J\\u202e')",
        "class E(Exception): pass\nE.__name__ = '<script>alert(1)</script>'\n",
    ),
)
kind(
    "surrogates",
    5,
    loss=in_loss("raise ValueError('\\udcff\\ud800 x')"),
    formula=FORMULA + "T = '\\udcff'",
)
kind("syntax_error", 5, loss="def loss(real, fake:\n    return 1")
kind(
    "leaves_closed_folders",
    8,
    cell="""
import os
FOUND += os.listdir('.')
for n in range(3):
    os.makedirs(f'closed{n}/inner')
    os.chmod(f'closed{n}', 0)
for _ in range(1500):
    os.mkdir('deep')
    os.chdir('deep')
""",
)
