"""What the model itself held likely, where a response asks for it: temperature 1, nothing cut.

Shapes: S rows, A of them asked, V vocabulary, K alternatives.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Likely(NamedTuple):
    """Log-probabilities in nats where one token was drawn."""

    logprob: float  # of the token that was drawn
    top: list[tuple[int, float]]  # the likeliest tokens and theirs, the likeliest first


class LikelyTokens:
    """The model's log-probabilities for one step. Made before the draw, which may overwrite the logits."""

    def __init__(self, logits_SV: Tensor, slots: Sequence[int], counts: Sequence[int]) -> None:
        """``slots`` are the rows that ask, ``counts`` how many alternatives each of them wants."""
        self._slots, self._counts = list(slots), counts
        self._logprobs_AV = logits_SV[self._slots].float().log_softmax(dim=-1)
        most = min(max(counts), self._logprobs_AV.shape[1])
        self._top_AK = self._logprobs_AV.topk(most, dim=-1)

    def of(self, tokens_S: Tensor) -> list[Likely]:
        """One for each slot that asks, in their order, once the tokens are drawn."""
        own_A = self._logprobs_AV.gather(1, tokens_S[self._slots][:, None])[:, 0].tolist()
        ids_AK, values_AK = self._top_AK.indices.tolist(), self._top_AK.values.tolist()
        return [
            Likely(own, list(zip(ids[:count], values[:count], strict=True)))
            for own, ids, values, count in zip(own_A, ids_AK, values_AK, self._counts, strict=True)
        ]
