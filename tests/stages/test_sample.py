"""K different responses to each prompt, the same whatever else is sampled."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from preceptor.errors import InputError
from preceptor.feedback.schema import Sample
from preceptor.files import read_jsonl, write_jsonl
from preceptor.stages import sample as module
from preceptor.stages.sample import SampleConfig, sample
from preceptor.training.progress import Progress

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(toy: Any, tmp_path: Path) -> Run:
    """run(**keys of the table): the stage from the toy's SFT model, into tmp_path / "out.jsonl"."""

    def call(
        out: str = "out",
        models: Any = None,
        prompts: Path | None = None,
        seed: int = 0,
        count: int = 60,
        progress: Any = None,
        **keys: Any,
    ) -> dict[str, Any]:
        return sample(
            SampleConfig(**{"prompts": count, "responses": 4, "oversample": 1.5, "max_new_tokens": 12} | keys),
            models=models or {"sft": toy.sft},
            prompts=prompts or toy.prompts,
            out=tmp_path / f"{out}.jsonl",
            seed=seed,
            progress=progress or toy.progress,
        )

    return call


def test_each_prompt_gets_different_texts_and_none_is_empty(toy: Any) -> None:
    samples, prompts = read_jsonl(toy.samples, Sample), {row.prompt_id for row in read_jsonl(toy.samples, Sample)}
    summary = toy.summaries["samples.jsonl"]
    assert summary == {"prompts": 60, "ranked": len(samples), "generated": 60 * 6, "truncated": 0}
    assert len(prompts) == len(samples)
    for one in samples:
        texts = [response.text for response in one.responses]
        assert 2 <= len(texts) <= 4
        assert len(set(texts)) == len(texts)
        assert all(text and text == text.strip() for text in texts)
        assert one.messages[-1].role == "user"


def test_what_a_prompt_gets_does_not_depend_on_the_other_prompts(run: Run, tmp_path: Path, toy: Any) -> None:
    rows = toy.prompts.read_text().splitlines()
    (tmp_path / "half.jsonl").write_text("\n".join(rows[::2]) + "\n")
    run(prompts=tmp_path / "half.jsonl")
    whole = {row.prompt_id: row for row in read_jsonl(toy.samples, Sample)}
    half = read_jsonl(tmp_path / "out.jsonl", Sample)
    assert len(half) == 30
    assert all(whole[row.prompt_id] == row for row in half)


def test_several_models_share_evenly_and_no_place_tells_them_apart(run: Run, tmp_path: Path, toy: Any) -> None:
    summary = run(models={"base": toy.base, "sft": toy.sft}, responses=4, oversample=1.0)
    assert summary["generated"] == 60 * 4
    places: dict[str, set[int]] = {"base": set(), "sft": set()}
    counts = {"base": 0, "sft": 0}
    for row in read_jsonl(tmp_path / "out.jsonl", Sample):
        for place, response in enumerate(row.responses):
            places[response.model].add(place)
            counts[response.model] += 1
    assert places == {"base": {0, 1, 2, 3}, "sft": {0, 1, 2, 3}}
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_each_seed_draws_prompts_and_noise_of_its_own(run: Run, tmp_path: Path, lines: Callable) -> None:
    drawn = {}
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        run(name, seed=seed, count=20)
        drawn[name] = {row["prompt_id"]: row["responses"] for row in lines(tmp_path / f"{name}.jsonl")}
    assert drawn["a"] == drawn["b"]
    assert set(drawn["a"]) != set(drawn["c"])
    common = set(drawn["a"]) & set(drawn["c"])
    assert common
    assert any(drawn["a"][prompt] != drawn["c"][prompt] for prompt in common)


def test_long_prompts_are_truncated_and_counted(run: Run, tmp_path: Path) -> None:
    def prompt(i: int) -> dict[str, Any]:
        return {"id": f"p{i}", "user": "u", "messages": [{"role": "user", "content": "ann " * (99 if i < 2 else 1)}]}

    write_jsonl(tmp_path / "long.jsonl", [prompt(i) for i in range(5)])
    console = Console(file=io.StringIO(), width=200)
    # A prompt that fills the context leaves room for one token, so sample many.
    summary = run(prompts=tmp_path / "long.jsonl", oversample=4, progress=Progress(console=console))
    assert summary["prompts"] == 5
    assert summary["truncated"] == 2
    assert "2 of 5 prompts were longer than the context and were truncated" in console.file.getvalue()  # type: ignore[attr-defined]


def test_nothing_to_rank_is_a_clear_error(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def same(
        config: Any, compute: Any, path: Path, name: str, prompts: list, count: int, *rest: Any
    ) -> tuple[Any, int]:
        return [["ann."] * count for _ in prompts], 0

    monkeypatch.setattr(module, "_responses", same)
    with pytest.raises(InputError, match="one and the same response each time; nothing can be ranked"):
        run()
    assert not (tmp_path / "out.jsonl").exists()


def test_a_reward_model_cannot_be_sampled(run: Run, toy: Any) -> None:
    with pytest.raises(InputError, match="is a reward model; name a language model"):
        run(models={"rm": toy.reward})
