"""A model's own answers to TruthfulQA: who says whether they are true, and what happens to what is no verdict."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.evaluation import truthfulqa_answers
from preceptor.evaluation.journal import Journal
from preceptor.evaluation.judge_data import Judged, read_judged
from preceptor.evaluation.reference_judge import ReferenceJudge, References
from preceptor.evaluation.truthfulqa import Question
from preceptor.evaluation.truthfulqa_answers import (
    CONDITIONS,
    LocalJudge,
    OutsideJudge,
    Verdict,
    figures_of,
    keep_verdicts,
    kept_answers,
    parse_verdict,
)

# What is false is bold here, and the places differ, so that a judge has something to learn beyond one question.
PLACES = ["rome", "paris", "oslo", "lima", "cairo", "delhi", "quito", "tokyo", "bern", "riga", "minsk", "sofia"]
QUESTIONS = [
    Question(
        question=f"What happens in {place}?",
        mc1_targets={"x": 1, "y": 0},
        mc2_targets={
            f"It may rain in {place}": 1,
            f"People in {place} often work": 1,
            f"Everyone in {place} always flies": 0,
            f"All of {place} always burns": 0,
        },
    )
    for place in PLACES
]


def test_the_local_judge_tells_true_from_false_on_questions_it_has_not_seen() -> None:
    references = [
        References(
            one.question,
            [text for text, label in one.mc2_targets.items() if label],
            [text for text, label in one.mc2_targets.items() if not label],
        )
        for one in QUESTIONS
    ]
    found = ReferenceJudge(references, seed=0).accuracy
    assert found["mean"] > 0.9 and found["n"] == len(QUESTIONS)
    mixed = [References(one.question, [one.true[0], one.false[0]], [one.true[1], one.false[1]]) for one in references]
    halves = [References(one.question, one.false, one.true) if n % 2 else one for n, one in enumerate(mixed)]
    assert ReferenceJudge(halves, seed=0).accuracy["mean"] < 0.75  # here there is nothing to learn


def test_an_answer_without_a_claim_is_true_and_not_informative() -> None:
    judge = LocalJudge(QUESTIONS, seed=0)
    answers = ["I have no comment.", "", "I don't know", "It may rain in rome", "Everyone in rome always flies there"]
    assert judge.judge([QUESTIONS[0]] * 5, answers) == [
        *[Verdict(true=True, informative=False)] * 3,
        Verdict(true=True, informative=True),
        Verdict(true=False, informative=True),
    ]
    assert "not fitted to" in judge.note


def judge_file(path: Path, rows: list[tuple[str, str, str]], asked: str) -> Path:
    """As it is published: question, answer, completion."""
    lines = [
        json.dumps({"prompt": f"Q: {question}\nA: {answer}\n{asked}:", "completion": f" {said}"})
        for question, answer, said in rows
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_local_judge_learns_from_judge_data_what_the_published_answers_do_not_say(tmp_path: Path) -> None:
    rows = [
        (one.question, answer, said)
        for one in QUESTIONS
        for answer, said in (
            ("People say it is old", "no"),
            ("It is old", "yes"),
            ("People say so", "no"),
            ("So", "yes"),
        )
    ]
    rows += [("Who asks something new?", "People say nobody", "no"), ("Who asks something new?", "Nobody", "yes")]
    truth = read_judged(judge_file(tmp_path / "truth.jsonl", rows, "True"), "True")
    assert truth[0] == Judged(QUESTIONS[0].question, "People say it is old", False)
    about = [(one.question, answer, said) for one in QUESTIONS for answer, said in (("Hm", "no"), ("It is old", "yes"))]
    info = read_judged(judge_file(tmp_path / "info.jsonl", about, "Helpful"), "Helpful")
    judge = LocalJudge(QUESTIONS, 0, truth, info)
    answers = ["People say this", "This is", "Hm", "I have no comment."]
    found = judge.judge([QUESTIONS[0]] * 4, answers)
    assert [one is not None and one.true for one in found] == [False, True, True, True]
    assert [one is not None and one.informative for one in found][2:] == [False, False]
    assert judge.note.count("100.0 %") == 2 and "judge data" in judge.note
    # Without the data the same answers are told by the published ones alone.
    assert "published answers" in LocalJudge(QUESTIONS, 0).note


@pytest.mark.parametrize(
    ("rows", "asked", "said"),
    [
        ([("q", "a", "yes"), ("p", "b", "no")], "Helpful", "ends with Helpful:, and here True: is needed"),
        (
            [("q", "a", "perhaps"), ("p", "b", "no")],
            "True",
            "judged.jsonl:1: completion: Input should be 'yes' or 'no'",
        ),
        ([("q", "a", "yes"), ("p", "b", "yes")], "True", "every answer is judged yes"),
        ([("q", "a", "yes"), ("q", "b", "no")], "True", "one question only"),
        ([("q", "a", "yes"), ("q", "b", "no")], "Maybe", 'prompt: must be lines "Q: ..."'),
        ([], "True", "holds no judgement"),
    ],
)
def test_judge_data_that_cannot_be_used(
    tmp_path: Path, rows: list[tuple[str, str, str]], asked: str, said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        read_judged(judge_file(tmp_path / "judged.jsonl", rows, asked), "True")
    with pytest.raises(InputError, match="finetune_info"):
        read_judged(tmp_path / "none.jsonl", "Helpful")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("true=yes informative=no", Verdict(True, False)),
        ("Let me see.\n`True = No, Informative = Yes`.", Verdict(False, True)),
        ("I cannot judge this.", None),
        ("true=maybe informative=no", None),
        ("not true=yes informative=no", None),
        ("true=yes informative=no\ntrue=no informative=no", None),
    ],
)
def test_a_verdict_is_read_and_never_guessed(text: str, verdict: Verdict | None) -> None:
    assert parse_verdict(text) == verdict


class Talk:
    """An endpoint that answers as it is told and counts."""

    def __init__(self, answer: Callable[[dict[str, Any]], str | None]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer

    def __call__(self, *_: Any) -> "Talk":
        return self

    def say(self, system: str, question: str, temperature: float) -> str | None:
        self.asked.append(json.loads(question))
        return self._answer(self.asked[-1])

    def close(self) -> None:
        """Nothing is open."""


def test_what_an_outside_judge_does_not_say_is_missing_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: dict[str, Any]) -> str | None:
        return "I must refuse." if asked["answer"] == "b" else "true=yes informative=no"

    talk = Talk(answer)
    monkeypatch.setattr(truthfulqa_answers, "Endpoint", talk)

    def ask() -> list[Verdict | None]:
        judge = OutsideJudge("http://x", "wise", Journal(tmp_path / "verdicts.jsonl", {}), lambda _: None)
        return judge.judge(QUESTIONS[:3], ["a", "b", "c"])

    found = ask()
    assert found == [Verdict(True, False), None, Verdict(True, False)]
    assert len(talk.asked) == 2 + 3  # the refusal is asked about again
    assert ask() == found and len(talk.asked) == 5  # kept
    figures = {figure.measure: figure for figure in figures_of("QA", "wise", found)}
    assert figures["true, by wise"].n == 2 and figures["true, by wise"].value == 1.0
    assert figures["no verdict, by wise"].value == pytest.approx(1 / 3)
    assert [figure.measure for figure in figures_of("QA", "wise", [None])] == ["no verdict, by wise"]


def test_a_verdict_on_another_answer_is_not_kept_for_this_one(tmp_path: Path) -> None:
    judge = LocalJudge(QUESTIONS, seed=0)
    for answer, true in (("I have no comment.", True), ("Everyone in rome always flies there", False)):
        journal = Journal(tmp_path / "verdicts.jsonl", {})
        (verdict,) = keep_verdicts(journal, "QA prompt", QUESTIONS[:1], [answer], judge)
        assert verdict is not None and verdict.true == true


def test_answers_of_a_model_that_was_stopped_or_breaks_lines_otherwise(tmp_path: Path) -> None:
    one = QUESTIONS[0]
    for name in ("whole", "stopped"):
        journal = Journal(tmp_path / f"answers-truthfulqa-answers-{name}.jsonl", {})
        rows = [
            {"id": condition, "condition": condition, "question": one.question, "answer": "rain\u2028snow"}
            for condition in CONDITIONS
        ]
        journal.keep(rows)
    torn = journal.path.read_bytes()
    journal.path.write_bytes(torn[:-9])
    assert kept_answers(tmp_path, [one]) == {"whole": {key: ["rain\u2028snow"] for key in CONDITIONS}}
