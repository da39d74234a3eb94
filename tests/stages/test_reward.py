"""The reward model: whole rankings, one prompt a batch element, zero on demonstrations."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from preceptor.algorithms.ranking import kwise_loss
from preceptor.errors import InputError
from preceptor.feedback.hygiene import part_of
from preceptor.feedback.schema import Ranking
from preceptor.files import read_jsonl, write_jsonl
from preceptor.models.checkpoint import load_scalar_model
from preceptor.models.compute import ComputeConfig
from preceptor.models.heads import ScalarModel
from preceptor.stages import reward as module
from preceptor.stages.reward import (
    RankedIds,
    RewardConfig,
    demonstration_scores,
    longer_wins,
    measure,
    ranking_scores,
    reward,
)
from preceptor.training.loop import CHECKPOINT
from preceptor.training.optimizer import Optimizer
from preceptor.training.progress import Progress

Run = Callable[..., dict[str, Any]]
RAGGED = [
    RankedIds([[1, 9, 8], [1, 9, 8, 7, 6, 5], [1, 9, 4, 4]], [[1, 2, 2]]),
    RankedIds([[1, 30, 31, 32], [1, 30, 33]], [[2, 1], [1, 2], [2, 1]]),  # three labelers
    RankedIds([[1, 40], [1, 41, 42, 43], [1, 44, 45], [1] + [46] * 9], [[4, 3, 2, 1], [3, 3, 1, 2]]),
    RankedIds([[1, 50, 51], [1, 50]], [[1, 2]]),
]


@pytest.fixture
def run(toy: Any, tmp_path: Path) -> Run:
    """run(**keys of the table): the stage from the toy's SFT model, into tmp_path / "out"."""

    def call(
        out: str = "out",
        rankings: list[Path] | None = None,
        check: bool = False,
        progress: Any = None,
        token_budget: int = 4096,
        **keys: Any,
    ) -> dict[str, Any]:
        return reward(
            RewardConfig(**toy.tables["reward"] | {"epochs": 1} | keys),
            model=toy.sft,
            rankings=rankings or [toy.rankings],
            demonstrations=toy.demonstrations,
            out=tmp_path / out,
            check_out=tmp_path / "check" if check else None,
            seed=0,
            progress=progress or toy.progress,
            compute=ComputeConfig(token_budget=token_budget),
        )

    return call


def test_point_20_accuracy_is_learnt_and_logged(toy: Any) -> None:
    assert toy.reward
    metrics, summary = toy.metrics("reward"), toy.summaries["reward"]
    assert len(metrics) == summary["steps"]
    assert {"loss", "accuracy", "grad_norm", "lr_scale", "tokens"} <= set(metrics[0])
    assert summary["heldout_accuracy"] > 0.75
    assert metrics[-1]["heldout_accuracy"] == pytest.approx(summary["heldout_accuracy"])
    assert 0 <= summary["longer_wins"] <= 1
    assert not (toy.reward / CHECKPOINT).exists()
    assert load_scalar_model(toy.check).score.bias.item() != 0


def test_point_13_demonstrations_score_0_on_average_after_save_and_reload(toy: Any) -> None:
    for path in (toy.reward, toy.check):
        again = load_scalar_model(path)
        scores = demonstration_scores(again, toy.text, toy.demonstrations)
        assert len(scores) == 60
        assert abs(float(scores.mean())) < 1e-5
        assert float(scores.std()) > 0.05, "it is the mean that is 0, not every score"
        assert again.score.bias.item() != 0.0


def test_point_13_the_head_starts_with_the_stated_spread_and_no_bias(
    run: Run, monkeypatch: pytest.MonkeyPatch, first_gradients: Callable
) -> None:
    heads: list[ScalarModel] = []
    whole = ScalarModel.initialise_head

    def spy(self: ScalarModel, generator: torch.Generator) -> None:
        whole(self, generator)
        heads.append(self)

    monkeypatch.setattr(ScalarModel, "initialise_head", spy)
    first_gradients(run)
    (model,) = heads
    assert model.score.bias.item() == 0.0
    assert model.score.weight.std().item() == pytest.approx(33**-0.5, rel=0.35)


def test_a_model_that_loses_its_bias_on_the_way_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path) -> ScalarModel:
        model = load_scalar_model(path)
        model.score.bias.data.zero_()
        return model

    monkeypatch.setattr(module, "load_scalar_model", load)
    with pytest.raises(InputError, match="on average after reloading, not 0; the save is not whole"):
        run()


def test_point_16_k_forwards_a_prompt_and_no_prompt_spans_batches(
    run: Run, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[int]] = []  # the lengths of the sequences of each training forward pass
    steps: list[int] = []  # how many passes had been made at each optimizer step
    scores, step = module.packed_scores, Optimizer.step

    def spy_scores(model: ScalarModel, groups: list[list[list[int]]], pad_id: int, *more: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            sent.append([len(ids) for group in groups for ids in group])
        return scores(model, groups, pad_id, *more)

    def spy_step(self: Optimizer, scale: float) -> None:
        steps.append(len(sent))
        step(self, scale)

    monkeypatch.setattr(module, "packed_scores", spy_scores)
    monkeypatch.setattr(Optimizer, "step", spy_step)
    summary = run(token_budget=1, batch=8, epochs=1, check_share=0.0)
    strict = [one for one in read_jsonl(toy.rankings, Ranking) if len(set(one.ranks)) > 1]
    assert {len(one.ranks) for one in strict} == {4}
    assert all(len(lengths) == 4 for lengths in sent), "one prompt, K = 4 sequences, not 2 * 6 for its pairs"
    assert summary["steps"] == len(steps)
    assert steps == [8 * (i + 1) for i in range(len(steps))], "each step has its 8 prompts whole"


@pytest.mark.parametrize("token_budget", [1, 200])
def test_point_12_gradients_do_not_depend_on_the_token_budget(
    run: Run, first_gradients: Callable, tmp_path: Path, toy: Any, token_budget: int
) -> None:
    rows = [row.model_dump() for row in read_jsonl(toy.rankings, Ranking)]
    for i, row in enumerate(rows):  # unlike numbers of responses, so unlike numbers of pairs
        keep = 2 + i % 3
        row["responses"], row["ranks"] = row["responses"][:keep], list(range(1, keep + 1))
    write_jsonl(tmp_path / "ragged.jsonl", rows)
    keys = {"rankings": [tmp_path / "ragged.jsonl"], "batch": 7, "clip_norm": 1e9}
    (whole,) = first_gradients(lambda: run("whole", token_budget=10**6, **keys))
    (split,) = first_gradients(lambda: run("split", token_budget=token_budget, **keys))
    assert set(split) == set(whole)
    for name, grad in split.items():
        torch.testing.assert_close(grad, whole[name], rtol=1e-4, atol=1e-6, msg=name)


def test_points_8_and_15_scores_and_measures_do_not_depend_on_the_batch(
    tiny_scalar: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_scalar(bias=0.4)
    losses = []
    with torch.no_grad():
        scores, ranks, mask, weights = ranking_scores(model, RAGGED, 0)
        row = 0
        for one in RAGGED:
            alone = torch.stack([model(torch.tensor([ids]))[0, -1] for ids in one.ids])
            for ranking in one.rankings:
                torch.testing.assert_close(scores[row][mask[row]], alone, atol=1e-5, rtol=0)
                assert ranks[row][mask[row]].tolist() == ranking
                assert weights[row] == pytest.approx(1 / len(one.rankings)), "a prompt weighs the same for all"
                row += 1
            by_labeler = [float(kwise_loss(alone, torch.tensor(ranking))[0]) for ranking in one.rankings]
            losses.append(sum(by_labeler) / len(by_labeler))
    assert row == len(scores) == 7
    whole = measure(model, RAGGED, 0)
    assert whole["loss"] == pytest.approx(sum(losses) / 4, rel=1e-5)
    for budget in (1, 30):
        monkeypatch.setattr(module, "TOKEN_BUDGET", budget)
        assert measure(model, RAGGED, 0) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(("heldout_share", "looks"), [(0.05, 4), (0.4, 2)])
def test_looks_at_what_is_held_out_are_fewer_where_they_cost_much(
    run: Run, tmp_path: Path, lines: Callable, heldout_share: float, looks: int
) -> None:
    summary = run(heldout_share=heldout_share, batch=1)
    looked = [line["step"] for line in lines(tmp_path / "out/metrics.jsonl") if "heldout_accuracy" in line]
    assert len(looked) == looks
    assert looked[-1] == summary["steps"]


def test_several_labelers_of_the_same_responses_are_one_element(
    run: Run, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_gradients: Callable
) -> None:
    """K forwards a prompt, not K a labeler; and a file given twice teaches what it teaches once."""
    (once,) = first_gradients(lambda: run("once", batch=100, clip_norm=1e9))
    sent: list[int] = []
    scores = module.packed_scores

    def spy(model: ScalarModel, groups: list[list[list[int]]], pad_id: int, *more: Any) -> torch.Tensor:
        sent.append(sum(map(len, groups)))
        return scores(model, groups, pad_id, *more)

    monkeypatch.setattr(module, "packed_scores", spy)
    (twice,) = first_gradients(
        lambda: run("twice", batch=100, token_budget=10**6, clip_norm=1e9, rankings=[toy.rankings, toy.rankings])
    )
    strict = [one for one in read_jsonl(toy.rankings, Ranking) if len(set(one.ranks)) > 1]
    assert sent[0] < 4 * len(strict), "some are held out, and none is scored twice"
    for name, grad in twice.items():
        torch.testing.assert_close(grad, once[name], rtol=1e-4, atol=1e-6, msg=name)


def test_few_rankings_may_leave_none_to_measure_on(run: Run, toy: Any, tmp_path: Path) -> None:
    shares = {"heldout": 0.2, "check": 0.3 * 0.8, "train": 0.56}
    rows = [row for row in read_jsonl(toy.rankings, Ranking) if len(set(row.ranks)) > 1]
    write_jsonl(tmp_path / "few.jsonl", [row for row in rows if part_of(row.prompt_id, shares, 0) != "heldout"])
    summary = run(rankings=[tmp_path / "few.jsonl"], check=True)
    assert "heldout_accuracy" not in summary
    assert (tmp_path / "check/model.safetensors").exists()


def test_the_parts_share_no_prompt(toy: Any) -> None:
    rows = read_jsonl(toy.rankings, Ranking)
    parts = module._split(RewardConfig(heldout_share=0.2, check_share=0.3), [*rows, *rows], True, 0)
    ids = {part: {row.prompt_id for row in some} for part, some in parts.items()}
    assert set(ids) == {"train", "check", "heldout"}
    assert all(ids.values())
    assert sum(len(some) for some in ids.values()) == len({row.prompt_id for row in rows})
    assert sum(len(some) for some in parts.values()) == 2 * len(rows), "none is lost"
    assert not module._split(RewardConfig(), rows, False, 0)["check"], "without a check its share is trained on"


def test_nothing_but_ties_is_a_clear_error(run: Run, tmp_path: Path, toy: Any) -> None:
    rows = [row.model_dump() | {"ranks": [1] * len(row.ranks)} for row in read_jsonl(toy.rankings, Ranking)]
    write_jsonl(tmp_path / "ties.jsonl", rows)
    with pytest.raises(InputError, match="no ranking has a strict preference among"):
        run(rankings=[tmp_path / "ties.jsonl"])
    assert not (tmp_path / "out").exists()


def test_fewer_rankings_than_a_batch_still_get_all_their_epochs(run: Run) -> None:
    assert run(batch=500, epochs=3)["steps"] == 3


def test_long_responses_are_truncated_and_counted(run: Run, tmp_path: Path, toy: Any) -> None:
    rows = [row.model_dump() for row in read_jsonl(toy.rankings, Ranking)]
    for row in rows:
        row["responses"][0]["text"] = "ann likes " * 50
        row["ranks"] = [2, 1, 1, 1][: len(row["ranks"])]
    write_jsonl(tmp_path / "long.jsonl", rows)
    console = Console(file=io.StringIO(), width=200)
    summary = run(rankings=[tmp_path / "long.jsonl"], progress=Progress(console=console), check_share=0.0)
    assert summary["truncated"] == summary["rankings"] > 30
    assert (
        "ranked responses with their prompts were longer than 48 tokens and were truncated" in console.file.getvalue()
    )  # type: ignore[attr-defined]


def test_longer_wins_counts_strict_pairs() -> None:
    def ranking(texts: list[str], ranks: list[int]) -> Ranking:
        return Ranking(
            prompt_id="p",
            messages=[{"role": "user", "content": "x"}],
            responses=[{"text": text} for text in texts],
            ranks=ranks,
        )

    # aaa > a right; aaa > bb right; a = bb is a tie and drops out; equal lengths count half.
    assert longer_wins([ranking(["aaa", "a", "bb"], [1, 2, 2])]) == 1.0
    assert longer_wins([ranking(["a", "bb"], [1, 2]), ranking(["cc", "dd"], [2, 1])]) == 0.25
