"""What every test of every assignment needs; the build copies it into each test function.

A test starts with the line ``# REFEREE``; ``tools/exercises.py`` puts this file's functions in its
place. It travels with the *public* tests, so no answer may stand here.

Verdicts rest on the operators of Python floats and on literal numbers, which no code can replace.
``np.isclose``, ``torch.allclose``, ``sympy.simplify``, ``math.log``, ``abs``, ``zip`` and the like
may have been replaced by the code under test, so none of them decides anything.
"""


def no_library():
    """Refuse an answer that has the book's library do the work."""
    import sys

    assert "ganlib" not in sys.modules, (
        "ganlib is imported. Here you write what it exports, so the grader gives no marks while "
        "it is loaded: delete the import, restart the kernel, and run the cells again."
    )


def number(value, what):
    """``value`` (a number or a tensor with one entry and no axis) as a Python float."""
    import torch

    if value is None or value is ...:
        raise AssertionError(f"{what} is empty: replace the dots, and end a function with return.")
    if isinstance(value, torch.Tensor):
        if value.dim() > 0:
            raise AssertionError(
                f"{what} has shape {tuple(value.shape)}; it must be one number (shape ()): "
                "take the mean over the samples."
            )
        value = value.item()
    # float's own addition: refuses all but numbers, and its result is a float and nothing else.
    plain = (0.0).__add__(value)
    if plain is NotImplemented:
        raise AssertionError(
            f"{what} is a {type(value).__name__}; it must be one number: "
            "a tensor of shape () or a Python float."
        )
    return plain


def judge(got, want, slips=(), what="the value", tolerance=1e-5):
    """Raise unless the floats ``got`` equal ``want``; a known slip gets its own lesson.

    ``slips`` holds pairs of the numbers a typical mistake gives and what to tell its author.
    """

    def same(left, right):
        i = 0
        for x in left:
            y = right[i]
            i += 1
            scale = 1.0 if -1.0 < y < 1.0 else (y if y > 0 else -y)
            if not -tolerance * scale <= x - y <= tolerance * scale:
                return False
        return True

    for x in got:
        if x != x:
            raise AssertionError(
                f"{what} is nan (not a number): somewhere 0/0, 0 * inf or inf - inf."
            )
    if same(got, want):
        return
    for values, lesson in slips:
        if same(got, values):
            raise AssertionError(f"{what}: {lesson}")
    for x in got:
        if x - x != 0:
            raise AssertionError(
                f"{what} is {x}: the log of zero, or an exponential that overflows."
            )
    i = 0
    while same([got[i]], [want[i]]):
        i += 1
    raise AssertionError(f"{what}: you get {got[i]:.6g}, the right value is {want[i]:.6g}.")


def at(expression, names, points, what):
    """A SymPy expression as floats: its values (30 digits) where ``names`` take the ``points``.

    Symbols are matched by name, so assumptions such as ``positive=True`` do not matter.
    """
    import sympy

    if expression is None or expression is ...:
        raise AssertionError(f"{what} is empty: replace the dots by a SymPy expression.")
    if isinstance(expression, (int, float)):
        expression = sympy.sympify(expression)
    if not isinstance(expression, sympy.Expr):
        raise AssertionError(
            f"{what} is a {type(expression).__name__}; it must be a SymPy expression in "
            f"{', '.join(names) or 'numbers only'}, for example {names[0] if names else 1} + 1."
        )
    strangers = [s.name for s in expression.free_symbols if s.name not in names]
    if strangers:
        raise AssertionError(
            f"{what} contains {', '.join(strangers)}; it may depend on "
            f"{', '.join(names) or 'no symbol'} only."
        )
    values = []
    for point in points:
        here = {s: point[names.index(s.name)] for s in expression.free_symbols}
        value = expression.evalf(30, subs=here)
        if not value.is_number or value.is_real is False or value.is_finite is False:
            raise AssertionError(f"{what} is {value} at {here}; it must be a finite real number.")
        values.append((0.0).__add__(value.__float__()))
    return values
