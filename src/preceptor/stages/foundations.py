"""Stage: an LSTM, a causal and a masked transformer of one size, on the same tokens, measured beside each other.

rows of text -> three models, one loop -> loss by position, by length -> foundations.json
rows that repeat themselves -> an LSTM and a causal transformer, the same loop -> loss on copies -> foundations.json
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from preceptor.algorithms.language import linear_cross_entropy
from preceptor.errors import InputError
from preceptor.evaluation.context import (
    Network,
    copy_losses,
    loss_by_length,
    loss_by_position,
    next_token_losses,
)
from preceptor.evaluation.fill_in import choose_blank, fill_in
from preceptor.evaluation.speed import training_speeds
from preceptor.files import write_json
from preceptor.keyed import numpy_rng, torch_rng
from preceptor.models.attention_maps import attention_of
from preceptor.models.checkpoint import load_language_model, new_model, save_model
from preceptor.models.compute import COMPUTE, ComputeConfig, place
from preceptor.models.config import ModelConfig
from preceptor.models.lstm import LSTM, load_lstm, lstm_of_size, save_lstm
from preceptor.models.transformer import Transformer
from preceptor.stages import copying
from preceptor.stages.corpus import read_corpus
from preceptor.stages.pretrain import count, mask_tokens
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import batch_at
from preceptor.training.corpus import Corpus
from preceptor.training.loop import CHECKPOINT, Metrics, TrainingState, optimize, train
from preceptor.training.optimizer import Optimizer, OptimizerConfig, learning_rate_scale
from preceptor.training.progress import Progress

Name = Literal["lstm", "causal", "masked"]
NAMES: tuple[Name, ...] = ("lstm", "causal", "masked")
RESULTS = "foundations.json"


class FoundationsConfig(OptimizerConfig):
    """The ``[foundations]`` table: how the three models are trained and measured (only with `kind = "foundations"`)."""

    tokens: int = Field(1_500_000, ge=1, description="Tokens that each of the three models reads in training.")
    batch_rows: int = Field(16, ge=1, description="Rows of the context's length in one optimizer step.")
    masked_share: float = Field(0.15, gt=0, lt=1, description="Share of tokens hidden from the masked transformer.")
    copy_tokens: int = Field(4_000_000, ge=1, description="Tokens that each model of the copy test reads in training.")
    copy_batch_rows: int = Field(64, ge=1, description="Rows of 64 tokens in one optimizer step of the copy test.")
    copy_alphabet: int = Field(64, ge=2, description="How many tokens of the vocabulary copies are made of.")
    lstm_layers: int = Field(2, ge=1, description="Layers of the LSTM; its width follows from the transformer's size.")
    heldout_rows: int = Field(256, ge=2, description="Held-out rows, at most, that losses are measured on.")
    copies: int = Field(64, ge=2, description="Random segments for each distance of the copy test.")
    resamples: int = Field(1000, ge=10, description="Bootstrap draws for the intervals.")
    optimizer: Literal["adamw", "muon"] = Field(
        "muon", description="`muon` knows the matrices of transformers only, so the LSTM keeps AdamW in any case."
    )
    lr: float = Field(5e-3, gt=0, description="Peak learning rate of AdamW.")


def foundations(
    config: FoundationsConfig,
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
    """Train the three models into ``out/lstm``, ``out/causal`` and ``out/masked`` and write what they measure.

    A row is one sequence to all three, across the documents in it: that is what a window of text is to an LSTM.
    """
    text = Tokenizer.load(tokenizer)
    length = model.max_position_embeddings
    rows = _full_rows(read_corpus(corpus, text, length, seed=seed), corpus)
    unseen = _full_rows(read_corpus(heldout, text, length, seed=seed), heldout)[: config.heldout_rows]
    alphabet = _alphabet(config, text, seed)
    batch = min(config.batch_rows, len(rows))

    def of_text(step: int) -> Tensor:
        return rows[torch.as_tensor(batch_at(step, count=len(rows), batch=batch, seed=seed, key="foundations"))]

    def of_copies(step: int) -> Tensor:
        return copying.repeating_rows(config.copy_batch_rows, alphabet, _start(text), seed, step)

    trained = partial(_train, config, text=text, seed=seed, progress=progress)
    loaded = {}
    for name, network in new_networks(config, model, text, seed).items():
        place = out / name
        trained(name, _place(network, compute), of_text, config.tokens, out=place, title=f"foundations: {name}")
        loaded[name] = _place(_load(name, place), compute)
    copied = {}
    for name, network in new_networks(config, copying.SHAPE, text, seed).items():
        if name != "masked":  # it does not read on from what it has seen
            place, title = out / "copies" / name, f"foundations: copies, {name}"
            trained(name, _place(network, compute), of_copies, config.copy_tokens, out=place, title=title)
            copied[str(name)] = _place(_load(name, place), compute)
    with progress.stage("foundations", None) as stage:
        results = _measure(config, loaded, unseen, text, seed) | _copies(config, copied, alphabet, text, seed)
        stage.note("measured loss by position, by length and on copies")
    write_json(out / RESULTS, results)
    return {key: results[key] for key in ("parameters", "tokens", "tokens_per_second", "by_position", "copies")}


def new_networks(config: FoundationsConfig, model: ModelConfig, text: Tokenizer, seed: int) -> dict[Name, Network]:
    """The three models before training. The masked one starts from the same numbers as the causal one."""
    causal, masked = (
        new_model(model, text, causal=one, generator=torch_rng(seed, "foundations", "weights")) for one in (True, False)
    )
    for network in (causal, masked):
        network.gradient_checkpointing = config.gradient_checkpointing
    lstm = LSTM(lstm_of_size(count(causal), text.vocab_size, config.lstm_layers, model.max_position_embeddings))
    lstm.initialise(torch_rng(seed, "foundations", "lstm"))
    return {"lstm": lstm, "causal": causal, "masked": masked}


def _train(
    config: FoundationsConfig,
    name: Name,
    network: Network,
    batch_of: Callable[[int], Tensor],
    tokens: int,
    *,
    text: Tokenizer,
    out: Path,
    title: str,
    seed: int,
    progress: Progress,
) -> None:
    """The same batches in the same order for every model; what differs is which tokens are predicted."""
    if (out / "model.safetensors").exists() and not (out / CHECKPOINT).exists():
        return  # it was done before the stage was stopped
    size = batch_of(0).numel()
    steps = max(1, math.ceil(tokens / size))
    optimizer = Optimizer(network, config)
    state = TrainingState({"model": network}, {"model": optimizer})

    def losses(step: int) -> Iterator[Tensor]:
        yield _loss(config, name, network, batch_of(step), text, torch_rng(seed, "foundations", "mask", step))

    def do_step(step: int) -> Metrics:
        scale = learning_rate_scale(config, step, steps)
        metrics = optimize(optimizer, losses(step), scale=scale, where=f"foundations {name} step {step}")
        return metrics | {"tokens": size}

    with progress.stage(title, out) as stage:
        train(state, steps, do_step, checkpoint=out / CHECKPOINT, stage=stage)
    save_lstm(network, out, text) if isinstance(network, LSTM) else save_model(network, out, text)
    (out / CHECKPOINT).unlink(missing_ok=True)


def _loss(
    config: FoundationsConfig, name: str, network: Network, ids: Tensor, text: Tokenizer, generator: torch.Generator
) -> Tensor:
    """Mean cross-entropy in nats: of every next token, or of the hidden tokens alone."""
    targets, chosen = ids, torch.ones_like(ids, dtype=torch.bool)
    if name == "masked":
        ids, chosen = mask_tokens(ids, torch.ones_like(ids), config.masked_share, text, generator)
    else:
        # The last column predicts nothing.
        targets = F.pad(ids[:, 1:], (0, 1))
        chosen[:, -1] = False
    ids, targets, chosen = (tensor.to(network.device) for tensor in (ids, targets, chosen))
    hidden = network.hidden(ids, only_BT=chosen)
    return linear_cross_entropy(hidden, network.head.weight, targets[chosen]) / int(chosen.sum())


def _measure(
    config: FoundationsConfig,
    networks: dict[Name, Network],
    unseen: Tensor,
    text: Tokenizer,
    seed: int,
) -> dict[str, Any]:
    """What foundations.json says of the three models of text."""
    masked, causal = networks["masked"], networks["causal"]
    assert isinstance(masked, Transformer) and isinstance(causal, Transformer) and text.mask_id is not None
    trained: dict[str, Network] = {str(name): network for name, network in networks.items()}
    readers = {name: trained[name] for name in ("lstm", "causal")}
    length = unseen.shape[1]
    losses = {name: next_token_losses(network, unseen) for name, network in readers.items()}

    def step_loss(name: str, ids: Tensor) -> Tensor:
        return _loss(config, name, trained[name], ids, text, torch_rng(seed, "foundations", "speed"))

    blank = choose_blank(unseen, text)
    return {
        "parameters": {name: count(network) for name, network in networks.items()},
        "tokens": config.tokens,
        "context": length,
        "heldout_rows": len(unseen),
        "loss": {name: float(values.mean()) for name, values in losses.items()},
        "by_position": loss_by_position(losses, ("lstm", "causal"), seed, config.resamples),
        "by_length": loss_by_length(readers, masked, unseen, text.mask_id, seed, config.resamples),
        "tokens_per_second": training_speeds(list(networks), step_loss, unseen[: config.batch_rows]),
        "fill_in": fill_in(readers, masked, blank, text),
        "attention": {"causal": attention_of(causal, blank.ids, text), "masked": attention_of(masked, blank.ids, text)},
    }


def _copies(
    config: FoundationsConfig, copied: dict[str, Network], alphabet: list[int], text: Tokenizer, seed: int
) -> dict[str, Any]:
    """What foundations.json says of the copy test."""
    losses = copy_losses(
        copied, copying.tested_distances(), alphabet, _start(text), config.copies, seed, config.resamples
    )
    sizes = {name: count(network) for name, network in copied.items()}
    return {
        "copies": losses,
        "copy_alphabet": len(alphabet),
        "copy_parameters": sizes,
        "copy_tokens": config.copy_tokens,
    }


def _alphabet(config: FoundationsConfig, text: Tokenizer, seed: int) -> list[int]:
    ordinary = [token for token in range(text.vocab_size) if token not in text.special_ids]
    if config.copy_alphabet > len(ordinary):
        raise InputError(f"foundations.copy_alphabet {config.copy_alphabet}: the vocabulary has {len(ordinary)} tokens")
    drawn = numpy_rng(seed, "foundations", "alphabet").permutation(len(ordinary))[: config.copy_alphabet]
    return [ordinary[i] for i in drawn]


def _start(text: Tokenizer) -> int:
    return text.eos_id if text.bos_id is None else text.bos_id


def _full_rows(corpus: Corpus, path: Path) -> Tensor:
    """(N, T) ids of the rows without padding."""
    full = corpus.ids[(corpus.segments != 0).all(1)]
    if len(full) < 2:
        raise InputError(f"{path}: fills fewer than two rows of the context's length; give more text")
    return full


def _load(name: Name, directory: Path) -> Network:
    return load_lstm(directory) if name == "lstm" else load_language_model(directory)


def _place(network: Network, compute: ComputeConfig) -> Network:
    """On its device; a model this small stays in float32."""
    return network.to(compute.torch_device()) if isinstance(network, LSTM) else place(network, compute)
