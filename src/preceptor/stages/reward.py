"""Stage: the reward model, fitted to whole rankings (InstructGPT section 3.5)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from preceptor.algorithms.ranking import kwise_accuracy, kwise_loss_per_prompt
from preceptor.errors import InputError
from preceptor.feedback.hygiene import part_of
from preceptor.feedback.schema import Demonstration, Ranking
from preceptor.files import read_json, read_jsonl, write_json
from preceptor.keyed import numpy_rng, torch_rng
from preceptor.models.checkpoint import load_scalar_model, open_language_model, save_model
from preceptor.models.compute import COMPUTE, ComputeConfig, compile_blocks, place
from preceptor.models.heads import ScalarModel
from preceptor.models.lora import NO_LORA, LoRAConfig, fresh_adapters
from preceptor.models.peft import FOLDER, save_adapters
from preceptor.text.conversation import ended, render, render_replies
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import Padding, batch_at, group_by_length, steps_of
from preceptor.training.loop import CHECKPOINT, Metrics, TrainingState, optimize, train
from preceptor.training.optimizer import Optimizer, OptimizerConfig, learning_rate_scale
from preceptor.training.progress import Progress, jsonable
from preceptor.training.scoring import TOKEN_BUDGET, packed_length, packed_scores, sequence_scores


class RewardConfig(OptimizerConfig):
    """The ``[reward]`` table."""

    epochs: float = Field(
        1.0, gt=0, description="Passes over the rankings; the paper found that a second one overfits."
    )
    batch: int = Field(8, ge=1, description="Prompts, with all their responses, in one optimizer step.")
    heldout_share: float = Field(
        0.05, gt=0, lt=0.5, description="Share of prompts whose rankings only measure the accuracy."
    )
    check_share: float = Field(
        0.25,
        ge=0,
        lt=0.9,
        description="Share of the other prompts that trains a second reward model, the check on PPO; 0 for none.",
    )
    optimizer: Literal["adamw", "muon"] = Field(
        "muon", description="`muon` orthogonalises the updates of the matrices inside the blocks; the rest stays AdamW."
    )
    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    muon_lr: float = Field(0.005, gt=0, description='Peak learning rate of Muon (only with `optimizer = "muon"`).')
    final_lr: float = Field(0.0, ge=0, le=1, description="Share of the peak learning rate left at the end (cosine).")


# How many demonstrations the zero of the scores is set on. It is a constant that no ranking and no advantage notices,
# so a tenth of a standard deviation is near enough, and a large model takes minutes to score more.
ZERO_DEMONSTRATIONS = 128
FITTED = "fitted.json"  # beside a reward model that is done while the other is not: its figures


@dataclass(frozen=True)
class RankedIds:
    """One prompt's K responses, each as the ids of prompt and response together, as one or more labelers ranked them.

    All rankings of the same responses are one element: the responses are scored once, and the
    prompt weighs the same however many labelers it had.
    """

    ids: list[list[int]]
    rankings: list[list[int]]  # one list of K ranks a labeler
    truncated: int = 0  # how many of the K the renderer had to cut

    @cached_property
    def length(self) -> int:
        """Tokens that are computed for it: the prompt once."""
        return packed_length(self.ids)


def reward(
    config: RewardConfig,
    *,
    model: Path,
    rankings: list[Path],
    demonstrations: Path,
    out: Path,
    check_out: Path | None,
    seed: int,
    progress: Progress,
    lora: LoRAConfig = NO_LORA,
    compute: ComputeConfig = COMPUTE,
) -> dict[str, Any]:
    """Fit a reward model that starts from the language model in ``model`` and write it to ``out``.

    With ``lora`` only a head and adapters over ``model`` are trained. ``out`` is the merged reward model all the
    same; ``out/adapter`` has them alone, for a PPO run whose models share the weights of ``model``.

    The prompts are split by a hash of their ids: some only measure, some train a second reward
    model (``check_out``) that PPO never maximises, the rest train the first.
    """
    parts = _split(config, [row for path in rankings for row in read_jsonl(path, Ranking)], check_out is not None, seed)
    fit = partial(_fit, config, compute, lora, model, parts["heldout"], demonstrations, seed, progress)
    summary = fit("reward", parts["train"], out)
    if check_out is not None and config.check_share > 0:
        fitted = fit("reward-check", parts["check"], check_out)
        if "heldout_accuracy" in fitted:  # few rankings may leave none to measure on
            summary["check_heldout_accuracy"] = fitted["heldout_accuracy"]
    for directory in (out, check_out):
        if directory is not None:
            (directory / CHECKPOINT).unlink(missing_ok=True)
            (directory / FITTED).unlink(missing_ok=True)
    return summary


def _split(config: RewardConfig, rows: list[Ranking], check: bool, seed: int) -> dict[str, list[Ranking]]:
    rest = 1 - config.heldout_share
    check_share = config.check_share * rest if check else 0.0
    shares = {"heldout": config.heldout_share, "check": check_share, "train": rest - check_share}
    parts: dict[str, list[Ranking]] = {part: [] for part in shares}
    for row in rows:
        parts[part_of(row.prompt_id, shares, seed)].append(row)
    return parts


def _fit(
    config: RewardConfig,
    compute: ComputeConfig,
    lora: LoRAConfig,
    model: Path,
    heldout: list[Ranking],
    demonstrations: Path,
    seed: int,
    progress: Progress,
    name: str,
    rankings: list[Ranking],
    out: Path,
) -> dict[str, Any]:
    """Fit the reward model ``name`` to ``rankings`` and write it to ``out``; ``heldout`` only measures it."""
    if (out / FITTED).exists():  # it was done before the stage was stopped
        return dict(read_json(out / FITTED))
    network, text = _new_model(config, model, lora, seed, name, compute)
    length = network.trunk.context
    learnt = _render_all(text, rankings, length)
    if not learnt:
        raise InputError(
            f"{name}: no ranking has a strict preference among {len(rankings)}; all are ties or there are none"
        )
    unseen = _render_all(text, heldout, length)
    learner = _Learner(config, name, network, text.pad_id, learnt, unseen, seed, compute)

    with progress.stage(name, out) as stage:
        train(learner.state, learner.steps, learner.do_step, checkpoint=out / CHECKPOINT, stage=stage)
        mean = zero_on_demonstrations(network, text, demonstrations)
        stage.note(f"the mean score of demonstrations was {mean:+.3f} and is now 0")
        truncated = sum(one.truncated for one in learnt)
        if truncated:
            stage.note(
                f"{truncated} ranked responses with their prompts were longer than {length} tokens and were truncated"
            )
    save_model(network, out, text)
    if lora.rank:
        save_adapters(network, out / FOLDER, lora, model)
        _zero_merged(out, text, demonstrations, compute)
    after = _saved_mean(out, text, demonstrations, compute)
    summary = {"steps": learner.steps, "rankings": len(learnt), "truncated": truncated, "demonstration_mean": after}
    if unseen:
        summary |= learner.last_measured()
        summary["longer_wins"] = longer_wins(heldout)
    write_json(out / FITTED, jsonable(summary))
    return summary


def _new_model(
    config: RewardConfig, model: Path, lora: LoRAConfig, seed: int, name: str, compute: ComputeConfig
) -> tuple[ScalarModel, Tokenizer]:
    """The language model in ``model`` with a fresh head in the place of its vocabulary, ready to train."""
    trunk, text = open_language_model(model)
    if lora.rank:
        trunk = fresh_adapters(trunk, lora, seed, name)
    trunk.gradient_checkpointing = config.gradient_checkpointing
    network = ScalarModel(trunk)
    network.initialise_head(torch_rng(seed, name, "head"))
    place(network, compute)
    compile_blocks(network, compute)
    return network, text


class _Learner:
    """The model, its optimizer and the rankings they learn from: what a step needs."""

    def __init__(
        self,
        config: RewardConfig,
        name: str,
        network: ScalarModel,
        pad_id: int,
        learnt: list[RankedIds],
        unseen: list[RankedIds],
        seed: int,
        compute: ComputeConfig,
    ):
        self.config, self.name, self.network, self.pad_id = config, name, network, pad_id
        self.learnt, self.unseen = learnt, unseen
        self.seed, self.token_budget = seed, compute.token_budget
        self.batch = min(config.batch, len(learnt))
        self.steps = steps_of(len(learnt), config.batch, config.epochs)
        # A look at what is held out computes it once forward: with few rankings to learn from, four take too long.
        self.looks = 4 if self.steps * self.batch >= 8 * len(unseen) else 2
        self.optimizer = Optimizer(network, config)
        self.state = TrainingState({"model": network}, {"model": self.optimizer})
        self.measured: dict[int, Metrics] = {}  # on ``unseen``, after so many steps

    def do_step(self, step: int) -> Metrics:
        """One optimizer step; from time to time, and at the end, also how the model does on held-out rankings."""
        sums, padding = {"tokens": 0.0}, Padding()
        scale = learning_rate_scale(self.config, step, self.steps)
        where = f"{self.name} step {step}"
        metrics = optimize(self.optimizer, self._losses(step, sums, padding), scale=scale, where=where)
        if self.unseen and (step + 1) * self.looks // self.steps > step * self.looks // self.steps:
            self.measured[step + 1] = self._measure()
            metrics |= self.measured[step + 1]
        return metrics | sums | {"padding": padding.share}

    def last_measured(self) -> Metrics:
        """How the trained model does on held-out rankings."""
        return self.measured.get(self.steps) or self._measure()  # a restart may find every step done

    def _measure(self) -> Metrics:
        return {f"heldout_{key}": value for key, value in measure(self.network, self.unseen, self.pad_id).items()}

    def _losses(self, step: int, sums: dict[str, float], padding: Padding) -> Iterator[Tensor]:
        """The losses of the micro-batches, each divided by the prompts of the whole batch."""
        taken = batch_at(step, count=len(self.learnt), batch=self.batch, seed=self.seed, key=self.name)
        batch = [self.learnt[i] for i in taken]
        correct = pairs = 0.0
        lengths = [one.length for one in batch]
        for group in group_by_length(range(len(batch)), lengths, self.token_budget):
            chosen = [batch[i] for i in sorted(group)]
            scores, ranks, mask, weights = ranking_scores(self.network, chosen, self.pad_id, padding)
            loss, _ = kwise_loss_per_prompt(scores, ranks, mask)
            hits, counted = kwise_accuracy(scores.detach(), ranks, mask)
            correct, pairs = correct + float(hits), pairs + float(counted)
            sums["tokens"] += sum(len(ids) for one in chosen for ids in one.ids)
            yield (loss * weights).sum() / len(batch)  # every ranking here has a strict pair
        sums["accuracy"] = correct / pairs


def _zero_merged(out: Path, text: Tokenizer, demonstrations: Path, compute: ComputeConfig) -> None:
    """Adapters merged into weights of 16 bits are rounded with them: the merged model has a zero of its own."""
    if compute.torch_dtype() == torch.float32:
        return
    merged = place(load_scalar_model(out), compute)
    zero_on_demonstrations(merged, text, demonstrations)
    save_model(merged, out, text)


def _saved_mean(out: Path, text: Tokenizer, demonstrations: Path, compute: ComputeConfig) -> float:
    """The mean score of demonstrations by the reward model as it lies in ``out``; one that is not 0 is an error."""
    mean = float(demonstration_scores(place(load_scalar_model(out), compute), text, demonstrations).mean())
    if not abs(mean) <= 1e-3:
        raise InputError(
            f"{out}: demonstrations score {mean:+.4f} on average after reloading, not 0; the save is not whole"
        )
    return mean


def _render_all(text: Tokenizer, rankings: list[Ranking], length: int) -> list[RankedIds]:
    """Rankings with at least one strict pair, as ids. A conversation too long is truncated by the renderer."""
    elements: dict[tuple[str, ...], RankedIds] = {}
    for one in rankings:
        if len(set(one.ranks)) == 1:
            continue
        key = (one.prompt_id, *(response.text for response in one.responses))
        if key not in elements:
            whole = render_replies(text, one.messages, [response.text for response in one.responses], length)
            cut = sum(rendered.truncated for rendered in whole)
            elements[key] = RankedIds([rendered.ids for rendered in whole], [], cut)
        elements[key].rankings.append(one.ranks)
    return list(elements.values())


def ranking_scores(
    model: ScalarModel, batch: Sequence[RankedIds], pad_id: int, padding: Padding | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores, ranks and mask, (R, K) each, and weights (R,), for the R rankings of P prompts.

    One forward pass a response, never one a pair or a labeler, and the prompt before them once; the weights of
    a prompt's rankings sum to 1.
    """
    flat = packed_scores(model, [one.ids for one in batch], pad_id, padding)
    width = max(len(one.ids) for one in batch)
    count = sum(len(one.rankings) for one in batch)
    places = torch.zeros(count, width, dtype=torch.int64)  # where each score lies in ``flat``
    ranks = torch.zeros(count, width, dtype=torch.int64)
    mask = torch.zeros(count, width, dtype=torch.bool)
    weights = torch.zeros(count)
    row = start = 0
    for one in batch:
        k = len(one.ids)
        for ranking in one.rankings:
            places[row, :k] = torch.arange(start, start + k)
            ranks[row, :k] = torch.tensor(ranking)
            mask[row, :k] = True
            weights[row] = 1 / len(one.rankings)
            row += 1
        start += k
    places, ranks, mask, weights = (tensor.to(flat.device) for tensor in (places, ranks, mask, weights))
    return flat[places].masked_fill(~mask, 0.0), ranks, mask, weights


@torch.no_grad()
def measure(model: ScalarModel, rankings: Sequence[RankedIds], pad_id: int) -> dict[str, float]:
    """Loss a prompt and the share of strict pairs that the model orders as the labelers did."""
    loss = correct = pairs = 0.0
    for group in group_by_length(range(len(rankings)), [one.length for one in rankings], TOKEN_BUDGET):
        scores, ranks, mask, weights = ranking_scores(model, [rankings[i] for i in group], pad_id)
        hits, counted = kwise_accuracy(scores, ranks, mask)
        loss += float((kwise_loss_per_prompt(scores, ranks, mask)[0] * weights).sum())
        correct, pairs = correct + float(hits), pairs + float(counted)
    return {"loss": loss / len(rankings), "accuracy": correct / pairs}


def longer_wins(rankings: Sequence[Ranking]) -> float:
    """The accuracy of the rule "the longer text is better" on the same strict pairs; equal lengths count half."""
    correct = pairs = 0.0
    for one in rankings:
        lengths = torch.tensor([[float(len(response.text)) for response in one.responses]])
        hits, counted = kwise_accuracy(lengths, torch.tensor([one.ranks]))
        correct, pairs = correct + float(hits), pairs + float(counted)
    return correct / pairs if pairs else math.nan


def demonstration_scores(model: ScalarModel, text: Tokenizer, demonstrations: Path) -> Tensor:
    """The scores of the demonstrations that set the zero, (N,): the same ones each time, drawn if there are many."""
    length = model.trunk.context
    records = read_jsonl(demonstrations, Demonstration)
    drawn = numpy_rng(0, "reward", "zero").permutation(len(records))[:ZERO_DEMONSTRATIONS]
    records = [records[i] for i in sorted(drawn)]
    whole = [ended(text, render(text, one.messages, length)).ids for one in records]
    return sequence_scores(model, whole, text.pad_id)


def zero_on_demonstrations(model: ScalarModel, text: Tokenizer, demonstrations: Path) -> float:
    """Shift the bias so that demonstrations score 0 on average (InstructGPT appendix C.2); gives the mean it had.

    A reward is only known up to a constant; this one makes "as good as a labeler" the zero of PPO's reward.
    """
    mean = float(demonstration_scores(model, text, demonstrations).double().mean())
    model.score.bias.data -= mean
    return mean
