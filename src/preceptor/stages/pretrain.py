"""Stage: pretraining, by next-token prediction or by masked language modelling."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from preceptor.algorithms.language import linear_cross_entropy
from preceptor.errors import InputError
from preceptor.keyed import torch_rng
from preceptor.models.checkpoint import new_model, save_model
from preceptor.models.compute import COMPUTE, ComputeConfig, compile_blocks, place
from preceptor.models.config import ModelConfig
from preceptor.models.transformer import Transformer
from preceptor.stages.corpus import read_corpus
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import batch_at
from preceptor.training.corpus import corpus_loss, next_token_loss, next_token_mask
from preceptor.training.loop import CHECKPOINT, Metrics, TrainingState, optimize, train
from preceptor.training.optimizer import Optimizer, OptimizerConfig, learning_rate_scale
from preceptor.training.progress import Progress


class PretrainConfig(OptimizerConfig):
    """The ``[pretrain]`` table."""

    objective: Literal["causal", "masked"] = Field(
        "causal",
        description="`causal`: predict the next token (GPT). `masked`: predict hidden tokens from both sides (BERT).",
    )
    tokens: int = Field(
        2_400_000, ge=1, description="Tokens to train on; the corpus is repeated as often as that takes."
    )
    batch_rows: int = Field(16, ge=1, description="Rows of the context's length in one optimizer step.")
    micro_rows: int = Field(16, ge=1, description="Rows in one forward pass; changes memory and speed, not the result.")
    isolate_documents: bool = Field(
        True, description="Tokens see their own document only, not the one packed before it."
    )
    masked_share: float = Field(0.15, gt=0, lt=1, description="Share of tokens hidden by the masked objective.")
    evaluations: int = Field(10, ge=1, description="How often the held-out loss is measured.")
    optimizer: Literal["adamw", "muon"] = Field(
        "muon", description="`muon` learns clearly faster at equal tokens in pretraining; `adamw` is the classic."
    )
    lr: float = Field(5e-3, gt=0, description="Peak learning rate of AdamW.")
    final_lr: float = Field(0.0, ge=0, le=1, description="Share of the peak learning rate left at the end (cosine).")


def pretrain(
    config: PretrainConfig,
    *,
    model: ModelConfig,
    corpus: Path,
    heldout: Path,
    tokenizer: Path,
    out: Path,
    seed: int,
    progress: Progress,
    compute: ComputeConfig = COMPUTE,
) -> dict[str, Any]:
    """Train a new model on the documents of ``corpus`` and write it to ``out``."""
    text = Tokenizer.load(tokenizer)
    causal = config.objective == "causal"
    network = new_model(model, text, causal=causal, generator=torch_rng(seed, "pretrain", "weights"))
    network.gradient_checkpointing = config.gradient_checkpointing
    place(network, compute)
    compile_blocks(network, compute)
    length = model.max_position_embeddings
    rows = read_corpus(corpus, text, length, seed=seed)
    unseen = read_corpus(heldout, text, length, seed=seed)
    batch = min(config.batch_rows, rows.rows)
    steps = max(1, math.ceil(config.tokens / (batch * length)))
    optimizer = Optimizer(network, config)
    state = TrainingState({"model": network}, {"model": optimizer})
    every = max(1, steps // config.evaluations)

    def batch_losses(step: int, counted: list[int]) -> Iterator[Tensor]:
        targets, segments = rows.take(batch_at(step, count=rows.rows, batch=batch, seed=seed, key="pretrain"))
        ids, chosen, loss_of = _exercise(config, text, targets, segments, seed, step)
        counted[0] = total = int(chosen.sum())
        for at in range(0, batch, config.micro_rows):
            part = slice(at, at + config.micro_rows)
            yield loss_of(network, ids[part], segments[part], chosen[part], targets[part]) / total

    def do_step(step: int) -> Metrics:
        counted = [0]
        scale = learning_rate_scale(config, step, steps)
        metrics = optimize(optimizer, batch_losses(step, counted), scale=scale, where=f"pretrain step {step}")
        if causal and ((step + 1) % every == 0 or step + 1 == steps):
            metrics["heldout_loss"] = corpus_loss(network, unseen, isolate=config.isolate_documents)
        return metrics | {"tokens": counted[0] if causal else batch * length}

    with progress.stage("pretrain", out) as stage:
        train(state, steps, do_step, checkpoint=out / CHECKPOINT, stage=stage)
    save_model(network, out, text)
    (out / CHECKPOINT).unlink(missing_ok=True)
    summary: dict[str, Any] = {
        "steps": steps,
        "tokens": steps * batch * length,
        "corpus_rows": rows.rows,
        "parameters": count(network),
    }
    if causal:
        summary["heldout_perplexity"] = math.exp(corpus_loss(network, unseen, isolate=config.isolate_documents))
    return summary


def count(model: torch.nn.Module) -> int:
    """Parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


_Loss = Callable[[Transformer, Tensor, Tensor, Tensor, Tensor], Tensor]


def _exercise(
    config: PretrainConfig, text: Tokenizer, ids_BT: Tensor, segments_BT: Tensor, seed: int, step: int
) -> tuple[Tensor, Tensor, _Loss]:
    """What the model reads, (B, T); what it has to predict there; and the loss of that.

    What is to be predicted is (B, T - 1) for the causal objective, where position t predicts token t + 1, and (B, T)
    for the masked one.
    """
    if config.objective == "causal":
        return ids_BT, next_token_mask(segments_BT), _causal(config)
    generator = torch_rng(seed, "pretrain", "mask", step)
    hidden, chosen = mask_tokens(ids_BT, segments_BT, config.masked_share, text, generator)
    return hidden, chosen, _masked


def _causal(config: PretrainConfig) -> _Loss:
    def loss(model: Transformer, ids: Tensor, segments: Tensor, chosen: Tensor, targets: Tensor) -> Tensor:
        return next_token_loss(model, ids, segments, chosen, isolate=config.isolate_documents)

    return loss


def _masked(model: Transformer, ids: Tensor, segments: Tensor, chosen: Tensor, targets: Tensor) -> Tensor:
    ids, segments, chosen, targets = (tensor.to(model.device) for tensor in (ids, segments, chosen, targets))
    hidden = model.hidden(ids, segments)
    return linear_cross_entropy(hidden[chosen], model.head.weight, targets[chosen])


def mask_tokens(
    ids_BT: Tensor, segments_BT: Tensor, share: float, tokenizer: Tokenizer, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hide tokens as BERT does (arXiv 1810.04805, 3.1): the changed ids and which positions are to be predicted.

    Of the chosen share, 80 % become the mask token, 10 % a random token, 10 % stay. Special tokens
    are never chosen; if chance chose nothing at all, the first ordinary token is taken, so that
    no batch is without a trained token.
    """
    if tokenizer.mask_id is None:
        raise InputError("the tokenizer has no mask_token to hide tokens with; pretrain with objective = 'causal'")
    is_special_V = torch.zeros(tokenizer.vocab_size, dtype=torch.bool)
    is_special_V[list(tokenizer.special_ids)] = True
    words = (~is_special_V).nonzero()[:, 0]
    ordinary = (segments_BT != 0) & ~is_special_V[ids_BT]
    chosen = ordinary & (torch.rand(ids_BT.shape, generator=generator) < share)
    if not chosen.any() and ordinary.any():
        chosen.view(-1)[ordinary.view(-1).nonzero()[0]] = True
    fate = torch.rand(ids_BT.shape, generator=generator)
    random_ids = words[torch.randint(len(words), ids_BT.shape, generator=generator)]
    hidden = torch.where(chosen & (fate < 0.8), tokenizer.mask_id, ids_BT)
    return torch.where(chosen & (fate >= 0.9), random_ids, hidden), chosen
