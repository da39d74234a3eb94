"""Perplexity on held-out documents: what alignment costs the language model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.corpus import Corpus, corpus_loss


def perplexities(
    models: Mapping[str, Transformer], tokenizer: Tokenizer, documents: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """``{"base": 4.1, "sft": 4.3, ..., "tokens": 31000}``: exp of the mean loss in nats a token.

    Documents are rendered and packed as in pretraining (``<|begin|>`` text ``<|end|>``), without attention
    across them. The models of one tokenizer and context length are measured on the same predictions.
    """
    length = min(model.context for model in models.values())
    corpus = Corpus.pack(documents, tokenizer, length, seed=seed)
    result: dict[str, Any] = {name: math.exp(corpus_loss(model, corpus)) for name, model in models.items()}
    return {**result, "tokens": corpus.tokens}
