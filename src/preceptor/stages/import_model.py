"""Stage: take a pretrained model in, in place of learning a vocabulary and pretraining."""

from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.files import directory_atomic
from preceptor.models.checkpoint import open_language_model, save_model
from preceptor.models.config import ModelConfig
from preceptor.models.sources import find_model, revision_of
from preceptor.training.progress import Progress


def import_model(config: ModelConfig, *, out: Path, seed: int, progress: Progress) -> dict[str, Any]:
    """Write the model that ``config.start`` names to ``out``: a Hugging Face directory in float32, tokenizer included.

    Tokens that the tokenizer had to be given get rows of embedding and head. Nothing is written if the model cannot be
    taken. ``seed`` is taken so that every stage is called alike: nothing is drawn.
    """
    if config.start is None:
        raise InputError("model.start names no model; give a directory, a GGUF file or a hub id like owner/name")
    with progress.stage("import", None) as stage:
        directory = find_model(config.start)
        model, tokenizer = open_language_model(directory)
        if not model.config.causal:
            raise InputError(f"{config.start}: attends in both directions, so it cannot write; name a causal model")
        with directory_atomic(out) as partial:
            save_model(model, partial, tokenizer)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        added = list(tokenizer.added)
        rows = f", {len(added)} tokens added ({' '.join(added)})" if added else ""
        stage.note(f"{config.start}: {model.config.family}, {parameters:,} parameters{rows}")
    return {
        "source": str(config.start),
        "revision": revision_of(directory),
        "family": model.config.family,
        "parameters": parameters,
        "context": model.config.max_position_embeddings,
        "vocab_size": model.config.vocab_size,
        "added_tokens": added,
        "chat_template": "own" if tokenizer.has_own_template else "ours",
    }
