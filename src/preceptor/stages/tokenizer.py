"""Stage: learn the byte-level BPE vocabulary from the corpus."""

from pathlib import Path
from typing import Any

from pydantic import Field

from preceptor.config import Config
from preceptor.feedback.schema import Document
from preceptor.files import directory_atomic, read_jsonl
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress


class TokenizerConfig(Config):
    """The ``[tokenizer]`` table."""

    vocab_size: int = Field(
        1536, ge=263, description="Size of the vocabulary, the 256 bytes and 7 special tokens included."
    )


def tokenizer(config: TokenizerConfig, *, corpus: Path, out: Path, seed: int, progress: Progress) -> dict[str, Any]:
    """Train a tokenizer on ``corpus`` (documents, one a line) and save it to the directory ``out``.

    Training is deterministic without a seed; ``seed`` is taken so that every stage is called alike.
    """
    documents = [document.text for document in read_jsonl(corpus, Document)]
    with progress.stage("tokenizer", None) as stage:
        trained = Tokenizer.train(documents, config.vocab_size)
        with directory_atomic(out) as partial:
            trained.save(partial)
        tokens = sum(len(ids) for ids in trained.encode_batch(documents))
        characters = sum(len(text) for text in documents)
        stage.note(f"{trained.vocab_size:,} tokens, {characters / tokens:.2f} characters a token")
    return {"vocab_size": trained.vocab_size, "corpus_tokens": tokens, "characters_per_token": characters / tokens}
