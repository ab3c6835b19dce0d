"""Public checks: one easy case of each question, in the student's own notebook.

The numbers that are due, and those that typical slips give, come as data.
"""


class Grader:
    """``grader.check("q1")`` looks at one easy case; hidden tests decide the mark."""

    def __init__(self, names, cases):
        import json

        self.names, self.cases = names, json.loads(cases)

    def check(self, question):
        """Say what the public cases of a question show."""
        if question not in self.cases:
            return print(f"{question}: no such question; there are {', '.join(self.cases)}.")
        for case in self.cases[question]:
            wrong = self.wrong(case)
            if wrong:
                return print(f"{question}: {wrong}")
        print(f"{question}: the public checks pass. Hidden tests decide the mark.")

    def wrong(self, case):
        """What is wrong in one case; "" if nothing is."""
        import math

        name, value = case["name"], self.names.get(case["name"], ...)
        if value is ... and name.startswith("try_"):
            return f"{name} is not there: run the cell of the notebook that defines it."
        if value is None or value is ...:
            return f"{name} is empty or not defined: replace the dots, and run the cell."
        try:
            value = self.ask(case, value)
        except Exception as error:
            return f"{name} raised {type(error).__name__}: {error}"
        if value is None:
            return f"{name} returns nothing: replace the dots, and end the function with return."
        shape = getattr(value, "shape", None)
        if shape is not None and (len(case["right"]) > 1 or shape == (1,)):
            value = tuple(value.flatten().tolist())
        infinite = f"{case['what']} is not finite: the log of zero, 1/0 or 0/0, or an overflow."
        if getattr(value, "is_finite", None) is False:
            return infinite
        if getattr(value, "is_real", None) is False:
            return f"{case['what']} is not real: the logarithm or a root of a negative number."
        count, due = len(case["right"]), "one number"
        if count > 1:
            due = f"{count} numbers"
        try:
            got = [float(v) for v in (value if isinstance(value, (tuple, list)) else (value,))]
        except Exception:
            kind = f"has shape {tuple(shape)}" if shape else f"is of type {type(value).__name__}"
            return f"{name} {kind}; it must be {due}."
        if len(got) != count:
            return f"{name} gives {len(got)} numbers; it must be {due}."

        def same(want):
            return len(got) == len(want) and all(
                math.isfinite(y) and abs(x - y) <= case["rel"] * max(1, abs(y))
                for x, y in zip(got, want, strict=True)
            )

        if same(case["right"]):
            return ""
        for slip, lesson in case["slips"]:
            if same(slip):
                return f"{case['what']}: {lesson}"
        if not all(math.isfinite(x) and abs(x) < 1e50 for x in got):
            return infinite
        mine, due = (", ".join(f"{x:.8g}" for x in numbers) for numbers in (got, case["right"]))
        return f"{case['what']}: you get {mine}, due is {due}."

    def ask(self, case, value):
        """The value of a function at tensors, or of an expression at a point."""
        if case["at"] is None:
            import torch

            def argument(given):
                if not isinstance(given, dict):
                    return given
                if "seed" in given:
                    return torch.Generator().manual_seed(given["seed"])
                return torch.tensor(given["tensor"])

            return value(*(argument(given) for given in case["args"]))
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        value = getattr(value, "rhs", value)
        symbols = getattr(value, "free_symbols", ())
        strange = sorted(s.name for s in symbols if s.name not in case["at"])
        if strange:
            raise ValueError(f"it contains {', '.join(strange)}")
        if not hasattr(value, "evalf"):
            return value
        return value.evalf(30, subs={s: case["at"][s.name] for s in symbols})
