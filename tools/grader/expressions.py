"""Answers that are formulas: their values at points, by mpmath, from data that a stranger sent.

An expression arrives as nested lists, ``["Add", ["Symbol", "p"], ["Integer", "2"]]``, or as a
text. It is evaluated to 30 digits by a whitelist; SymPy and ``eval`` never see it. Symbols are
matched by name, so assumptions such as ``positive=True`` do not matter. What means the right thing
in another form (text, LaTeX, a Python function, ``p(x)`` for ``p``, other letters) is understood,
with a lesson, and keeps most of its points.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

import mpmath

from tools.grader import asking
from tools.grader.questions import Constants, Rule, Wrong, _number, say

Point = Mapping[str, float]

MOST_PARTS, DEEPEST = 5000, 50
MOST_DIGITS = 400
HUGE = 10_000

FUNCTIONS = {
    "Add": lambda *a: mpmath.fsum(a), "Mul": lambda *a: mpmath.fprod(a), "log": mpmath.log,
    "exp": mpmath.exp, "Abs": abs, "tanh": mpmath.tanh, "sin": mpmath.sin, "cos": mpmath.cos,
    "Max": max, "Min": min, "erf": mpmath.erf, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
    "atan": mpmath.atan, "sqrt": mpmath.sqrt, "erfc": mpmath.erfc, "tan": mpmath.tan,
    "asinh": mpmath.asinh, "acosh": mpmath.acosh, "atanh": mpmath.atanh, "sech": mpmath.sech,
    "sign": mpmath.sign,
    "Heaviside": lambda x, at_zero=0.5: (mpmath.sign(x) + 1) / 2 if x else at_zero,
}  # fmt: skip
RELATIONS = {
    "StrictGreaterThan": operator.gt, "GreaterThan": operator.ge, "StrictLessThan": operator.lt,
    "LessThan": operator.le,
}  # fmt: skip
NUMBERS = {"Exp1": mpmath.e, "Pi": mpmath.pi, "EulerGamma": mpmath.euler}
FIXED = {"Half": 0.5, "Zero": 0, "One": 1, "NegativeOne": -1}


def evaluate(tree: Any, point: Point, what: str = "the expression") -> float:
    """The value of an expression tree at a point.

    Raises
    ------
    Wrong
        If it is too large, not real, undefined there, or holds what is not in the whitelist.
    """
    left = [MOST_PARTS]
    here = f" at {say(**point)}" if point else ""

    def holds(condition: Any, depth: int) -> bool:
        """Whether a condition of a piecewise formula is true at the point."""
        head, *parts = condition
        if head in ("And", "Or"):
            return (all if head == "And" else any)(holds(part, depth + 1) for part in parts)
        if head in RELATIONS:
            return bool(RELATIONS[head](go(parts[0], depth + 1), go(parts[1], depth + 1)))
        return {"BooleanTrue": True, "BooleanFalse": False}[head]

    def go(part: Any, depth: int = 0) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > DEEPEST:
            raise Wrong(f"{what} is far too large; simplify it.")
        if not isinstance(part, list) or not part or not isinstance(part[0], str):
            raise Wrong(f"{what} is no expression.")
        head, arguments = part[0], part[1:]
        if head == "Symbol":
            return mpmath.mpf(point[arguments[0]])
        if head in ("Integer", "Rational", "Float"):
            texts = [str(a) for a in arguments]
            if any(len(t) > MOST_DIGITS for t in texts):
                raise Wrong(f"{what} holds a number of more than {MOST_DIGITS} digits.")
            top, bottom = mpmath.mpf(texts[0]), mpmath.mpf(texts[1]) if len(texts) > 1 else 1
            return top / bottom
        if head == "Piecewise":  # pairs of a value and its condition
            return next(go(v, depth + 1) for _, v, c in arguments if holds(c, depth + 1))
        if head in FIXED:
            return mpmath.mpf(FIXED[head])
        if head in NUMBERS:
            return +NUMBERS[head]
        if head in ("Infinity", "NegativeInfinity", "ComplexInfinity"):
            raise Wrong(f"{what} is infinite{here}; a finite number is due.")
        values = [go(a, depth + 1) for a in arguments]
        if head == "Pow":
            base, power = values
            if abs(power) > HUGE or (base != 0 and abs(mpmath.log(abs(base)) * power) > HUGE):
                raise Wrong(f"{what} holds a gigantic power.")
            return mpmath.power(base, power)
        if head == "exp" and abs(values[0]) > HUGE:
            raise Wrong(f"{what} holds a gigantic exponential.")
        if head not in FUNCTIONS:
            raise Wrong(f"{what} holds {head[:30]!r}, which is not understood here.")
        return FUNCTIONS[head](*values)

    with mpmath.workdps(30):
        try:
            value = go(tree)
            if isinstance(value, mpmath.mpc):
                if abs(value.imag) > 1e-20:
                    raise Wrong(f"{what} is not real{here}.")
                value = value.real
            if not mpmath.isfinite(value):
                raise Wrong(f"{what} is {float(value)}{here}; it must be finite.")
            return float(value)
        except (ArithmeticError, ValueError, TypeError, LookupError, StopIteration):
            raise Wrong(f"{what} has no value{here}.") from None


def symbols(tree: Any, depth: int = 0) -> set[str]:
    """Names of the symbols."""
    if not isinstance(tree, list) or not tree or depth > DEEPEST:
        return set()
    if tree[0] == "Symbol":
        return {str(tree[1])[:40]} if len(tree) > 1 else set()
    return set().union(*(symbols(part, depth + 1) for part in tree[1:]))


def without_applied(tree: Any, names: Sequence[str], depth: int = 0) -> Any:
    """The tree with ``p(x)``, where p is one of the names, replaced by the symbol p."""
    if not isinstance(tree, list) or not tree or depth > DEEPEST or tree[0] == "Symbol":
        return tree
    if tree[0] == "Function" and len(tree) > 1 and symbols(tree[1]) & set(names):
        return tree[1]
    if isinstance(tree[0], str) and tree[0] in names:
        return ["Symbol", tree[0]]
    return [tree[0], *(without_applied(part, names, depth + 1) for part in tree[1:])]


def renamed(tree: Any, names: Mapping[str, str]) -> Any:
    """The tree with its symbols renamed."""
    if not isinstance(tree, list) or not tree:
        return tree
    if tree[0] == "Symbol":
        return ["Symbol", names.get(tree[1], tree[1])]
    return [tree[0], *(renamed(part, names) for part in tree[1:])]


# --------------------------------------------------------------------------------------------
# Texts
# --------------------------------------------------------------------------------------------

TOKEN = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|\\?[A-Za-z_]\w*|\*\*|[-+*/^(){}])")


def parse(text: str) -> Any:
    """A formula in Python or LaTeX as a tree; None if it is not understood.

    Understands ``+ - * / ** ^``, products without a sign, brackets, log, ln, exp, sqrt, \\\\frac.
    """
    text = text.strip().strip("$").split("=")[-1][:2000]
    text = re.sub(r"\\(left|right|,|;|!|:|quad)|sp\.|sympy\.|math\.|np\.|torch\.", " ", text)
    text = (
        re.sub(r"\\(cdot|times)", "*", text)
        .replace("\\dfrac", "\\frac")
        .replace("\\tfrac", "\\frac")
    )
    tokens: list[str] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found or len(tokens) > 500:
            return None
        tokens.append({"{": "(", "}": ")", "**": "^"}.get(found[1], found[1]))
        at = found.end()
    tokens.append("")
    position = [0]

    def peek() -> str:
        return tokens[position[0]]

    def take() -> str:
        position[0] += 1
        return tokens[position[0] - 1]

    def total(depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError
        sign = take() if peek() in ("+", "-") else "+"
        terms = [product(depth)]
        if sign == "-":
            terms[0] = ["Mul", ["Integer", "-1"], terms[0]]
        while peek() in ("+", "-"):
            minus = take() == "-"
            term = product(depth)
            terms.append(["Mul", ["Integer", "-1"], term] if minus else term)
        return ["Add", *terms]

    def product(depth: int) -> Any:
        factors = [power(depth)]
        while peek() and peek() not in "+-)":
            sign = take() if peek() in ("*", "/") else "*"
            factor = power(depth)
            factors.append(["Pow", factor, ["Integer", "-1"]] if sign == "/" else factor)
        return ["Mul", *factors]

    def power(depth: int) -> Any:
        base = atom(depth)
        if peek() == "^":
            take()
            minus = peek() == "-" and take() == "-"
            exponent = power(depth + 1)
            return ["Pow", base, ["Mul", ["Integer", "-1"], exponent] if minus else exponent]
        return base

    def atom(depth: int) -> Any:
        token = take()
        if token == "(":
            inside = total(depth + 1)
            if take() != ")":
                raise ValueError
            return inside
        name = token.lstrip("\\")
        if name == "frac":
            return ["Mul", atom(depth + 1), ["Pow", atom(depth + 1), ["Integer", "-1"]]]
        if name in ("log", "ln", "exp", "sqrt"):
            return ["log" if name == "ln" else name, power(depth + 1)]
        if token[:1].isdigit() or token[:1] == ".":
            return ["Float", token]
        if token[:1].isalpha() or token[:1] == "\\":
            return ["Symbol", name]
        raise ValueError

    try:
        tree = total(0)
    except (ValueError, IndexError, RecursionError):
        return None
    return tree if peek() == "" else None


# --------------------------------------------------------------------------------------------
# Answers
# --------------------------------------------------------------------------------------------


class Formula:
    """An answer as a formula in ``names``; :meth:`settle` says what its form costs."""

    def __init__(self, student: Any, name: str, names: Sequence[str]) -> None:
        self.name, self.names, self.student = name, names, student
        self.form: Wrong | None = None
        self.letters = ""  # other symbols than the question's, read as these
        self.callable = False
        value = student.get(name)
        while isinstance(value, list) and len(value) == 1:  # sp.solve gives a list
            value = value[0]
        if isinstance(value, dict) and len(value) == 1:  # sp.solve(..., dict=True)
            value = next(iter(value.values()))
        self.tree = self._read(value)

    def _read(self, value: Any) -> Any:
        tree = getattr(value, "tree", None)
        if isinstance(tree, list) and tree and tree[0] in ("Equality", "Eq") and len(tree) == 3:
            tree = tree[2]  # D = ...
        if isinstance(value, str):
            tree = parse(value)
            if tree is None:
                raise Wrong(f"{self.name} is a text; it must be a SymPy expression.")
            self.form = Wrong(
                f"{self.name} is right, but a text: without the quotes it is an expression that "
                "SymPy can differentiate.", 0.6)  # fmt: skip
        elif getattr(value, "kind", "") in ("function", "Lambda"):
            self.callable = True
            self.form = Wrong(
                f"{self.name} is right, but a function; the question asks for an expression in "
                f"{', '.join(self.names)}.", 0.75)  # fmt: skip
            return None
        elif tree is None:
            digits = _number_or_none(value, self.name)
            if digits is None:
                raise Wrong(
                    f"{self.name} is {asking.kind_of(value)}; it must be a SymPy expression in "
                    f"{', '.join(self.names) or 'numbers alone'}."
                )
            tree = ["Float", repr(digits)]
        return self._known(tree)

    def _known(self, tree: Any) -> Any:
        bare = without_applied(tree, self.names)
        if bare != tree:
            tree = bare
            self.form = self.form or Wrong(
                f"{self.name} is right, with functions such as {self.names[0]}(x); the question "
                f"fixes one x and asks for the symbols {', '.join(self.names)}.", 0.75)  # fmt: skip
        strangers = sorted(symbols(tree) - set(self.names))
        if strangers:
            mine = sorted(symbols(tree))
            if len(mine) != len(self.names) or set(mine) & set(self.names):
                raise Wrong(
                    f"{self.name} contains {', '.join(strangers)[:60]}; it may depend on "
                    f"{', '.join(self.names) or 'no symbol'} only."
                )
            tree = renamed(tree, dict(zip(mine, sorted(self.names), strict=True)))
            self.letters = ", ".join(mine)[:60]
            self.form = self.form or Wrong(
                f"{self.name} is right, with the letters {', '.join(mine)[:60]}; the question's "
                f"are {', '.join(self.names)}.", 0.75)  # fmt: skip
        return tree

    def at(self, points: Sequence[Point]) -> list[float]:
        """Values at the points."""
        if self.callable:
            replies = [
                self.student.call(self.name, *(float(p[n]) for n in self.names)) for p in points
            ]
            return [real(r.value, self.name) for r in replies]
        return [evaluate(self.tree, p, self.name) for p in points]

    def settle(self) -> None:
        """Say :class:`Wrong` if the right formula came in a form that was not asked for."""
        if self.form is not None:
            raise self.form


def real(value: Any, name: str) -> float:
    """A real number of Python, NumPy, torch or SymPy."""
    tree = getattr(value, "tree", None)
    return evaluate(tree, {}, name) if tree is not None else _number(value, name)


def read_number(student: Any, name: str) -> float:
    """The number that a name of the notebook holds."""
    value = student.get(name)
    if value is None:
        raise Wrong(f"{name} is empty or not defined: replace the dots.")
    return real(value, name)


def _number_or_none(value: Any, name: str) -> float | None:
    if value is None:
        raise Wrong(f"{name} is empty: replace the dots by a SymPy expression.")
    try:
        return _number(value, name)
    except Wrong:
        return None


def judge_formula(
    student: Any,
    rule: Rule,
    k: Constants,
    name: str,
    names: Sequence[str],
    points: Sequence[Point],
) -> None:
    """Hold the answer ``name`` against a rule of (k, \\*points)."""
    formula = Formula(student, name, names)
    got = formula.at(points)
    try:
        rule.judge(k, points, got, name, [say(**p) for p in points])
    except Wrong as wrong:
        if not formula.letters:
            raise
        raise Wrong(
            f"{name} contains {formula.letters}; {', '.join(names)} is asked for. Read so, {wrong}",
            wrong.keeps) from None  # fmt: skip
    formula.settle()
