"""A scorer from any classifier of texts in Hugging Face's format: the probability of one of its labels, by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from preceptor.errors import InputError
from preceptor.files import read_json
from preceptor.models.sources import find_model
from preceptor.models.weights import digest

BATCH = 32


@dataclass(frozen=True)
class Classifier:
    """A sequence classifier. ``independent``: its labels may all be true at once, so each is a sigmoid of its own."""

    name: str
    model: Any
    tokenizer: Any
    label: int
    independent: bool
    length: int  # tokens that it can read at once

    @torch.inference_mode()
    def scores(self, texts: Sequence[str]) -> list[float]:
        """The label's probability. What is too long to be read at once is read in parts, and the worst part counts."""
        found: list[float] = []
        for start in range(0, len(texts), BATCH):
            batch = self.tokenizer(
                list(texts[start : start + BATCH]),
                truncation=True,
                max_length=self.length,
                return_overflowing_tokens=True,
                padding=True,
                return_tensors="pt",
            )
            owners = batch.pop("overflow_to_sample_mapping")
            logits = self.model(**batch).logits.float()
            probabilities = logits.sigmoid() if self.independent else logits.softmax(-1)
            for text in range(int(owners.max()) + 1):
                found.append(float(probabilities[owners == text, self.label].max()))
        return found


def load_classifier(text: str) -> Classifier:
    """The classifier of ``LABEL=MODEL``; MODEL is a directory or a hub id, its weights safetensors.

    Raises InputError if the text is not of that form, the model has no such label, or transformers is missing.
    """
    label, equals, model = text.partition("=")
    if not equals or not label or not model:
        raise InputError(
            f"--rtp-scorer {text}: no such scorer; take profanity, perspective, or LABEL=MODEL of a classifier"
        )
    try:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError:
        raise InputError("a classifier needs transformers; pip install 'preceptor[evaluation]'") from None
    directory = find_model(model)
    index = _index(directory, label)
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        network = AutoModelForSequenceClassification.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{model}: cannot be loaded as a classifier of texts: {reason}") from None
    config = network.config
    if not tokenizer.is_fast:
        raise InputError(f"{model}: has no tokenizer.json; save it with a fast tokenizer")
    positions = getattr(config, "max_position_embeddings", None) or 512
    if config.model_type in ("roberta", "xlm-roberta"):
        positions -= 2  # RoBERTa's positions begin behind its padding id
    return Classifier(
        name=f"{label} of {model} ({digest(directory)[:12]})",  # what other weights said is not taken for its word
        model=network.eval(),
        tokenizer=tokenizer,
        label=index,
        independent=config.num_labels == 1 or config.problem_type == "multi_label_classification",
        length=min(tokenizer.model_max_length, positions),
    )


def _index(directory: Path, label: str) -> int:
    """Where the label of that name stands, whatever its case."""
    names = read_json(directory / "config.json").get("id2label") or {}
    for index, name in names.items():
        if str(name).lower() == label.lower():
            return int(index)
    known = ", ".join(str(name) for name in names.values()) or "none"
    raise InputError(f"{directory}: has no label {label}; take one of those it has: {known}")
