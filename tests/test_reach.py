"""What code reaches by imports: a made-up project, and the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganlib.lab.figure import widget
from ganlib.studies import keys
from tools.reach import FIRST_PARAGRAPH, Project, code_of
from tools.sources import ROOT, chapters, code_cells

TREE = {
    "ganlib/__init__.py": (
        "import importlib\n"
        "def device(): ...\n"
        "def __getattr__(name):\n    return importlib.import_module(f'ganlib.{name}')\n"
    ),
    "ganlib/base.py": "",
    "ganlib/losses.py": "from ganlib.base import x\n",
    "ganlib/deep.py": "def f():\n    from ganlib import losses\n    return losses\n",
    "ganlib/near.py": "from . import base\nfrom .lab import Figure\n",
    "ganlib/typed.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ganlib import deep\n"
    ),
    "ganlib/hands_on.py": "from ganlib import lab\n",
    "ganlib/dynamic.py": "import importlib\ndef f(x): return importlib.import_module(x)\n",
    "ganlib/one.py": "from ganlib import two\n",
    "ganlib/two.py": "from ganlib.one import three\n",
    "ganlib/lab/__init__.py": (
        "_HOMES = {'GanLab': 'gan', 'Figure': 'figure'}\n"
        "def __getattr__(name):\n    import importlib\n"
        "    return importlib.import_module(f'ganlib.lab.{_HOMES[name]}')\n"
    ),
    "ganlib/lab/gan.py": "from ganlib import losses\n",
    "ganlib/lab/plot.js": "",
    "ganlib/lab/figure/__init__.py": "from ganlib.lab.figure.items import Figure\n",
    "ganlib/lab/figure/items.py": "",
    "ganlib/lab/figure/still.py": "",
    "ganlib/lab/figure/runtime.c": "",
    "ganlib/notes/list.txt": "",
    "exercises/referee.py": "from ganlib import base\n",
}
LAB = {"lab/__init__.py", "lab/plot.js", "lab/figure/runtime.c"}
FIGURE = LAB | {"lab/figure/__init__.py", "lab/figure/items.py"}
LOSSES = {"losses.py", "base.py"}
ALL_LAB = FIGURE | LOSSES | {"lab/figure/still.py", "lab/gan.py"}
EVERYTHING = "everything"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import torch", None),
        ("from ganlib import losses", LOSSES),
        ("import ganlib\nganlib.losses.minimax()", LOSSES),
        ("import ganlib.losses as l\nl.minimax()", LOSSES),
        ("import ganlib.losses", LOSSES),
        ("import ganlib as g\nx = [g.losses]", LOSSES),
        ("import ganlib\nganlib.device()\nganlib.__version__", set()),
        ("def f():\n    from ganlib.losses import x", LOSSES),
        ("from ganlib import deep", LOSSES | {"deep.py"}),
        ("from ganlib import typed", {"typed.py"}),
        ("from ganlib import near", FIGURE | {"near.py", "base.py"}),
        ("from ganlib import one", {"one.py", "two.py"}),
        ("from ganlib.lab import GanLab", LAB | LOSSES | {"lab/gan.py"}),
        ("from ganlib import lab\nlab.Figure()", FIGURE),
        ("import ganlib\nganlib.lab.figure.items.x", FIGURE),
        ("from ganlib.lab import figure\nfigure.still.x", FIGURE | {"lab/figure/still.py"}),
        ("from ganlib.lab import gan", LAB | LOSSES | {"lab/gan.py"}),
        # what hands a package on: all of it
        ("from ganlib import lab\nf(lab)", ALL_LAB),
        ("from ganlib.lab import *", ALL_LAB),
        ("from ganlib import lab\nlab.unknown", ALL_LAB),
        ("from ganlib import lab\ngetattr(lab, name)", ALL_LAB),
        ("from ganlib.lab import figure\nf(figure)", FIGURE | {"lab/figure/still.py"}),
        ("from ganlib import hands_on\nf(hands_on.lab)", ALL_LAB | {"hands_on.py"}),
        ("from ganlib import hands_on\nhands_on.lab.Figure", FIGURE | {"hands_on.py"}),
        ("from ganlib.hands_on import lab\nlab.Figure", FIGURE | {"hands_on.py"}),
        # what does not tell
        ("import ganlib\nf(ganlib)", EVERYTHING),
        ("import ganlib\nganlib.nothing", EVERYTHING),
        ("import importlib\nm = importlib.import_module(name)", EVERYTHING),
        ("m = __import__(name)", EVERYTHING),
        ("exec(text)", EVERYTHING),
        ("import sys\nsys.modules[name]", EVERYTHING),
        ("from ganlib import dynamic", EVERYTHING),
        ("!python -m ganlib train", EVERYTHING),
        ("%run other.py", EVERYTHING),
        ("%%bash\npython other.py", EVERYTHING),
        ("a syntax error", EVERYTHING),
        ("import os\nos.system('python -m ganlib.losses')", LOSSES),
        ("import subprocess\nsubprocess.run(['python', '-m', 'ganlib.losses'])", LOSSES),
        ("import subprocess\nsubprocess.run(['python', '-m', 'ganlib'])", EVERYTHING),
        ("D.eval()", None),
    ],
)
def test_reach(code: str, expected: set[str] | str | None, project: Project) -> None:
    names = {path.relative_to(project.root).as_posix() for path in project.reached([code])}
    if expected == EVERYTHING:
        assert set(TREE) <= names | {"ganlib/notes/list.txt"}
    elif expected is None:
        assert names == set()
    else:
        always = {"__init__.py", "notes/list.txt"}
        assert {name.removeprefix("ganlib/") for name in names} == always | set(expected)


def test_the_referee_is_followed_where_it_is_imported(project: Project) -> None:
    names = {p.relative_to(project.root).as_posix() for p in project.reached(["import exercises"])}
    assert "exercises/referee.py" not in names
    found = project.reached(["from exercises import referee"])
    names = {path.relative_to(project.root).as_posix() for path in found}
    assert {"exercises/referee.py", "ganlib/base.py"} <= names


def test_the_real_book() -> None:
    """A mend in one module is not a mend of the whole book."""
    project = Project(ROOT)
    reached = {}
    for page in chapters():
        files = project.reached([cell.source for cell in code_cells(page.notebook())])
        names = {path.relative_to(ROOT).as_posix() for path in files}
        reached[page.name.rsplit("/", 1)[-1]] = names

    def concerned(name: str) -> set[str]:
        assert (ROOT / name).is_file()
        return {page for page, names in reached.items() if name in names}

    assert {"elbo", "four-families"} <= concerned("ganlib/vae.py")
    assert "convergence" not in concerned("ganlib/vae.py")
    assert "convergence" in concerned("ganlib/dynamics.py")
    assert "elbo" not in concerned("ganlib/dynamics.py")
    assert {"mode-collapse", "elbo"} <= concerned("ganlib/lab/plot.js")
    assert not {"fooling-a-classifier", "images"} & concerned("ganlib/lab/plot.js")
    assert "elbo" not in concerned("ganlib/lab/laboratory.py"), "lab.interact is not the laboratory"
    assert concerned("ganlib/plotting.py") == set(reached)
    modules = {name for names in reached.values() for name in names if name.endswith(".py")}
    # A page that runs `python -m ganlib` may run any of it; of the others none is dynamic.
    others = [names for names in reached.values() if "ganlib/__main__.py" not in names]
    assert len(others) > len(reached) - 5
    widest = max(len(names & modules) for names in others)
    assert widest < len(modules), "no other page reaches everything: nothing is dynamic"


def test_a_studys_rows_hang_on_what_a_sweep_reaches() -> None:
    # Two answers to "what code does this depend on", one by a list and one by imports.
    package = ROOT / "ganlib"
    listed = {path for pattern in keys._MATTERS for path in package.glob(pattern)}
    for pattern in keys._MATTERS:
        assert list(package.glob(pattern)), pattern
    reached = {
        path
        for path in Project(ROOT).reached(["from ganlib.studies import sweep\nsweep"])
        if path.suffix == ".py"
    }
    # They decide no number: lazy names, a run's own file, what refuses bad arguments, and the typed
    # loss, which no study has. What `described` and `digest` say stands in the keys themselves.
    harmless = {
        "__init__.py",
        "checkpoint.py",
        "inspection.py",
        "lab/__init__.py",
        "lab/formula.py",
    }
    left_out = {str(path.relative_to(package)) for path in reached - listed}
    assert left_out == harmless


MODULE = '''"""A module.

More of it.
"""

def double(x):
    """Twice a number.

    Examples
    --------
    >>> double(2)
    4
    """
    return x + x  # no product
'''


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("More of it.", "Less of it.", False),
        (">>> double(2)\n    4", ">>> double(3)\n    6", False),
        ("  # no product", "", False),
        ("(x):", "(\n    x,\n):", False),
        ("A module.", "A small module.", True),
        ("Twice a number.", "A number, twice.", True),
        ("x + x", "2 * x", True),
        ("return", "'said again'\n    return", True),
        ("(x):", "(x=1):", True),
    ],
)
def test_of_a_module_counts_what_it_does(old: str, new: str, counts: bool) -> None:
    assert old in MODULE
    assert (code_of(MODULE) != code_of(MODULE.replace(old, new))) is counts


def test_text_that_is_no_python_counts_as_it_is() -> None:
    assert code_of("def (") == "def ("


@pytest.mark.parametrize(
    ("code", "whole"),
    [
        ("from ganlib import losses", False),
        ("from ganlib import losses\nlosses.__doc__", True),
        ("import inspect\nfrom ganlib import losses\ninspect.getsource(losses.x)", True),
        ("import inspect\ninspect.getdoc(print)", True),
        ("from inspect import getsource as g\ng(print)", True),
        ("from ganlib import losses\nhelp(losses.minimax)", True),
        ("from ganlib import losses\nlosses.minimax?", True),
        ("from ganlib import reads", True),
        ("from ganlib import deep", False),
        ("a syntax error", True),
    ],
)
def test_where_text_is_read_every_character_counts(
    code: str, whole: bool, project: Project
) -> None:
    path = project.root / "ganlib" / "reads.py"
    path.write_text("import inspect\ndef f(x): return inspect.getsource(x)\n")
    project = Project(project.root)
    assert project.read_as_text([code], project.reached([code])) is whole


def test_the_library_reads_the_first_paragraph_of_documentation_alone() -> None:
    project = Project(ROOT)
    reading = {name for name, s in project.sources.items() if s.words & FIRST_PARAGRAPH}
    assert {name for name in reading if name.startswith("ganlib")} == {"ganlib.lab.figure.widget"}

    def shown() -> None:
        """One
        paragraph.

        Another.
        """

    assert widget._first_paragraph(shown) == "One paragraph."
