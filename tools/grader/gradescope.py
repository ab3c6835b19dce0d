"""``python -m tools.grader.gradescope SUBMISSION RESULTS.json``: one submission, for Gradescope.

It is written whatever happens. Marks and lessons are those of ``make grade``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tools.grader import batch, course, hull

HERE = Path(__file__).resolve().parents[2]


def grade(folder: Path, name: str, seed: str, secret: str) -> dict[str, Any]:
    """What Gradescope reads, for the one notebook in ``folder``."""
    began = time.monotonic()
    said: dict[str, Any] = {
        "score": 0.0, "output_format": "text", "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [],
    }  # fmt: skip
    try:
        files = [p for p in batch.find(folder) if p.suffix.lower() in batch.NOTEBOOKS]
        if len(files) != 1:
            raise batch.Unreadable(f"is one of {len(files)}; hand in one notebook")
        submission = batch.read(files[0])
        own = course.load(name, seed, HERE / "exercises")
        mode = hull.choose([HERE], trust=os.environ.get("TRUST_SUBMISSIONS") == "yes")
        with hull.Slot(mode, 0) as slot:
            result, notes, _ = batch.grade_one(slot, submission, own.judge(secret))
        for question in own.assignment.questions:
            mine = result["questions"][question.name]
            said["tests"].append({
                "name": question.name, "score": mine["points"], "max_score": question.points,
                "status": "passed" if mine["points"] == question.points else "failed",
                "output": "\n".join(mine["lessons"]) or "All tests passed.",
                "output_format": "text", "visibility": "after_published",
            })  # fmt: skip
        said["score"] = round(sum(test["score"] for test in said["tests"]), 2)
        said["output"] = "\n".join(notes) or "Every cell ran."
        said["extra_data"] = {
            "protection": str(mode),
            "faults": result["faults"],
            "tests": own.tests,
        }
    except batch.Unreadable as reason:
        said["output"] = f"Not graded: the file {reason}."
    except Exception as error:  # whatever fails: a result that says so
        said["output"] = (
            f"Not graded: the grader failed ({type(error).__name__}); tell your teacher."
        )
        said["extra_data"] = {"error": str(error)[:500]}
    said["execution_time"] = round(time.monotonic() - began, 1)
    return said


def main(arguments: list[str]) -> int:
    folder, target = Path(arguments[0]), Path(arguments[1])
    name, seed, secret = (HERE / "assignment.txt").read_text(encoding="utf-8").split("\n")[:3]
    secret = os.environ.get("GRADER_SECRET", secret)
    batch.write(target, json.dumps(grade(folder, name, seed, secret), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
