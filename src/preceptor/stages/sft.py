"""Stage: supervised fine-tuning on demonstrations, with the loss on the assistant's words alone."""

import math
from collections.abc import Iterator, Sequence
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
from preceptor.training.batches import Padding, batch_at, group_by_length, steps_of
from preceptor.training.corpus import next_token_loss, next_token_mask
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
        description="Which weights are kept. `best`: of those at the end of each epoch the ones that a given reward "
        "model (`--reward`) scores highest on held-out prompts; without one, or in a run, those of the lowest held-out "
        "loss.",
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

    ``reward`` is a reward model that chooses among the checkpoints (``sft_checkpoints.py``). The gradient is that of:
    mean loss over the trained tokens of the batch's demonstrations + pretrain_coef * mean loss over the tokens of its
    corpus rows. With ``lora`` only adapters over ``model`` are trained; ``out`` is the merged model all the same, and
    ``out/adapter`` has them alone.
    """
    network, text = open_language_model(model)
    place(network, compute).train()
    if lora.rank:
        network = fresh_adapters(network, lora, seed, "sft", dropout=True)
    network.gradient_checkpointing = config.gradient_checkpointing
    compile_blocks(network, compute)
    length = network.context
    records = read_jsonl(demonstrations, Demonstration)
    shares = {"train": 1 - config.heldout_share, "heldout": config.heldout_share}
    parts = split_by(records, lambda record: record.prompt_id, shares, seed)
    learnt, unseen = parts["train"], parts["heldout"]
    if not learnt:
        raise InputError(f"{demonstrations}: holds out every demonstration; lower sft.heldout_share")
    rendered = [render(text, record.messages, length) for record in learnt]
    unseen_rendered = [render(text, record.messages, length) for record in unseen]
    mix = config.pretrain_rows if corpus is not None and config.pretrain_coef > 0 else 0
    rows = read_corpus(corpus, text, length, seed=seed) if corpus is not None and mix else None
    steps = steps_of(len(rendered), config.batch, config.epochs)
    per_epoch = max(1, math.ceil(len(rendered) / config.batch))
    dropout = lora.rank > 0 and lora.dropout > 0
    trial = None
    if reward is not None and config.keep == "best":
        sampling = SamplingConfig(max_new_tokens=config.max_new_tokens, seed=seed)
        trial = Trial.read(reward, unseen[: config.reward_prompts], text, length, sampling, compute)
    optimizer = Optimizer(network, config)
    state = TrainingState({"model": network}, {"model": optimizer})

    def losses(step: int, sums: dict[str, float], padding: Padding) -> Iterator[Tensor]:
        taken = batch_at(step, count=len(rendered), batch=min(config.batch, len(rendered)), seed=seed, key="sft")
        batch = [rendered[i] for i in taken]
        trained = sum(sum(conversation.mask) for conversation in batch)
        names = [key_bits(seed, "sft", "dropout", step, place) for place in range(len(batch))] if dropout else None
        for loss in conversation_losses(network, batch, text.pad_id, compute.token_budget, padding, names):
            sums["demonstration_loss"] += float(loss.detach()) / trained
            yield loss / trained
        sums["tokens"] = sum(len(conversation.ids) for conversation in batch)
        if rows is not None:
            ids, segments = rows.take(batch_at(step, count=rows.rows, batch=mix, seed=seed, key="sft-corpus"))
            chosen = next_token_mask(segments)
            noise = token_noise(key_bits(seed, "sft-corpus", "dropout", step), ids.numel()) if dropout else None
            noise_BT = None if noise is None else noise.view_as(ids)
            loss = next_token_loss(network, ids, segments, chosen, noise_BT=noise_BT) / chosen.sum()
            sums["pretrain_loss"] = float(loss.detach())
            sums["tokens"] += ids.numel()
            yield config.pretrain_coef * loss

    def do_step(step: int) -> Metrics:
        sums, padding = {"demonstration_loss": 0.0}, Padding()
        scale = learning_rate_scale(config, step, steps)
        metrics = optimize(optimizer, losses(step, sums, padding), scale=scale, where=f"sft step {step}")
        if unseen_rendered and ((step + 1) % per_epoch == 0 or step + 1 == steps):
            metrics["heldout_loss"] = conversation_loss(network, unseen_rendered, text.pad_id, compute.token_budget)
            if trial is not None:
                metrics["heldout_reward"] = trial.score(network)
            if config.keep == "best":
                keep_if_best(state, network, step + 1, metrics)
        return metrics | sums | {"padding": padding.share}

    with progress.stage("sft", out) as stage:
        train(state, steps, do_step, checkpoint=out / CHECKPOINT, stage=stage)
        truncated = sum(conversation.truncated for conversation in rendered)
        if truncated:
            stage.note(
                f"{truncated} of {len(rendered)} conversations were longer than {length} tokens and were truncated"
            )
        best = state.values.get("best")
        if best is not None and best["step"] < steps:
            restore(state, network)
            stage.note(f"kept the weights of step {best['step']} of {steps}, the best of the checkpoints")
    save_model(network, out, text)
    if lora.rank:
        save_adapters(network, out / FOLDER, lora, model)
    (out / CHECKPOINT).unlink(missing_ok=True)
    summary: dict[str, Any] = {"steps": steps, "demonstrations": len(rendered), "truncated": truncated}
    if best is not None:  # provenance and report look for ``kept_step``
        summary |= {"kept_step": best["step"], "kept": best}
    if unseen_rendered:
        summary["heldout_loss"] = conversation_loss(network, unseen_rendered, text.pad_id, compute.token_budget)
    return summary


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
