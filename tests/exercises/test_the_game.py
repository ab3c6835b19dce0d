"""What only `the-game` must pass; the rest is in test_every_assignment.py."""

from __future__ import annotations

import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import asking_here
from asking_here import variants
from game_answers import MISTAKES, PLAIN, cells

from ganlib import losses
from tools import exercises
from tools.grader import editions, marking, questions
from tools.grader.local import InProcess
from tools.grader.marking import Result
from tools.grader.questions import Draw

NAME = "the-game"
GAME = marking.load(NAME)
SOURCE = editions.read(exercises.SOURCES / NAME / "source.md", GAME.k)
STUDENT = editions.notebook_edition(GAME, SOURCE, solutions=False)
HIDDEN = (exercises.SOURCES / NAME / "questions.py").read_text(encoding="utf-8")


def graded(answers: dict[str, str], question: str) -> Result:
    return asking_here.graded(cells(GAME.k, answers), GAME, question)


def test_what_is_not_finite_equals_nothing() -> None:
    inf, nan = float("inf"), float("nan")
    assert questions.same([1.0, 2.0], [1.0, 2.0], 1e-9)
    for one, other in ((1.0, inf), (inf, 1.0), (inf, inf), (nan, nan), (1.0, nan), (0.0, -inf)):
        assert not questions.same([one], [other], 0.5)


# Right and wrong answers


def test_an_earlier_mistake_is_not_charged_twice() -> None:
    text = next(m for m in MISTAKES if (m.question, m.name) == ("q4", "text"))
    wrong = {
        **PLAIN,
        "q2": "def discriminator_loss_from_logits(s_real, s_fake):\n    ...",
        "q4": text.code,
    }
    uses = "value_integrand = A * p * sp.log(D_gan) + B * q * sp.log(1 - D_gan)"
    wrong["q6"] = re.sub(r"value_integrand = .*", uses, PLAIN["q6"])
    for question in ("q6", "q9"):
        assert graded(wrong, question).points == 3


def test_a_cell_that_raised_is_named_where_its_answer_is_missing() -> None:
    result = graded({**PLAIN, "q5": "D_lsgan = = 3"}, "q5")
    assert "D_lsgan is not there: the cell that defines it" in result.lessons[0]
    assert "SyntaxError" in result.lessons[0]


def test_a_fault_of_the_test_is_no_fault_of_the_student() -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("in the test")

    question = replace(GAME.questions[0], tests=[replace(GAME.questions[0].tests[0], run=broken)])
    module = SimpleNamespace(QUESTIONS=[question])
    result = marking.ask(InProcess([]), replace(GAME, module=module), "s", "x")["q1"]  # type: ignore[arg-type]
    assert result.points == 1
    assert "raised" not in result.lessons[0]
    assert "ZeroDivisionError" in result.faults[0]


# Variants and draws


def test_the_same_submission_sees_the_same_numbers_and_another_others() -> None:
    def numbers(*key: str) -> list[float]:
        return Draw(*key).normal(5).tolist()

    assert numbers("s", "a", "q1") == numbers("s", "a", "q1")
    assert (
        len(
            {
                tuple(numbers(*key))
                for key in (("s", "a", "q1"), ("s", "b", "q1"), ("t", "a", "q1"), ("sa", "", "q1"))
            }
        )
        == 4
    )


def test_a_variant_goes_through_text_code_and_checks() -> None:
    private = variants(NAME)[0]
    source = editions.read(exercises.SOURCES / NAME / "source.md", private.k)
    text = "\n".join(c.source for c in editions.notebook_edition(private, source, False).cells)
    assert f"L_D=-{private.k.alpha}\\,\\mathbb E_p" in text
    assert "{{alpha" not in text
    assert "{{beta" not in text


# Editions and leaks


def test_no_solution_rubric_or_hidden_test_reaches_a_student(tmp_path: Path) -> None:
    hidden = editions.secrets(SOURCE, HIDDEN)
    assert any("F.softplus(-s_real).mean()" in line for line in hidden)
    assert any("the equality case of that inequality" in line for line in hidden)
    assert any("LOGIT_LOSS.judge(" in line for line in hidden)
    files = []
    for name, notebook in (
        ("student", STUDENT),
        ("instructor", editions.notebook_edition(GAME, SOURCE, True)),
    ):
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    (tmp_path / "page.md").write_text(editions.page_edition(GAME, SOURCE))
    files = [tmp_path / "student.ipynb", tmp_path / "page.md"]
    assert editions.find_leaks(hidden, files) == []
    # The same search finds them where they are, in archives and through highlighting.
    assert len(editions.find_leaks(hidden, [tmp_path / "instructor.ipynb"])) > 30
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.write(tmp_path / "instructor.ipynb", "deep/inside.ipynb")
    (tmp_path / "page.html").write_text(
        f"<pre>return <b>{GAME.k.alpha}</b> * <span>real</span> + {GAME.k.beta} * fake</pre>"
    )
    assert editions.find_leaks(hidden, [tmp_path / "all.zip"])
    assert editions.find_leaks(hidden, [tmp_path / "page.html"])


def test_a_leak_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "questions.py").write_text(HIDDEN)
    text = (exercises.SOURCES / NAME / "source.md").read_text()
    # A delimiter mistyped: the solution of question 4 stays, and it stands in the text once more.
    leaky = text.replace(
        '# SOLUTION\n```\n\n+++ {"question": "q5"', '# SOLUTIO\n```\n\n+++ {"question": "q5"'
    )
    leaky = leaky.replace(
        "## Part 4: least squares",
        "## Part 4: least squares\n\n`return {{beta}} * ((f_fake - c) ** 2).mean() / 2`",
    )
    (tmp_path / NAME / "source.md").write_text(leaky)
    hidden = editions.secrets(SOURCE, HIDDEN)
    source = editions.read(tmp_path / NAME / "source.md", GAME.k)
    (tmp_path / "page.md").write_text(editions.page_edition(GAME, source))
    assert len(editions.find_leaks(hidden, [tmp_path / "page.md"])) == 2


def test_the_notebook_checks_itself_under_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The checks need no file beside the notebook, no package but torch and SymPy, and no name."""
    checks = next(c.source for c in STUDENT.cells if "checks" in editions.tags(c))
    assert "import" not in re.sub(r"^\s+import (json|math|torch)$", "", checks, flags=re.M)
    for answers, words in (
        (PLAIN, "the public checks pass"),
        ({"q1": "discriminator_loss = ..."}, "is empty"),
    ):
        names: dict[str, object] = {}
        for cell in [*cells(GAME.k, answers), checks]:
            exec(cell, names)
        for question in GAME.questions:
            names["grader"].check(question.name)  # type: ignore[attr-defined]
            assert words in capsys.readouterr().out
    names["grader"].check("q99")  # type: ignore[attr-defined]
    assert "no such question" in capsys.readouterr().out


def test_the_checks_know_typical_slips(capsys: pytest.CaptureFixture[str]) -> None:
    checks = next(c.source for c in STUDENT.cells if "checks" in editions.tags(c))
    sign = next(m for m in MISTAKES if (m.question, m.name) == ("q1", "sign"))
    names: dict[str, object] = {}
    for cell in [*cells(GAME.k, {**PLAIN, "q1": sign.code}), checks, 'grader.check("q1")']:
        exec(cell, names)
    assert "the sign" in capsys.readouterr().out


def test_links_go_to_the_published_book_or_name_the_page() -> None:
    text = "{doc}`The game </book/theory/the-game>`"
    assert (
        editions.linked(text, "https://a.github.io/b")
        == "[The game](https://a.github.io/b/book/theory/the-game.html)"
    )
    assert "book/theory/the-game.html" in editions.linked(text, "")
    with pytest.raises(editions.SourceError, match="give it a title"):
        editions.linked("{doc}`/book/theory/the-game`", "")


def test_no_part_begins_in_a_rubric_where_no_student_sees_it(tmp_path: Path) -> None:
    text = (exercises.SOURCES / "the-game" / "source.md").read_text()
    at = text.index("\n- ", text.index('"rubric"'))
    (tmp_path / "source.md").write_text(f"{text[:at]}\n## Part 9: lost\n{text[at:]}")
    with pytest.raises(
        editions.SourceError, match=r"'## Part 9: lost' stands in a rubric.*`\+\+\+`"
    ):
        editions.read(tmp_path / "source.md", variants("the-game")[0].k)


def test_the_assignment_and_the_library_mean_the_same_losses() -> None:
    names: dict[str, object] = {}
    one = SimpleNamespace(alpha=1, beta=1)
    for cell in cells(one, PLAIN):
        exec(cell, names)
    real, fake = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-1.0, 0.7])
    a, b, c = -0.5, 2.0, 0.25
    minimax, squares = losses.minimax(), losses.least_squares(a, b, c)
    for name, inputs, library in [
        ("discriminator_loss", (real.sigmoid(), fake.sigmoid()), minimax.discriminator(real, fake)),
        ("discriminator_loss_from_logits", (real, fake), minimax.discriminator(real, fake)),
        ("saturating_loss", (fake,), minimax.generator(fake)),
        ("non_saturating_loss", (fake,), losses.non_saturating().generator(fake)),
        ("lsgan_discriminator_loss", (real, fake, a, b), squares.discriminator(real, fake)),
        ("lsgan_generator_loss", (fake, c), squares.generator(fake)),
    ]:
        torch.testing.assert_close(names[name](*inputs), library)  # type: ignore[operator]
