"""Stage: supervised fine-tuning on demonstrations, with the loss on the assistant's words alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from preceptor.errors import InputError
from preceptor.feedback.hygiene import split_by
from preceptor.feedback.schema import Demonstration
from preceptor.files import read_jsonl
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import key_bits
from preceptor.models.checkpoint import open_language_model, save_model
from preceptor.models.compute import COMPUTE, ComputeConfig, compile_blocks, place
from preceptor.models.lora import NO_LORA, LoRAConfig, fresh_adapters
from preceptor.models.peft import FOLDER, save_adapters
from preceptor.models.transformer import Transformer
from preceptor.stages.corpus import read_corpus
from preceptor.stages.sft_checkpoints import Trial, keep_if_best
from preceptor.text.conversation import Rendered, render
from preceptor.text.packing import pack_conversations
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import Padding, batch_at, group_by_length, steps_of
from preceptor.training.corpus import Corpus, next_token_loss, next_token_mask
from preceptor.training.kept import restore
from preceptor.training.loop import CHECKPOINT, Metrics, TrainingState, optimize, train
from preceptor.training.optimizer import Optimizer, OptimizerConfig, learning_rate_scale
from preceptor.training.progress import Progress


class SFTConfig(OptimizerConfig):
    """The ``[sft]`` table."""

    epochs: float = Field(2.0, gt=0, description="Passes over the demonstrations.")
    batch: int = Field(24, ge=1, description="Demonstrations in one optimizer step.")
    pretrain_rows: int = Field(1, ge=0, description="Corpus rows mixed into each step, against forgetting; 0 for none.")
    pretrain_coef: float = Field(
        0.3, ge=0, description="Weight of the mean loss on those rows beside that on demonstrations."
    )
    heldout_share: float = Field(
        0.05, ge=0, lt=0.5, description="Share of prompts whose demonstrations only measure the loss."
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Which weights are kept. `best`: of those at the end of each epoch the ones that `reward` scores "
        "highest on held-out prompts; without one those of the lowest held-out loss.",
    )
    reward: Path | None = Field(
        None, description="A reward model, of an earlier run say, that chooses among the checkpoints."
    )
    reward_prompts: int = Field(
        128, ge=1, description="Held-out prompts whose responses a given reward model scores at each checkpoint."
    )
    max_new_tokens: int = Field(48, ge=1, description="Longest of these responses, in tokens.")
    optimizer: Literal["adamw", "muon"] = Field(
        "muon", description="`muon` orthogonalises the updates of the matrices inside the blocks; the rest stays AdamW."
    )
    lr: float = Field(3e-3, gt=0, description="Peak learning rate of AdamW.")
    muon_lr: float = Field(0.015, gt=0, description='Peak learning rate of Muon (only with `optimizer = "muon"`).')
    final_lr: float = Field(0.0, ge=0, le=1, description="Share of the peak learning rate left at the end (cosine).")


def sft(
    config: SFTConfig,
    *,
    model: Path,
    demonstrations: Path,
    corpus: Path | None,
    reward: Path | None = None,
    out: Path,
    seed: int,
    progress: Progress,
    lora: LoRAConfig = NO_LORA,
    compute: ComputeConfig = COMPUTE,
) -> dict[str, Any]:
    """Fine-tune the language model in ``model`` on a file of demonstrations and write it to ``out``.

    ``reward``, or else the one that the table names, chooses among the checkpoints (``sft_checkpoints.py``). The
    gradient is that of: mean loss over the trained tokens of the batch's demonstrations + pretrain_coef * mean loss
    over the tokens of its corpus rows. With ``lora`` only adapters over ``model`` are trained; ``out`` is the merged
    model all the same, and ``out/adapter`` has them alone.
    """
    network, text = open_language_model(model)
    place(network, compute).train()
    if lora.rank:
        network = fresh_adapters(network, lora, seed, "sft", dropout=True)
    network.gradient_checkpointing = config.gradient_checkpointing
    compile_blocks(network, compute)
    data = _Data.read(config, demonstrations, corpus, text, network.context, seed)
    trial, reward = None, reward or config.reward
    if reward is not None and config.keep == "best":
        sampling = SamplingConfig(max_new_tokens=config.max_new_tokens, seed=seed)
        asked = data.unseen_records[: config.reward_prompts]
        trial = Trial.read(reward, asked, text, network.context, sampling, compute)
    learner = _Learner(config, network, text.pad_id, data, trial, seed, lora, compute)
    steps = learner.steps

    with progress.stage("sft", out) as stage:
        train(learner.state, steps, learner.do_step, checkpoint=out / CHECKPOINT, stage=stage)
        if data.truncated:
            stage.note(
                f"{data.truncated} of {len(data.learnt)} conversations were longer than {network.context} tokens "
                "and were truncated"
            )
        best = learner.state.values.get("best")
        if best is not None and best["step"] < steps:
            restore(learner.state, network)
            stage.note(f"kept the weights of step {best['step']} of {steps}, the best of the checkpoints")
    save_model(network, out, text)
    if lora.rank:
        save_adapters(network, out / FOLDER, lora, model)
    (out / CHECKPOINT).unlink(missing_ok=True)
    summary: dict[str, Any] = {"steps": steps, "demonstrations": len(data.learnt), "truncated": data.truncated}
    if best is not None:  # provenance and report look for ``kept_step``
        summary |= {"kept_step": best["step"], "kept": best}
    if data.unseen:
        summary["heldout_loss"] = learner.heldout_loss()
    return summary


@dataclass(frozen=True)
class _Data:
    """The demonstrations that train and those that only measure, rendered, and the corpus that is mixed in."""

    learnt: list[Rendered]
    unseen: list[Rendered]
    unseen_records: list[Demonstration]  # what ``unseen`` is rendered from
    corpus: Corpus | None

    @classmethod
    def read(
        cls, config: SFTConfig, demonstrations: Path, corpus: Path | None, text: Tokenizer, length: int, seed: int
    ) -> "_Data":
        """Split by prompt, so that no prompt is on both sides, and render to ``length`` tokens at most."""
        records = read_jsonl(demonstrations, Demonstration)
        shares = {"train": 1 - config.heldout_share, "heldout": config.heldout_share}
        parts = split_by(records, lambda record: record.prompt_id, shares, seed)
        if not parts["train"]:
            raise InputError(f"{demonstrations}: holds out every demonstration; lower sft.heldout_share")
        learnt, unseen = ([render(text, one.messages, length) for one in parts[part]] for part in ("train", "heldout"))
        rows = None
        if corpus is not None and config.pretrain_rows and config.pretrain_coef > 0:
            rows = read_corpus(corpus, text, length, seed=seed)
        return cls(learnt, unseen, parts["heldout"], rows)

    @property
    def truncated(self) -> int:
        """How many of the conversations that train were too long."""
        return sum(conversation.truncated for conversation in self.learnt)


class _Learner:
    """The model, its optimizer and what they learn from: what a step needs."""

    def __init__(
        self,
        config: SFTConfig,
        network: Transformer,
        pad_id: int,
        data: _Data,
        trial: Trial | None,
        seed: int,
        lora: LoRAConfig,
        compute: ComputeConfig,
    ):
        self.config, self.network, self.pad_id, self.data, self.trial = config, network, pad_id, data, trial
        self.seed, self.token_budget = seed, compute.token_budget
        self.dropout = lora.rank > 0 and lora.dropout > 0
        self.batch = min(config.batch, len(data.learnt))
        self.steps = steps_of(len(data.learnt), config.batch, config.epochs)
        self.per_epoch = max(1, math.ceil(len(data.learnt) / config.batch))
        self.optimizer = Optimizer(network, config)
        self.state = TrainingState({"model": network}, {"model": self.optimizer})

    def do_step(self, step: int) -> Metrics:
        """One optimizer step; at the end of an epoch also how good the weights are now, and whether they are kept."""
        sums, padding = {"demonstration_loss": 0.0}, Padding()
        scale = learning_rate_scale(self.config, step, self.steps)
        metrics = optimize(self.optimizer, self._losses(step, sums, padding), scale=scale, where=f"sft step {step}")
        if self.data.unseen and ((step + 1) % self.per_epoch == 0 or step + 1 == self.steps):
            metrics["heldout_loss"] = self.heldout_loss()
            if self.trial is not None:
                metrics["heldout_reward"] = self.trial.score(self.network)
            if self.config.keep == "best":
                keep_if_best(self.state, self.network, step + 1, metrics)
        return metrics | sums | {"padding": padding.share}

    def heldout_loss(self) -> float:
        """Mean loss on the demonstrations that only measure, nats per token."""
        return conversation_loss(self.network, self.data.unseen, self.pad_id, self.token_budget)

    def _losses(self, step: int, sums: dict[str, float], padding: Padding) -> Iterator[Tensor]:
        """The losses of the micro-batches, each divided by the tokens of the whole batch; ``sums`` gets their parts."""
        taken = batch_at(step, count=len(self.data.learnt), batch=self.batch, seed=self.seed, key="sft")
        batch = [self.data.learnt[i] for i in taken]
        trained = sum(sum(conversation.mask) for conversation in batch)
        names = [key_bits(self.seed, "sft", "dropout", step, i) for i in range(len(batch))] if self.dropout else None
        for loss in conversation_losses(self.network, batch, self.pad_id, self.token_budget, padding, names):
            sums["demonstration_loss"] += float(loss.detach()) / trained
            yield loss / trained
        sums["tokens"] = sum(len(conversation.ids) for conversation in batch)
        if self.data.corpus is not None:
            loss, tokens = self._corpus_loss(self.data.corpus, step)
            sums["pretrain_loss"] = float(loss.detach())
            sums["tokens"] += tokens
            yield self.config.pretrain_coef * loss

    def _corpus_loss(self, corpus: Corpus, step: int) -> tuple[Tensor, int]:
        """Mean loss over the rows that are mixed into a step, and how many tokens these are."""
        rows = batch_at(step, count=corpus.rows, batch=self.config.pretrain_rows, seed=self.seed, key="sft-corpus")
        ids, segments = corpus.take(rows)
        chosen = next_token_mask(segments)
        noise_BT = None
        if self.dropout:
            noise_BT = token_noise(key_bits(self.seed, "sft-corpus", "dropout", step), ids.numel()).view_as(ids)
        loss = next_token_loss(self.network, ids, segments, chosen, noise_BT=noise_BT) / chosen.sum()
        return loss, ids.numel()


def conversation_losses(
    model: Transformer,
    batch: Sequence[Rendered],
    pad_id: int,
    token_budget: int,
    padding: Padding | None = None,
    names: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Sums of the loss over the trained tokens, one a micro-batch: conversations of similar length, packed.

    The share of padding goes into ``padding``. ``names``, one a conversation, name the draws of the adapters' dropout;
    without them there is none.
    """
    lengths = [len(conversation.ids) for conversation in batch]
    for group in group_by_length(range(len(batch)), lengths, token_budget):
        members = sorted(group)
        packed = pack_conversations([batch[i] for i in members], lengths[group[0]], pad_id)
        ids, segments = torch.from_numpy(packed.ids).long(), torch.from_numpy(packed.segments).long()
        if padding is not None:
            padding.count(segments)
        noise = None
        if names is not None:
            noise = torch.zeros_like(ids)
            for row, inside in enumerate(packed.rows):
                drawn = torch.cat([token_noise(names[members[i]], lengths[members[i]]) for i in inside])
                noise[row, : len(drawn)] = drawn
        target = torch.from_numpy(packed.mask)[:, 1:] & next_token_mask(segments)
        yield next_token_loss(model, ids, segments, target, noise_BT=noise)


def token_noise(name: int, count: int) -> Tensor:
    """A number (count,) int64 for each token of a sequence, which names its draw of the dropout."""
    return name % 2**48 + torch.arange(count)


@torch.no_grad()
def conversation_loss(model: Transformer, batch: Sequence[Rendered], pad_id: int, token_budget: int) -> float:
    """Mean loss over the trained tokens of conversations, nats per token."""
    trained = sum(sum(conversation.mask) for conversation in batch)
    return sum(float(loss) for loss in conversation_losses(model, batch, pad_id, token_budget)) / trained
