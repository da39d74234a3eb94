"""Our model class under lm-evaluation-harness, against the harness's own on the same exported directory."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preceptor.cli import main
from preceptor.evaluation.journal import Journal
from preceptor.keyed import torch_rng
from preceptor.models.checkpoint import save_model
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")

from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from preceptor.evaluation.harness import PreceptorLM  # noqa: E402

TASKS = {
    "local_choice": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: 0
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "local_text": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}]
""",
    "local_write": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["a", "."], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match}]
""",
}
NAMES = ["ann", "bob", "cat", "dan", "eve"]
DOCUMENTS = [
    {
        "question": f"{name} likes",
        "choices": ["bob", "cat and dan", "ann likes eve", "dan"],
        # The last is longer than the context. No period: of windows with the same tokens the harness scores one.
        "text": " ".join(f"{name} sees {NAMES[i * i % 5]} {i}." for i in range(3 + 4 * number)),
    }
    for number, name in enumerate(NAMES)
]


@pytest.fixture
def task_path(tmp_path: Path) -> Path:
    """A directory with three small tasks."""
    path = tmp_path / "tasks"
    path.mkdir()
    (path / "data.jsonl").write_text("".join(json.dumps(one) + "\n" for one in DOCUMENTS))
    for name, text in TASKS.items():
        (path / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ntest_split: test\n"
            f"dataset_kwargs: {{data_files: {{test: {path / 'data.jsonl'}}}}}\n{text}"
        )
    return path


@pytest.fixture
def directory(tmp_path: Path, tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer) -> Path:
    """A model whose texts differ: with weights as they are begun, every token is about as likely."""
    model = tiny_model("llama", max_position_embeddings=64)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0.0, 0.3, generator=torch_rng(0, "harness"))
    save_model(model, tmp_path / "model", tiny_tokenizer)
    return tmp_path / "model"


def _samples(model: Any, task_path: Path) -> dict[str, list[Any]]:
    manager = TaskManager(include_path=str(task_path), include_defaults=False)
    found = lm_eval.simple_evaluate(model, tasks=list(TASKS), task_manager=manager, bootstrap_iters=0)
    return {
        task: [row["resps"] for row in sorted(rows, key=lambda row: row["doc_id"])]
        for task, rows in found["samples"].items()
    }


def test_every_kind_of_request_gives_what_the_harness_gets(
    directory: Path, task_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(task_path / "cache"))
    theirs = _samples(HFLM(pretrained=str(directory), dtype="float32", device="cpu", batch_size=4), task_path)
    ours = _samples(PreceptorLM(str(directory), device="cpu", batch_size=2), task_path)
    for mine, other in zip(ours["local_choice"], theirs["local_choice"], strict=True):
        for (one,), (its,) in zip(mine, other, strict=True):
            assert one[0] == pytest.approx(its[0], abs=1e-4) and bool(one[1]) == bool(its[1])
    for mine, other in zip(ours["local_text"], theirs["local_text"], strict=True):
        assert mine[0][0] == pytest.approx(other[0][0], rel=1e-5)
    assert ours["local_write"] == theirs["local_write"]
    assert len({str(one) for one in ours["local_write"]}) > 1


def test_the_same_request_again_is_another_sample(directory: Path, tmp_path: Path) -> None:
    model = PreceptorLM(str(directory), device="cpu", batch_size=4)
    kwargs = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 1.0}
    requests = [SimpleNamespace(args=("ann likes", kwargs)) for _ in range(4)]
    drawn = model.generate_until(requests)
    assert len(set(drawn)) > 1
    kept = [
        PreceptorLM(str(directory), device="cpu", journal=Journal(tmp_path / "kept.jsonl", {})).generate_until(requests)
        for _ in range(2)
    ]
    assert kept == [drawn, drawn]


def test_tasks_are_measured_and_their_requests_kept(
    directory: Path,
    task_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(task_path / "cache"))
    out = tmp_path / "out"
    ask = ["evaluate", "--quiet", "--model", str(directory), "--tasks-path", str(task_path), "--out", str(out)]
    assert main([*ask, "--tasks", ",".join(TASKS)]) == 0
    (result,) = json.loads((out / "benchmarks.json").read_text())["results"]
    figures = {figure["measure"]: figure for figure in result["figures"]}
    assert figures["local_choice: acc"]["n"] == 5 and figures["local_choice: acc"]["high"] > 0.0
    assert figures["local_text: word_perplexity"]["unit"] == "score"
    assert figures["local_text: word_perplexity"]["low"] is None  # the harness would need a bootstrap for it
    kept = (out / "answers-tasks-requests-model.jsonl").read_bytes()
    monkeypatch.setattr("preceptor.evaluation.harness.score_choices", None)  # so nothing can be scored again
    assert main([*ask, "--tasks", ",".join(TASKS)]) == 0
    assert (out / "answers-tasks-requests-model.jsonl").read_bytes() == kept
    capsys.readouterr()
    assert main([*ask, "--tasks", "no_such"]) == 2
    assert "knows no task 'no_such'" in capsys.readouterr().err
