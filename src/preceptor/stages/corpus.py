"""A file of documents as the packed rows that pretraining, SFT's mix and PPO-ptx learn from."""

from pathlib import Path

from preceptor.feedback.schema import Document
from preceptor.files import read_jsonl
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.corpus import Corpus


def read_corpus(path: Path, tokenizer: Tokenizer, length: int, *, seed: int) -> Corpus:
    """Read, encode and pack ``path`` in rows of ``length`` tokens, in an order drawn from the seed."""
    return Corpus.pack([document.text for document in read_jsonl(path, Document)], tokenizer, length, seed=seed)
