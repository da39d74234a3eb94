"""`preceptor evaluate` on public benchmarks, from the command line to the files it writes."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.evaluate_cli import named_models
from preceptor.models.checkpoint import save_model
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

QUESTIONS = [
    {
        "question": f"Who {verb} bob?",
        "mc0_targets": {"ann": 1, "eve": 0},
        "mc1_targets": {"ann": 1, "eve": 0, "cat": 0},
        "mc2_targets": {"ann": 1, "dan": 1, "eve": 0},
    }
    for verb in ("likes", "sees", "hears")
]
EXAMPLES = "Q: Who likes ann?\nA: bob."


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The options that name TruthfulQA's files."""
    (tmp_path / "mc.json").write_text(json.dumps(QUESTIONS))
    (tmp_path / "examples.txt").write_text(EXAMPLES)
    return ["--truthfulqa", str(tmp_path / "mc.json"), "--truthfulqa-examples", str(tmp_path / "examples.txt")]


@pytest.fixture
def models(tmp_path: Path, tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer) -> list[Path]:
    """Two models of different weights."""
    found = [tmp_path / "one", tmp_path / "other"]
    for path in found:
        model = tiny_model(max_position_embeddings=512)
        if path.name == "other":
            model.embed.weight.data.mul_(-2.0)
        save_model(model, path, tiny_tokenizer)
    return found


def evaluate(*arguments: Any) -> int:
    return main(["evaluate", "--quiet", *map(str, arguments)])


def results(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "benchmarks.json").read_text())["results"]
    return found


def test_models_are_measured_beside_each_other_and_later_ones_join(
    tmp_path: Path, files: list[str], models: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    together, joined = tmp_path / "together", tmp_path / "joined"
    one, other = ("--model", models[0]), ("--model", f"2nd={models[1]}")
    assert evaluate(*one, *other, *files, "--out", together) == 0
    said = capsys.readouterr().out
    assert "one  TruthfulQA  MC1  " in said and "2nd  TruthfulQA  MC2  " in said
    assert evaluate(*one, *files, "--out", joined) == 0
    assert evaluate(*other, *files, "--out", joined) == 0
    assert results(together) == results(joined)
    assert (together / "report.html").read_bytes() == (joined / "report.html").read_bytes()
    first, second = results(together)
    assert [figure["measure"] for figure in first["figures"]] == ["MC0", "MC1", "MC2"]
    assert first["figures"] != second["figures"] and first["model_sha256"] != second["model_sha256"]
    assert len(first["files"]["truthfulqa"]["sha256"]) == 64
    with (together / "benchmarks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["model", "benchmark", "condition", "measure", "value", "low", "high", "n"]
    assert [(row["model"], row["measure"]) for row in rows] == [
        (name, measure) for name in ("one", "2nd") for measure in ("MC0", "MC1", "MC2")
    ]
    assert float(rows[2]["value"]) == first["figures"][2]["value"] and rows[2]["n"] == "3"
    page = (together / "report.html").read_text()
    assert "2nd" in page and page.count("<svg") == 3 and "http://" not in page.replace("http://www.w3.org", "")


def test_what_was_answered_is_not_asked_again(
    tmp_path: Path, files: list[str], models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    ask = ("--model", models[0], *files, "--out", out)
    assert evaluate(*ask, "--limit", "2") == 0
    assert [figure["n"] for figure in results(out)[0]["figures"]] == [2, 2, 2]
    from preceptor.evaluation import truthfulqa_benchmark

    asked: list[str] = []
    measure = truthfulqa_benchmark.measure

    def counted(model: Any, tokenizer: Any, questions: Sequence[Any], examples: str) -> Any:
        asked.extend(one.question for one in questions)
        return measure(model, tokenizer, questions, examples)

    monkeypatch.setattr(truthfulqa_benchmark, "measure", counted)
    assert evaluate(*ask) == 0
    assert asked == ["Who hears bob?"]
    whole = tmp_path / "whole"
    assert evaluate("--model", models[0], *files, "--out", whole) == 0
    assert results(out) == results(whole)


def test_answers_of_other_weights_or_examples_are_not_mixed_in(
    tmp_path: Path, files: list[str], models: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate("--model", models[0], *files, "--out", out) == 0
    assert evaluate("--model", f"one={models[1]}", *files, "--out", out) == 2
    assert "made from another model; give another --out or remove it" in capsys.readouterr().err
    (tmp_path / "examples.txt").write_text("Q: Who?\nA: ann.")
    assert evaluate("--model", models[0], *files, "--out", out) == 2
    assert "made from another files.truthfulqa_examples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["nothing to measure", "--data DIR", "--truthfulqa"]),
        (["--truthfulqa", "t.json"], ["--truthfulqa needs a model", "--model NAME=MODEL"]),
        (["--data", ".", "--truthfulqa", "t.json"], ["--data", "--truthfulqa", "give one"]),
        (["--data", ".", "--model", "m"], ["--data", "--model", "give one"]),
        (["--data", "."], ["--data needs --models and --out too"]),
        (["--rankings", "r", "--models", "a=b", "--data", ".", "--out", "e", "--limit", "1"], ["evaluate.prompts"]),
        (["--model", "m", "--truthfulqa-examples", "e.txt"], ["--truthfulqa-examples belongs to --truthfulqa"]),
        (["--model", "m", "--truthfulqa", "t.json", "--limit", "0"], ["--limit 0"]),
        (["--model", ".", "--truthfulqa", "none.json"], ["none.json: no such file; get", "TruthfulQA"]),
    ],
)
def test_a_mistake_is_named_with_its_mend(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    for part in parts:
        assert part in message


def test_models_are_named() -> None:
    given = ["a=runs/x", "hub/model@main", "dir/llama-2.gguf/", "./d=e/f"]
    assert named_models(given) == {"a": "runs/x", "model": given[1], "llama-2.gguf": given[2], "f": given[3]}
    for bad, mend in [(["d/m", "e/m"], "two models m"), (["m="], "NAME=MODEL"), (["/"], "NAME=MODEL")]:
        with pytest.raises(InputError, match=mend):
            named_models(bad)
