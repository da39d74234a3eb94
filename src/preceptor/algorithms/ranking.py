"""The reward model's loss on whole rankings (InstructGPT section 3.5, equation 1).

All K responses of a prompt are scored once, K forward passes, and every pair of them is compared here. Taken as
separate examples the pairs of one prompt are so alike that one epoch overfits; together they are one batch element.

scores: (..., K) one score a response. ranks: (..., K), 1 is best, equal ranks are a tie; only their order counts.
mask: (..., K), which of the K places hold a response, for prompts with fewer than K; None means all of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def kwise_loss_per_prompt(scores: Tensor, ranks: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Each prompt's mean over its strict pairs of -ln sigmoid(s_better - s_worse), and how many pairs: (...,) both.

    The paper does not say what a tie does. Here ties drop out and the mean is over the pairs that remain, so a prompt
    weighs the same however many ties it has. A prompt with nothing but ties has loss 0 and 0 pairs.
    """
    scores, better = _strict_pairs(scores, ranks, mask)  # (..., K), (..., K, K)
    margins = scores[..., :, None] - scores[..., None, :]  # [i, j] = s_i - s_j
    losses = F.softplus(-margins).masked_fill(~better, 0.0)  # softplus(-x) = -ln sigmoid(x)
    pairs = better.sum((-2, -1))
    return losses.sum((-2, -1)) / pairs.clamp(min=1), pairs


def kwise_loss(scores: Tensor, ranks: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum over prompts of each one's mean pair loss, and the number of prompts with at least one strict pair.

    scores, ranks, mask: (B, K), or (K,) for one prompt. Divide the sum by the number over the whole batch.
    """
    losses, pairs = kwise_loss_per_prompt(scores, ranks, mask)
    return losses.sum(), (pairs > 0).sum()


@torch.no_grad()
def kwise_accuracy_per_prompt(scores: Tensor, ranks: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How many of each prompt's strict pairs the scores order alike, and how many there are: (...,) both.

    Equal scores on a strict pair count half, so that a model that says the same of everything is right half the time.
    """
    scores, better = _strict_pairs(scores, ranks, mask)
    margins = scores[..., :, None] - scores[..., None, :]
    right = (margins > 0).to(scores.dtype) + 0.5 * (margins == 0).to(scores.dtype)
    return right.masked_fill(~better, 0.0).sum((-2, -1)), better.sum((-2, -1))


def kwise_accuracy(scores: Tensor, ranks: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Correct strict pairs and strict pairs over the whole batch, two scalars; their quotient is the RM's accuracy."""
    correct, pairs = kwise_accuracy_per_prompt(scores, ranks, mask)
    return correct.sum(), pairs.sum()


def _strict_pairs(scores: Tensor, ranks: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scores with 0 on the empty places, and better[..., i, j]: both are there and i is ranked above j."""
    better = ranks[..., :, None] < ranks[..., None, :]
    if mask is None:
        return scores, better
    real = mask.bool()
    return scores.masked_fill(~real, 0.0), better & real[..., :, None] & real[..., None, :]
