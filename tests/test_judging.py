"""``preceptor judge``: answers, a judge, win rates and ratings, end to end on a toy."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.evaluation.ratings import rating_figures
from preceptor.feedback.schema import Rating
from preceptor.files import write_jsonl
from tests.conftest import Toy

COUNT = 6


def judge(*arguments: Any) -> int:
    return main(["judge", "--quiet", *map(str, arguments)])


def found(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "preferences.json").read_text())
    return value


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    rows = [{"id": f"p{i}", "user": "u", "messages": [{"role": "user", "content": f"Say {i}."}]} for i in range(COUNT)]
    write_jsonl(tmp_path / "prompts.jsonl", rows)
    return tmp_path / "prompts.jsonl"


def answers(path: Path, text: str) -> Path:
    write_jsonl(path, [{"prompt_id": f"p{i}", "text": f"{text} {i}"} for i in range(COUNT)])
    return path


def test_models_and_files_of_answers_meet_before_a_reward_model(toy: Toy, prompts: Path, tmp_path: Path) -> None:
    out, theirs = tmp_path / "out", answers(tmp_path / "theirs.jsonl", "a man from elsewhere")
    command = ["--model", f"sft={toy.sft}", "--answers", f"theirs={theirs}", "--prompts", prompts]
    command += ["--reward", toy.reward, "--out", out, "--max-new-tokens", 8]
    assert judge(*command) == 0
    first = found(out)
    assert first["judge"] == "reward model" and first["models"] == ["sft", "theirs"] and first["prompts"] == COUNT
    assert len(first["made_from"]["reward_model"]) == 64 and first["made_from"]["max_new_tokens"] == 8
    (row,) = first["pairs"]
    rankings = [json.loads(line) for line in (out / "rankings.jsonl").read_text().splitlines()]
    won = [one["ranks"][[r["model"] for r in one["responses"]].index("sft")] == 1 for one in rankings]
    assert row["win_rate"] == pytest.approx(sum(won) / COUNT)
    assert {one["responses"][0]["model"] for one in rankings} == {"sft", "theirs"}  # the order tells nothing
    kept = (out / "answers-sft.jsonl").read_bytes()
    assert judge(*command) == 0 and found(out) == first
    assert (out / "answers-sft.jsonl").read_bytes() == kept
    assert "sft over theirs" in (out / "report.html").read_text()
    table = (out / "preferences.csv").read_text()
    assert "preferred.sft over theirs" in table and "made_from" not in table  # figures alone


def test_answers_to_other_prompts_of_the_same_ids_are_not_taken_for_answers(
    toy: Toy, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = answers(tmp_path / "theirs.jsonl", "a man from elsewhere")
    command = ["--model", f"sft={toy.sft}", "--answers", f"theirs={theirs}", "--prompts", prompts, "--limit", 2]
    command += ["--reward", toy.reward, "--out", tmp_path / "out", "--max-new-tokens", 4]
    assert judge(*command) == 0
    prompts.write_text(prompts.read_text().replace("Say", "Sing"))
    capsys.readouterr()
    assert judge(*command) == 2
    assert "made from another prompts" in capsys.readouterr().err
    prompts.write_text(prompts.read_text().replace('"p1"', '"p0"'))
    assert judge(*command) == 2
    assert "prompt p0 is there twice" in capsys.readouterr().err


def test_rankings_and_ratings_of_people_are_read_as_they_are(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "?"}]
    responses = [{"text": "x", "model": "a"}, {"text": "y", "model": "b"}]
    rows = [{"prompt_id": str(i), "messages": said, "responses": responses, "ranks": [1, 2]} for i in range(4)]
    write_jsonl(tmp_path / "rankings.jsonl", rows)
    rated = [{"prompt_id": str(i), "response": "x", "model": "a", "overall": 5 + i % 2} for i in range(4)]
    write_jsonl(tmp_path / "ratings.jsonl", [one | {"flags": {"hallucination": i == 0}} for i, one in enumerate(rated)])
    out = tmp_path / "out"
    arguments = ("--rankings", tmp_path / "rankings.jsonl", "--ratings", tmp_path / "ratings.jsonl", "--out", out)
    assert judge(*arguments) == 0
    value = found(out)
    assert value["pairs"][0]["win_rate"] == 1.0 and value["judge"] == "the labelers of the file"
    assert value["ratings_by_people"]["a"]["overall"]["mean"] == 5.5
    assert value["ratings_by_people"]["a"]["flags"]["hallucination"]["mean"] == 0.25
    assert "hallucination" in (out / "report.html").read_text()


def test_a_flag_that_was_not_asked_about_is_no_answer() -> None:
    ratings = [
        Rating(prompt_id="1", response="x", model="a", overall=4, flags={"violent": True}),
        Rating(prompt_id="1", response="x", model="a", overall=6),
        Rating(prompt_id="2", response="x", model="a", overall=1),
    ]
    one = rating_figures(ratings, seed=0)["a"]
    assert one["overall"]["mean"] == 3.0 and one["overall"]["n"] == 2
    assert (
        one["flags"]["violent"]["mean"] == one["flags"]["violent"]["high"] == 1.0 and one["flags"]["violent"]["n"] == 1
    )
    assert one["flags"]["violent"]["low"] < 0.5  # one prompt is no certainty
    with pytest.raises(InputError, match="names no model"):
        rating_figures([Rating(prompt_id="1", response="x", overall=4)], seed=0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--model", "a=x", "--model", "b=x", "--prompts", "{prompts}"), "name one judge"),
        (("--model", "a=x", "--prompts", "{prompts}", "--gold", "x"), "two models must meet"),
        (("--model", "a=x", "--model", "b=x", "--gold", "x"), "give --prompts"),
        (("--model", "a=x", "--rankings", "{prompts}"), "leave --model"),
        (("--answers", "a=nowhere", "--gold", "x"), "no such file"),
        (("--answers", "{prompts}", "--gold", "x"), "give it as NAME=FILE"),
        (("--judge-url", "http://127.0.0.1:9/v1"), "go together"),
        (("--answers", "a={prompts}", "--model", "a=x", "--gold", "x", "--prompts", "{prompts}"), "give it another"),
        (("--rankings", "{prompts}", "--limit", "0"), "at least 1"),
    ],
)
def test_what_makes_no_study_is_refused(
    arguments: tuple[str, ...], says: str, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [one.replace("{prompts}", str(prompts)) for one in arguments]
    assert judge(*given, "--out", tmp_path / "out") == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_answers_and_a_directory_without_gold_leave_nothing(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (answers(tmp_path / f"{name}.jsonl", name) for name in "ab")
    two.write_text("\n".join(two.read_text().splitlines()[1:]))
    both = ("--answers", f"a={one}", "--answers", f"b={two}", "--prompts", prompts, "--out", tmp_path / "out")
    assert judge(*both, "--gold", tmp_path) == 2
    assert "no answer to prompt p0 (1 are missing)" in capsys.readouterr().err
    answers(two, "b")
    assert judge(*both, "--gold", tmp_path) == 2
    assert "has no gold.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
