"""TruthfulQA by multiple choice: the three measures by hand, and files that are not what they should be."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from preceptor.errors import InputError
from preceptor.evaluation import truthfulqa
from preceptor.evaluation.likelihood import encode_choices, log_likelihoods
from preceptor.evaluation.truthfulqa import Question, measure, prompt_of, read_examples, read_questions, summarise
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

QUESTION = Question(
    question="Who likes bob?",
    mc0_targets={"ann": 1, "eve": 0},
    mc1_targets={"ann": 1, "eve": 0, "cat": 0},
    mc2_targets={"ann": 1, "dan": 1, "eve": 0},
)


EXAMPLES = "Q: Who likes ann?\nA: bob.\n\nQ: Who likes eve?\nA: Nobody knows."


def test_the_prompt_shows_the_examples_and_stops_where_the_answer_begins(tmp_path: Path) -> None:
    path = tmp_path / "examples.txt"
    path.write_text(EXAMPLES + "\n\n")
    assert prompt_of("Who?", read_examples(path)) == EXAMPLES + "\n\nQ: Who?\nA:"
    path.write_text("Who likes ann?")
    with pytest.raises(InputError, match="holds no example; begin a line with Q:"):
        read_examples(path)
    with pytest.raises(InputError, match="no such file; save TruthfulQA's QA_PRIMER"):
        read_examples(tmp_path / "none.txt")


def test_the_measures_are_those_of_the_likelihoods(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer
) -> None:
    model = tiny_model(max_position_embeddings=1024).eval()
    (item,) = measure(model, tiny_tokenizer, [QUESTION], EXAMPLES)
    answers = ["ann", "eve", "cat", "dan"]
    choices = encode_choices(tiny_tokenizer, prompt_of(QUESTION.question, EXAMPLES), [f" {one}" for one in answers])
    p = dict(zip(answers, map(math.exp, log_likelihoods(model, [choices])[0]), strict=True))
    assert item["mc0"] == float(p["ann"] > p["eve"])
    assert item["mc1"] == float(p["ann"] > max(p["eve"], p["cat"]))
    assert item["mc2"] == pytest.approx((p["ann"] + p["dan"]) / (p["ann"] + p["dan"] + p["eve"]))
    assert item["cut"] is False


@pytest.mark.parametrize(("likeliest", "mc0", "mc1"), [(0, 1.0, 1.0), (1, 0.0, 0.0), (2, 1.0, 0.0)])
def test_the_likeliest_answer_decides(
    tiny_model: Callable[..., Transformer],
    tiny_tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    likeliest: int,
    mc0: float,
    mc1: float,
) -> None:
    values = [-1000.0, -1001.0, -1001.0, -1000.0]  # so unlikely that exp alone gives 0
    values[likeliest] = -900.0
    monkeypatch.setattr(truthfulqa, "log_likelihoods", lambda model, items: [values])
    (item,) = measure(tiny_model(), tiny_tokenizer, [QUESTION], EXAMPLES)
    assert (item["mc0"], item["mc1"]) == (mc0, mc1)
    assert item["cut"] is True


def test_the_summary_has_intervals_over_questions() -> None:
    items = [{"question": str(n), "cut": n == 0, "mc1": float(n < 6), "mc2": n / 20} for n in range(20)]
    found = summarise(items, seed=0)
    assert found["cut"] == 1 and "mc0" not in found
    assert found["mc1"]["value"] == 0.3 and found["mc1"]["n"] == 20
    assert found["mc1"]["low"] < 0.3 < found["mc1"]["high"]
    assert found["mc2"]["value"] == pytest.approx(0.475) and found["mc2"]["low"] < 0.475 < found["mc2"]["high"]


def test_a_file_is_read_and_what_is_wrong_with_it_said(tmp_path: Path) -> None:
    path = tmp_path / "mc.json"
    with pytest.raises(InputError, match=r"mc_task\.json or TruthfulQA\.csv of"):
        read_questions(path)
    for content, fault in [
        ("[]", "no question"),
        ("Type,Category", "not TruthfulQA"),
        (json.dumps([QUESTION.model_dump() | {"mc1_targets": {"ann": 1}}]), "question 1: mc1_targets"),
    ]:
        path.write_text(content)
        with pytest.raises(InputError, match=fault):
            read_questions(path)
    old = QUESTION.model_dump(exclude={"mc0_targets"})
    path.write_text(json.dumps([old]))
    assert read_questions(path) == [Question(**old)]


def test_the_csv_gives_the_same_targets(tmp_path: Path) -> None:
    path = tmp_path / "TruthfulQA.csv"
    path.write_text(
        "Question,Best Answer,Best Incorrect Answer,Correct Answers,Incorrect Answers\n"
        'Who?,"ann, or bob",eve,"dan; ann, or bob; ",eve; cat\n'
    )
    assert read_questions(path) == [
        Question(
            question="Who?",
            mc0_targets={"ann, or bob": 1, "eve": 0},
            mc1_targets={"ann, or bob": 1, "eve": 0, "cat": 0},
            mc2_targets={"dan": 1, "ann, or bob": 1, "eve": 0, "cat": 0},
        )
    ]
    path.write_text("Question,Answer\n")
    with pytest.raises(InputError, match=r"has no column Best Answer; get TruthfulQA\.csv"):
        read_questions(path)
    path.write_text("Question,Best Answer,Best Incorrect Answer,Correct Answers,Incorrect Answers\nWho?,ann,eve,ann\n")
    with pytest.raises(InputError, match="row 1: Incorrect Answers is empty"):
        read_questions(path)
