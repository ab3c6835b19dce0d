"""Twenty submissions the whole way: sandbox, marks, pages, tables; then again, and late."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from a_class import FULL, Class, hand_in, scores
from game_answers import PLAIN

from tools import exercises
from tools.grader import course, gradebook, hull
from tools.grader.batch import Record
from tools.grader.feedback import page, student_page, tex

NAME, KEY = "the-game", "a secret"


@pytest.fixture(scope="module")
def own() -> course.Course:
    return course.load(NAME, "book", exercises.SOURCES)


@dataclass
class Graded:
    made: Class
    out: Path
    roster: Path


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, own: course.Course) -> Graded:
    try:
        hull.choose()
    except hull.Unprotected as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("handed-in")
    made = hand_in(folder, own, 20)
    roster = folder.parent / "roster.csv"
    lines = ["id;name;email", *(f"s{n:03d};Name {n};n{n}@example.org" for n in range(20))]
    roster.write_text("\n".join([*lines, 'gone;"=HYPERLINK(1)";']) + "\n")
    out = tmp_path_factory.mktemp("grades")
    exercises.grade(folder, NAME, out, key=KEY, jobs=2, roster=roster, show=False)
    return Graded(made, out, roster)


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_everybody_gets_what_is_due(graded: Graded) -> None:
    found = scores(graded.out)
    assert set(found) == set(graded.made.due)
    for label, due in graded.made.due.items():
        got = found[label]
        assert (got is None) == (due is None), label
        if got is not None and due is not None:
            assert abs(got - due) <= 0.5, label


def test_tables_hold_no_formula_and_name_who_is_missing(graded: Graded) -> None:
    table = rows(graded.out / "gradebook.csv")
    assert table["gone"]["status"] == "missing"
    assert table["gone"]["name"] == "'=HYPERLINK(1)"
    assert table["s009"]["status"] == "not graded"
    assert "no notebook" in table["s009"]["note"]
    for name in (
        "canvas.csv",
        "moodle.csv",
        "gradescope.csv",
        "misconceptions.csv",
        "look-alike.csv",
    ):
        with (graded.out / name).open(newline="") as file:
            assert not [c for row in csv.reader(file) for c in row if c[:1] in ("=", "+", "@")]
    assert "s000" in (graded.out / "look-alike.csv").read_text()  # the same file several times


def test_feedback_is_escaped_and_shows_no_test(graded: Graded) -> None:
    pages = list((graded.out / "feedback").glob("*.html"))
    assert len(pages) == 20
    for each in [*pages, *(graded.out / "by-hand").glob("*.html")]:
        text = each.read_text()
        assert "<script" not in text
        assert "judge(" not in text
    by_hand = (graded.out / "by-hand" / "q10.html").read_text()
    assert "log t≤t-1" in by_hand.replace("</i>", "")
    assert "the equality case" in by_hand


def test_marks_by_hand_survive_and_count_and_late_files_add(
    graded: Graded, own: course.Course
) -> None:
    hand = graded.out / gradebook.HAND
    marked = hand.read_text().replace("s000,q10,5,,", 's000,q10,5,4.5,"a, good proof"')
    hand.write_text(marked)
    late = graded.out.parent / "late"
    late.mkdir(exist_ok=True)
    second = Class(late)
    second.add(own, "s009 (1).ipynb", PLAIN, FULL)
    exercises.grade(late, NAME, graded.out, key=KEY, roster=graded.roster, show=False)
    assert hand.read_text().startswith(marked)
    table = rows(graded.out / "gradebook.csv")
    assert float(table["s000"]["total"]) == FULL + 4.5
    assert table["s009"]["status"] == "graded"
    assert "1 older" in table["s009"]["note"]
    assert len(table) == 21
    assert list((graded.out / "old").glob("gradebook-*.csv"))


def test_a_mark_that_is_none_stops_before_the_work(graded: Graded, tmp_path: Path) -> None:
    (tmp_path / gradebook.HAND).write_text("student,question,of,points,comment\ns000,q10,5,7,\n")
    with pytest.raises(gradebook.RosterError, match="7 points; q10 has 5"):
        exercises.grade(graded.made.folder, NAME, tmp_path, key=KEY)


def test_the_archive_gives_the_same_marks(graded: Graded, tmp_path: Path) -> None:
    """As Gradescope lays it out, with this environment in the place of setup.sh's."""
    exercises.archive.write(tmp_path / "a.zip", NAME, "book", KEY, exercises.SOURCES)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "source")
    setup = (tmp_path / "source" / "setup.sh").read_text()
    assert exercises.archive.CPU_INDEX in setup
    assert f"torch=={exercises.archive.lock()['torch']}" in setup
    (tmp_path / "submission").mkdir()
    (tmp_path / "results").mkdir()
    label = "s002.ipynb"
    os.link(graded.made.folder / label, tmp_path / "submission" / label)
    environment = {**os.environ, "AUTOGRADER": str(tmp_path), "GRADER_PYTHON": sys.executable}
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        ["bash", str(tmp_path / "source" / "run_autograder")], env=environment, check=True
    )
    said = json.loads((tmp_path / "results" / "results.json").read_text())
    assert said["score"] == pytest.approx(scores(graded.out)[label]), said
    assert {test["visibility"] for test in said["tests"]} == {"after_published"}


def test_what_late_days_cost_stands_on_the_page(
    tmp_path: Path, own: course.Course, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    Class(tmp_path / "in").add(own, "anna.ipynb", {**PLAIN, "q1": ""}, FULL)
    os.utime(tmp_path / "in" / "anna.ipynb", (90_000, 90_000))
    try:
        exercises.grade(
            tmp_path / "in", NAME, tmp_path / "out", key=KEY, due=0, late_percent=10, show=False
        )
    except hull.Unprotected as error:
        pytest.skip(str(error))
    total = rows(tmp_path / "out" / "gradebook.csv")["anna"]["total"]
    (page_,) = (tmp_path / "out" / "feedback").glob("*.html")
    assert f"2 days late: {total} points count" in page_.read_text()
    assert "answers await a mark and count 0" in capsys.readouterr().err


def test_three_who_share_their_code_are_shown() -> None:
    def entry(key: str, prints: list[str]) -> gradebook.Entry:
        result = {"questions": {}, "prints": prints}
        record = Record(key, key, key, digest=key, status="graded", result=result)
        return gradebook.Entry(gradebook.Student(key), record)

    shared = ["a", "b", "c"]
    class_ = [entry(k, shared) for k in "xyz"] + [entry(str(n), [f"{n}"]) for n in range(5)]
    pairs = {(a, b) for a, b, _ in gradebook.equal_pairs(class_)}
    assert pairs == {("x", "y"), ("x", "z"), ("y", "z")}


def test_newest_counts_days_late_are_counted_and_names_are_matched() -> None:
    def record(label: str, at: float, status: str = "graded") -> Record:
        return Record(label, label, label, digest=label, status=status, handed_in=at)

    class_ = [
        gradebook.Student("17", "Zoë Müller", extra_days=1),
        gradebook.Student("18", "Ann Lee"),
    ]
    day = 86400.0
    records = [
        record("muller_zoe_x.ipynb", 1),
        record("a/17_v2.ipynb", 2.5 * day),
        record("Lee Ann.zip", 0),
        record("17_broken.ipynb", 9 * day, "not graded"),
        record("=who.ipynb", 0),
    ]
    zoe, ann, who = gradebook.entries(records, class_, due=day)
    assert zoe.record is not None
    assert zoe.record.label == "a/17_v2.ipynb"
    assert (len(zoe.older), zoe.late) == (2, 1.0)
    assert ann.record is not None
    assert ann.late == 0
    assert not who.on_roster


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("s000,Q10,5,4,", "no question 'Q10' is marked by hand; these are: q3, q9, q10"),
        ("s000,q1,2,1,", "no question 'q1' is marked by hand"),
        ("s000,q10,5,4,\ns000,q10,5,3,", "line 3: s000, q10 stands there twice"),
    ],
)
def test_a_mark_that_would_be_lost_is_refused(
    lines: str, words: str, tmp_path: Path, own: course.Course
) -> None:
    path = tmp_path / gradebook.HAND
    path.write_text(f"student,question,of,points,comment\n{lines}\n")
    with pytest.raises(gradebook.RosterError, match=words):
        gradebook.read_hand(path, own.parts)


@pytest.mark.parametrize("percent", ["-10", "nan", "200"])
def test_days_late_take_off_a_share(percent: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exercises.main(["grade", ".", f"--late-percent={percent}"])
    assert "is not within 0 to 100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("bert (1).ipynb", None),
        ("hw 1/bert.ipynb", None),
        ("the-game-2.ipynb", None),
        ("Müller =1+1.ipynb", "30"),
        ("oliver.ipynb", "40"),
        ("oliver kahn.ipynb", "41"),
        ("kahnoliver_123_456_the-game.ipynb", "41"),
        ("alice.ipynb", None),
        ("joanna smith.ipynb", None),
        ("2_the-game.ipynb", "2"),
        ("11/nb.ipynb", "11"),
        ("1234567 the-game (3).ipynb", "1234567"),
        ("li and oliver.ipynb", None),
    ],
)
def test_whose_file_it_is(label: str, key: str | None) -> None:
    names = {
        "1": "Anna",
        "2": "Eva",
        "11": "Tom",
        "30": "Müller",
        "40": "Oliver",
        "41": "Oliver Kahn",
        "50": "Li",
        "60": "Jo Ann",
        "1234567": "Zed",
    }
    found = gradebook.owner(label, [gradebook.Student(k, name) for k, name in names.items()])
    assert (found.key if found else None) == key


def test_a_wrong_seed_is_said_and_can_be_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = course.load(NAME, "spring", exercises.SOURCES)
    (tmp_path / "in").mkdir()
    Class(tmp_path / "in").add(private, "anna.ipynb", PLAIN, FULL)
    totals = []
    for seed in ("spring", "book", "spring"):
        try:
            exercises.grade(tmp_path / "in", NAME, tmp_path / "out", key=KEY, seed=seed, show=False)
        except hull.Unprotected as error:
            pytest.skip(str(error))
        totals.append(float(rows(tmp_path / "out" / "gradebook.csv")["anna"]["total"]))
        assert ("1 of 1 files are of another variant" in capsys.readouterr().err) == (
            seed == "book"
        )
    assert totals[0] == totals[2] == FULL > totals[1]


def test_exit_ends_no_cell_and_no_mark(tmp_path: Path, own: course.Course) -> None:
    (tmp_path / "in").mkdir()
    made = Class(tmp_path / "in")
    for place in (0, 1, 2):
        lines = PLAIN["q6"].splitlines()
        lines.insert((0, len(lines) // 2, len(lines))[place], "exit()")
        made.add(own, f"s{place}.ipynb", {**PLAIN, "q6": "\n".join(lines)}, FULL)
    try:
        exercises.grade(tmp_path / "in", NAME, tmp_path / "out", key=KEY, show=False)
    except hull.Unprotected as error:
        pytest.skip(str(error))
    assert scores(tmp_path / "out") == dict.fromkeys(made.due, FULL)


def test_pages_render_tex_and_escape(own: course.Course) -> None:
    assert tex(r"<b> $\tfrac{1}{2}\,p_g^2\le\alpha$") == (
        '&lt;b&gt; <i class="tex">(1)/(2)p<sub>g</sub><sup>2</sup>≤α</i>'
    )
    assert tex(r"$C\ge\text{constant}$ on $\{p=0\}$") == (
        '<i class="tex">C≥constant</i> on <i class="tex">{p=0}</i>'
    )
    text = student_page(own.assignment, own.parts, "<i>x", {"questions": {}}, ["y" * 9000], {})
    assert "<i>x" not in text.replace("<i class", "")
    assert len(text) < 12_000
    assert "default-src 'none'" in page("t", "b")


def test_each_run_of_make_clean_leaves_the_marks() -> None:
    clean = (exercises.ROOT / "Makefile").read_text().split("\nclean:", 1)[1].split("\n\n")[0]
    assert "grades" not in clean
    assert exercises.GRADES.name == "grades"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grade", "nowhere"], "no such file or folder: nowhere"),
        (["grade", ".", "--assignment", "the-gmae"], "no assignment 'the-gmae'; known: "),
        (["grade", ".", "--out", "file"], "exercises: file"),
        (["build", "the-gmae"], "no assignment 'the-gmae'; known: "),
    ],
)
def test_a_wrong_call_says_what_to_do(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADER_SECRET", KEY)
    (tmp_path / "file").write_text("no folder")
    elsewhere = [] if "--out" in arguments or arguments[0] != "grade" else ["--out", "o"]
    assert exercises.main([*arguments, *elsewhere]) == 2
    assert words in capsys.readouterr().err


def test_nothing_of_a_notebook_is_lost_in_an_edition(own: course.Course) -> None:
    nbformat.validate(own.edition)
