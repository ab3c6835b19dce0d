"""From records of submissions to a class: who handed in what, marks, tables, pages.

Everything here is made anew from the records, the roster and ``marks-by-hand.csv`` each time, and
what would be overwritten with other content is kept under ``old/``. The marks by hand are a file of
the teacher's: it gets new rows, and no other change, ever.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import math
import re
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from tools.grader import batch, feedback
from tools.grader.batch import Record
from tools.grader.editions import Part
from tools.grader.marking import Assignment

HAND = "marks-by-hand.csv"
HAND_HEAD = ["student", "question", "of", "points", "comment"]


class RosterError(Exception):
    """The roster, or the file of marks by hand, cannot be read; the message says why."""


# --------------------------------------------------------------------------------------------
# Who
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Student:
    """One line of the roster; ``key`` names the student in every table."""

    key: str
    name: str = ""
    email: str = ""
    extra_days: float = 0.0  # of delay that cost nothing


def fold(text: str) -> str:
    """Letters and digits alone, small, without accents."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain.lower())


def read_table(path: Path) -> list[dict[str, str]]:
    """A CSV with commas or semicolons, UTF-8 with or without a mark, or what Windows writes."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    first = text.split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [
        {
            (k or "").strip().lower(): (v or "").strip() if isinstance(v, str) else ""
            for k, v in row.items()
        }
        for row in rows
    ]


def read_roster(path: Path) -> list[Student]:
    """The class: columns ``id`` and, if there, ``name``, ``email``, ``extra days``."""
    found: dict[str, Student] = {}
    for number, row in enumerate(read_table(path), 2):
        key = row.get("id") or row.get("sid") or row.get("student id") or ""
        if not key:
            raise RosterError(
                f"{path}, line {number}: no id; its first line must name id, name, email"
            )
        if key in found:
            raise RosterError(f"{path}, line {number}: the id {key!r} stands there twice")
        days = row.get("extra days", "") or "0"
        try:
            found[key] = Student(key, row.get("name", ""), row.get("email", ""), float(days))
        except ValueError:
            raise RosterError(f"{path}, line {number}: extra days {days!r} is no number") from None
    return list(found.values())


def owner(label: str, roster: Sequence[Student]) -> Student | None:
    """Whose file this is: the one student whose id, login or name its path holds; else None."""
    label = re.sub(r" ?\(\d+\)(?=\.\w+$)", "", label)  # a browser's second download
    parts = [[fold(w) for w in re.split(r"[^\w]+|_", part)] for part in label.split("/")]
    words = {word for part in parts for word in part if word}
    names = {s.key: [w for w in map(fold, re.split(r"[ ,]+", s.name)) if w] for s in roster}

    def named(student: Student) -> bool:
        own = names[student.key]
        joined = {"".join(own), "".join(reversed(own))}
        return bool(own) and (set(own) <= words or bool(joined & words))

    by_name = [s for s in roster if named(s)]
    sure = [
        s
        for s in roster
        # Oliver is not meant where Oliver Kahn is.
        if (s in by_name and not any(set(names[s.key]) < set(names[o.key]) for o in by_name))
        or (s.email and fold(s.email.split("@")[0]) in words)
        or (fold(s.key) in words and not _short(s.key))
    ]
    # A short number may be anything: it counts at the head of a file's or folder's name.
    heads = {part[0] for part in parts} - {""}
    found = sure or [s for s in roster if fold(s.key) in heads]
    return found[0] if len(found) == 1 else None


def _short(key: str) -> bool:
    return key.isdigit() and len(key) < 4


# --------------------------------------------------------------------------------------------
# The class
# --------------------------------------------------------------------------------------------


@dataclass
class Entry:
    """A student's state: the record that counts, and the older ones."""

    student: Student
    record: Record | None = None
    older: list[Record] = field(default_factory=list)
    on_roster: bool = True
    late: float = 0.0  # days, beyond what was allowed


def entries(
    records: Iterable[Record], roster: Sequence[Student], due: float | None = None
) -> list[Entry]:
    """Every student of the roster, then files that nobody on it owns. The newest file counts."""
    latest: dict[tuple[str, str], Record] = {}
    for record in records:  # oldest grading first: a regrade takes the place of the former
        latest[record.path, record.digest or record.note] = record
    made = {s.key: Entry(s) for s in roster}
    for record in sorted(latest.values(), key=lambda r: (r.handed_in, r.label)):
        who = owner(record.label, roster)
        if who is None:
            stem = re.sub(r"( ?\(\d+\))?\.(ipynb|zip)$", "", record.label, flags=re.I)
            entry = made.setdefault(stem, Entry(Student(stem), on_roster=False))
        else:
            entry = made[who.key]
        # A file that could be graded is not replaced by one that could not.
        if (
            entry.record is not None
            and entry.record.status == "graded"
            and record.status != "graded"
        ):
            entry.older.append(record)
            continue
        entry.older += [entry.record] if entry.record else []
        entry.record = record
    for entry in made.values():
        if due is not None and entry.record is not None:
            days = (entry.record.handed_in - due) / 86400
            entry.late = (
                max(0.0, math.ceil(days - 1e-9) - entry.student.extra_days) if days > 0 else 0.0
            )
    return list(made.values())


def equal_pairs(found: Sequence[Entry]) -> list[tuple[str, str, str]]:
    """Pairs whose files are equal, or share several cells that hardly anybody else has."""
    shown: list[tuple[str, str, str]] = []
    prints: dict[str, set[str]] = {}
    digests: dict[str, str] = {}
    for entry in found:
        if entry.record is not None and entry.record.status == "graded":
            prints[entry.student.key] = set(entry.record.result.get("prints", []))
            digests[entry.student.key] = entry.record.digest
    counts = Counter(p for cells in prints.values() for p in cells)
    rare = max(4, len(prints) // 20)
    holders: dict[str, list[str]] = defaultdict(list)
    for key, cells in prints.items():
        for cell in cells:
            if counts[cell] <= rare:
                holders[cell].append(key)
    shared = Counter(pair for keys in holders.values() for pair in combinations(sorted(keys), 2))
    by_digest: dict[str, list[str]] = defaultdict(list)
    for key, digest in digests.items():
        by_digest[digest].append(key)
    for keys in by_digest.values():
        shown += [(a, b, "the same file") for a, b in combinations(sorted(keys), 2)]
    same = {(a, b) for a, b, _ in shown}
    shown += [
        (a, b, f"{count} cells that hardly anybody else has")
        for (a, b), count in shared.most_common()
        if count >= 3 and (a, b) not in same
    ]
    return shown


def prints_of(cells: Iterable[str], known: Iterable[str]) -> list[str]:
    """Fingerprints of the longer cells that are not the assignment's; blanks, comments aside."""

    def normal(text: str) -> str:
        return re.sub(r"\s+", " ", re.sub(r"#.*", "", text)).strip()

    own = {normal(text) for text in known}
    texts = {normal(text) for text in cells} - own
    return sorted(
        hashlib.sha256(t.encode("utf-8", "replace")).hexdigest()[:16] for t in texts if len(t) >= 80
    )


# --------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------


def write_kept(path: Path, text: str) -> None:
    """Write, and keep what stood there before under ``old/`` if it was different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if path.read_bytes() == text.encode("utf-8"):
            return
        old = path.parent / "old"
        old.mkdir(exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        number = 0
        while (kept := old / f"{path.stem}-{stamp}-{number}{path.suffix}").exists():
            number += 1
        path.replace(kept)
    batch.write(path, text)


def safe(cell: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(cell)
    if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%") and not re.fullmatch(
        r"-?\d+(\.\d+)?", text
    ):
        return "'" + text
    return text


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    writer.writerows([[safe(cell) for cell in row] for row in rows])
    return out.getvalue()


# --------------------------------------------------------------------------------------------
# Marks by hand
# --------------------------------------------------------------------------------------------

Hand = dict[tuple[str, str], tuple[float | None, str]]


def read_hand(path: Path, parts: Sequence[Part]) -> Hand:
    """(student, question) -> (points or None, comment)."""
    most = {part.name: part.by_hand for part in parts}
    found: Hand = {}
    if not path.exists():
        return found
    for number, row in enumerate(read_table(path), 2):
        who, question = row.get("student", "").removeprefix("'"), row.get("question", "")
        if not who and not question:
            continue
        if not most.get(question):
            by_hand = ", ".join(name for name, points in most.items() if points)
            raise RosterError(
                f"{path}, line {number}: no question {question!r} is marked by hand; these are: "
                f"{by_hand}"
            )
        if (who, question) in found:
            raise RosterError(f"{path}, line {number}: {who}, {question} stands there twice")
        text = row.get("points", "").replace(",", ".")
        try:
            points = float(text) if text else None
        except ValueError:
            raise RosterError(f"{path}, line {number}: points {text!r} is no number") from None
        if points is not None and not 0 <= points <= most[question]:
            raise RosterError(
                f"{path}, line {number}: {points:g} points; {question} has {most[question]:g}"
            )
        found[who, question] = (points, row.get("comment", ""))
    return found


def add_to_hand(path: Path, found: Sequence[Entry], parts: Sequence[Part], hand: Hand) -> None:
    """Append a row for each new answer that a reader marks; what is there stays byte for byte."""
    rows = [
        [entry.student.key, part.name, f"{part.by_hand:g}", "", ""]
        for part in parts
        if part.by_hand
        for entry in found
        if entry.record is not None and entry.record.status == "graded"
        if (entry.student.key, part.name) not in hand
    ]
    if path.exists() and not rows:
        return
    before = path.read_bytes() if path.exists() else b""
    delimiter = ";" if before.split(b"\n", 1)[0].count(b";") > 2 else ","
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    if not before:
        writer.writerow(HAND_HEAD)
    elif not before.endswith(b"\n"):
        out.write("\r\n")
    writer.writerows([[safe(cell) for cell in row] for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    part_file = path.with_name(f".{path.name}.part")
    part_file.write_bytes(before + out.getvalue().encode("utf-8"))
    part_file.replace(path)


def words_of(record: Record, question: str, edition: Any) -> list[str]:
    """A student's own text cells within a question, new ones below included."""
    given = {c.id: c for c in edition.cells}
    place = {c.id: c.metadata.get("question", "") for c in edition.cells}
    known = {c.source.strip() for c in edition.cells}
    at, found = "", []
    for identity, source in record.texts:
        if identity in given:
            at = place[identity]
        elif match := re.match(r"#+ Question (\d+)\b", source):
            at = f"q{match[1]}"
        if at == question and source.strip() and source.strip() not in known:
            found.append(source)
    return found


def hand_page(
    assignment: Assignment, part: Part, found: Sequence[Entry], hand: Hand, edition: Any
) -> str:
    """All answers to one question, with its rubric and solution on top."""
    blocks = []
    for entry in found:
        if entry.record is None or entry.record.status != "graded":
            continue
        key = entry.student.key
        points, comment = hand.get((key, part.name), (None, ""))
        state = "not marked" if points is None else f"{points:g} of {part.by_hand:g}. {comment}"
        answers = words_of(entry.record, part.name, edition) or ["(no answer)"]
        shown = "\n".join(feedback.words(text) for text in answers)
        blocks.append(
            f"<h2>{feedback.lesson(key)} <small>{feedback.lesson(state)}</small></h2>\n{shown}"
        )
    title = f"{assignment.name}, {part.name}: {part.title}"
    body = (
        f"<h1>{html.escape(title)}</h1><p>Enter points (at most {part.by_hand:g}) and comments in "
        f"<code>{HAND}</code>, then grade again.</p>\n"
        f"<details open><summary>Rubric</summary>{feedback.words(part.rubric)}</details>\n"
        f"<details><summary>Solution</summary>{feedback.words(part.solution)}</details>\n"
        + "\n".join(blocks)
    )
    return feedback.page(title, body)


# --------------------------------------------------------------------------------------------
# All of it
# --------------------------------------------------------------------------------------------


def score(
    entry: Entry, assignment: Assignment, parts: Sequence[Part], hand: Hand
) -> tuple[dict[str, float], float, bool]:
    """(points of each question with those by hand, their sum, whether some are to be given)."""
    questions = entry.record.result.get("questions", {}) if entry.record else {}
    points, missing = {}, False
    for part in parts:
        got = float(questions.get(part.name, {}).get("points", 0.0))
        if part.by_hand and entry.record is not None and entry.record.status == "graded":
            given = hand.get((entry.student.key, part.name), (None, ""))[0]
            missing = missing or given is None
            got += given or 0.0
        points[part.name] = got
    return points, sum(points.values()), missing


def misconceptions(found: Sequence[Entry]) -> list[tuple[str, str, int]]:
    """(question, lesson without its numbers, how many students), the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for entry in found:
        questions = entry.record.result.get("questions", {}) if entry.record else {}
        for name, own in questions.items():
            counts.update({(name, general(lesson)) for lesson in own.get("lessons", [])})
    return [
        (q, lesson, n) for (q, lesson), n in sorted(counts.items(), key=lambda x: (-x[1], x[0]))
    ]


def general(lesson: str) -> str:
    """A lesson without what was drawn and what came: the same for everybody who made the slip."""
    lesson = re.sub(r" at [a-zA-Z_]+ = .*?(?=: | is |$)", "", lesson)
    return re.sub(r"-?\d+\.?\d*(e[-+]?\d+)?", "#", re.sub(r"\[[^\]]*\]", "[#]", lesson))


def file_name(key: str) -> str:
    """A name for a student's page: readable, short, and no two alike."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")[:60] or "student"
    return (
        f"{readable}-{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}.html"
    )


def publish(
    out: Path,
    assignment: Assignment,
    parts: Sequence[Part],
    edition: Any,
    records: Iterable[Record],
    roster: Sequence[Student] = (),
    due: float | None = None,
    late_percent: float = 0.0,
) -> list[Entry]:
    """Write tables, pages and feedback into ``out``; see the README for what each file is."""
    found = entries(records, roster, due)
    hand = read_hand(out / HAND, parts)
    add_to_hand(out / HAND, found, parts, hand)
    automatic = {q.name for q in assignment.questions}
    possible = assignment.points + sum(p.by_hand for p in parts)
    rows, results = [], []
    for entry in found:
        points, total, missing = score(entry, assignment, parts, hand)
        total = round(total * max(0.0, 1 - late_percent / 100 * entry.late), 2)
        results.append((entry, total))
        record = entry.record
        notes = [] if entry.on_roster or not roster else ["not on the roster"]
        if record is None:
            status = "missing"
        else:
            status = record.status
            notes += [record.note] if record.note else []
            notes += (
                [f"{len(entry.older)} older: " + ", ".join(r.label for r in entry.older)]
                if entry.older
                else []
            )
            notes += [f"TEST FAULT {f}" for f in record.result.get("faults", [])]
            notes += feedback.distinct(record.notes)[:3]
        marks = [f"{points[p.name]:g}" for p in parts]
        rows.append([
            entry.student.key, entry.student.name, status, f"{total:g}", f"{possible:g}",
            "marks by hand missing" if missing else "", *marks, f"{entry.late:g}",
            record.label if record else "", record.mode if record else "", "; ".join(notes)[:500],
        ])  # fmt: skip
        if record is not None:
            who = entry.student.name or entry.student.key
            if record.status == "graded":
                late = f"{entry.late:g} days late: {total:g} points count" if entry.late else ""
                mine = {
                    p.name: hand.get((entry.student.key, p.name), (None, ""))
                    for p in parts
                    if p.by_hand
                }
                text = feedback.student_page(
                    assignment, parts, who, record.result, record.notes, mine, late
                )
            else:
                text = feedback.refused_page(assignment, who, record.note)
            write_kept(out / "feedback" / file_name(entry.student.key), text)
    head = [
        "student",
        "name",
        "status",
        "total",
        "of",
        "open",
        *(f"{p.name}" for p in parts),
        "days late",
        "file",
        "protection",
        "note",
    ]
    write_kept(out / "gradebook.csv", table(head, rows))
    done = [(e, t) for e, t in results if e.on_roster or not roster]
    write_kept(out / "canvas.csv", table(
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment.name],
        [[e.student.name, "", e.student.key, e.student.email, "", f"{t:g}"]
         for e, t in done]))  # fmt: skip
    write_kept(out / "moodle.csv", table(
        ["ID number", "Email address", "Full name", f"{assignment.name} (points)"],
        [[e.student.key, e.student.email, e.student.name, f"{t:g}"] for e, t in done]))  # fmt: skip
    write_kept(out / "gradescope.csv", table(
        ["Name", "SID", "Email", "Total Score", "Max Points"],
        [[e.student.name, e.student.key, e.student.email, f"{t:g}", f"{possible:g}"]
         for e, t in done]))  # fmt: skip
    write_kept(
        out / "misconceptions.csv", table(["question", "lesson", "students"], misconceptions(found))
    )
    write_kept(out / "look-alike.csv", table(["student", "and", "why"], equal_pairs(found)))
    for part in parts:
        if part.by_hand:
            write_kept(
                out / "by-hand" / f"{part.name}.html",
                hand_page(assignment, part, found, hand, edition),
            )
    assert automatic <= {p.name for p in parts}
    return found
