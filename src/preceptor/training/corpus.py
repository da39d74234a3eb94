"""Packed rows of the corpus and the loss on them: for pretraining, for the mix in SFT, and for PPO-ptx."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from preceptor.algorithms.language import linear_cross_entropy
from preceptor.errors import InputError
from preceptor.keyed import numpy_rng
from preceptor.models.transformer import Transformer
from preceptor.text.packing import pack_documents
from preceptor.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Corpus:
    """Documents end to end in rows of the context's length, each between bos (if the vocabulary has one) and eos."""

    ids: Tensor  # (N, T) int64
    segments: Tensor  # (N, T) int64; 0 is padding

    @classmethod
    def pack(cls, texts: Sequence[str], tokenizer: Tokenizer, length: int, *, seed: int) -> "Corpus":
        """Encode and pack documents, in an order drawn from the seed."""
        order = numpy_rng(seed, "corpus", "order").permutation(len(texts))
        encoded = tokenizer.encode_batch([texts[i] for i in order])
        ids, segments = pack_documents(
            [tokenizer.document(text) for text in encoded if text],
            length,
            bos_id=tokenizer.bos_id,
            pad_id=tokenizer.pad_id,
        )
        # The last row may hold a single token, which predicts nothing: no batch may consist of it.
        useful = next_token_mask(torch.from_numpy(segments)).any(1).numpy()
        ids, segments = ids[useful].astype(np.int64), segments[useful].astype(np.int64)
        corpus = cls(torch.from_numpy(ids), torch.from_numpy(segments))
        if not corpus.tokens:
            raise InputError("the corpus holds no text to learn from; its documents are empty")
        return corpus

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.ids.shape[0]

    @property
    def tokens(self) -> int:
        """How many tokens are predicted in one pass over all rows."""
        return int(next_token_mask(self.segments).sum())

    def take(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Ids and segments of some rows, (B, T) each."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        return self.ids[index], self.segments[index]


def next_token_mask(segments_BT: Tensor) -> Tensor:
    """(B, T - 1) bool: position t has a next token t + 1 in the same segment."""
    return (segments_BT[:, 1:] == segments_BT[:, :-1]) & (segments_BT[:, 1:] != 0)


def next_token_loss(
    model: Transformer,
    ids_BT: Tensor,
    segments_BT: Tensor,
    target_BT: Tensor,
    *,
    isolate: bool = True,
    noise_BT: Tensor | None = None,
) -> Tensor:
    """Sum of the cross-entropy in nats over the positions t with ``target_BT[:, t]``, each predicting token t + 1.

    ``target_BT`` is (B, T - 1). The arguments may lie on another device than the model. With ``isolate`` a token sees
    its own segment only; without, the whole row before it, as GPT-2 and GPT-3 were trained. ``noise_BT``: see
    :meth:`Transformer.hidden`.
    """
    ids_BT, segments_BT, target_BT = (tensor.to(model.device) for tensor in (ids_BT, segments_BT, target_BT))
    noise_BT = None if noise_BT is None else noise_BT.to(model.device)
    # The last column predicts nothing; it is computed because attention likes round lengths far better.
    only = F.pad(target_BT, (0, 1))
    hidden = model.hidden(ids_BT, segments_BT if isolate else None, only_BT=only, noise_BT=noise_BT)
    return linear_cross_entropy(hidden, model.head.weight, ids_BT[:, 1:][target_BT])


@torch.no_grad()
def corpus_loss(model: Transformer, corpus: Corpus, *, isolate: bool = True, batch: int = 32) -> float:
    """Mean next-token loss over a corpus, in nats per token; ``exp`` of it is the perplexity."""
    total = 0.0
    for start in range(0, corpus.rows, batch):
        ids, segments = corpus.take(range(start, min(start + batch, corpus.rows)))
        total += float(next_token_loss(model, ids, segments, next_token_mask(segments), isolate=isolate))
    return total / corpus.tokens
