"""What policy and critic minimise in PPO (Schulman et al. 2017, arXiv 1707.06347), and what is watched meanwhile."""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Stats = dict[str, Tensor]

# Without gradients, rows of logits are worked off in pieces of about this many numbers (4 MB in float32): the table of
# log-probabilities of a whole batch is never held.
CHUNK_NUMBERS = 1 << 20


def logprobs_of(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each target under softmax(logits / temperature).

    logits: (..., V), targets: (...) token ids; the result has the shape of targets and is at least float32.

    The temperature is the one the rollout sampled with: rollout, reference and update must all divide by it, or the
    ratio of PPO is not 1 before the first step. Greedy sampling (temperature 0) has no probabilities and is refused.

    logits[b, t] must be the prediction *of* targets[b, t]. Make that shift on the hidden states, before they are
    multiplied by the vocabulary: a slice of logits along time has to be copied here, a slice of hidden states is small.
    """
    if targets.shape != logits.shape[:-1]:
        raise ValueError(f"targets {tuple(targets.shape)} do not match logits {tuple(logits.shape)}")
    rows, flat = _rows(logits, temperature), targets.reshape(-1)
    if torch.is_grad_enabled() and logits.requires_grad:
        # One fused pass; autograd keeps one (rows, V) table of log-probabilities for the way back, nothing else.
        return -F.cross_entropy(_scaled(rows, temperature), flat, reduction="none").view(targets.shape)
    parts = [
        F.cross_entropy(_scaled(rows[piece], temperature), flat[piece], reduction="none") for piece in _pieces(rows)
    ]
    return -torch.cat(parts).view(targets.shape)


@torch.no_grad()
def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy in nats of softmax(logits / temperature): (..., V) -> (...).

    Something to watch, without a gradient: the recipe has no entropy bonus. Multiply by the mask before summing.
    """
    rows = _rows(logits, temperature)
    parts = []
    for piece in _pieces(rows):
        log_p = F.log_softmax(_scaled(rows[piece], temperature), dim=-1)
        p = log_p.exp()
        log_p.clamp_(min=torch.finfo(log_p.dtype).min)  # an impossible token adds 0 * ln 0 = 0, not NaN
        parts.append(-p.mul_(log_p).sum(-1))
    return torch.cat(parts).view(logits.shape[:-1])


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2
) -> tuple[Tensor, Stats]:
    """Clipped surrogate loss, sum over real tokens of max(-A r, -A clip(r, 1 - clip, 1 + clip)), r = exp(new - old).

    All arguments (B, T). Only logprobs receives a gradient. The ratio is never tamed: if it overflows, the loss is not
    finite and the training loop stops, as it should.

    Stats are detached scalars; divide the sums by the token count of the whole minibatch (see merge_stats):
      tokens           how many real tokens
      clipped          how many of them the clip decides (clipped loss above the other): / tokens = clip fraction
      approx_kl        sum of (r - 1) - ln r, the k3 estimator of KL(old || new): unbiased, and never negative
      approx_kl_k1     sum of -ln r, the plain estimator: unbiased, noisier, of either sign
      ratio            sum of r: / tokens should stay near 1
      ratio_max        the largest r (0 without tokens)
      log_ratio_max    the largest |ln r|: below 1e-4 while the weights are those that sampled
    """
    real = mask.bool()
    log_ratio = (logprobs - old_logprobs.detach()).masked_fill(~real, 0.0)  # r = 1 on padding ...
    advantages = advantages.detach().masked_fill(~real, 0.0)  # ... and A = 0, so that it adds 0
    ratio = torch.exp(log_ratio)
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
    loss = torch.maximum(plain, clipped).sum()
    with torch.no_grad():
        stats = {
            "tokens": real.sum(),
            "clipped": (clipped > plain).sum(),
            "approx_kl": (torch.expm1(log_ratio) - log_ratio).sum(),
            "approx_kl_k1": -log_ratio.sum(),
            "ratio": ratio.masked_fill(~real, 0.0).sum(),
            "ratio_max": ratio.masked_fill(~real, 0.0).max(),
            "log_ratio_max": log_ratio.abs().max(),
        }
    return loss, stats


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float = 0.2
) -> tuple[Tensor, Stats]:
    """Clipped squared error, sum over real tokens of 1/2 max((v - R)^2, (clip(v, old - clip, old + clip) - R)^2).

    All arguments (B, T). Only values receives a gradient. The clip is in units of the score; math.inf turns it off.
    From Ziegler et al.'s code (cliprange_value 0.2); the InstructGPT paper does not state it.

    Stats: tokens; value_clipped, how many tokens the clip decides; value_error, sum of (v - R)^2.
    """
    real = mask.bool()
    values = values.masked_fill(~real, 0.0)
    old_values = old_values.detach().masked_fill(~real, 0.0)
    returns = returns.detach().masked_fill(~real, 0.0)
    near = torch.clamp(values, old_values - clip, old_values + clip)
    plain = (values - returns).square()
    clipped = (near - returns).square()
    loss = 0.5 * torch.maximum(plain, clipped).sum()
    with torch.no_grad():
        stats = {"tokens": real.sum(), "value_clipped": (clipped > plain).sum(), "value_error": plain.sum()}
    return loss, stats


@torch.no_grad()
def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(R - v) / Var(R) over the real tokens, a scalar: 1 is a perfect critic, 0 no better than a constant.

    Returns that do not vary leave nothing to explain: that is given as 0, because a log cannot hold NaN. This is no
    sum: compute it on a whole rollout, not on micro-batches.
    """
    real = mask.bool()
    returns = returns[real].double()
    if returns.numel() == 0 or bool((returns == returns[0]).all()):
        return torch.zeros((), dtype=values.dtype, device=values.device)
    error = returns - values[real].double()
    return (1.0 - error.var(correction=0) / returns.var(correction=0)).to(values.dtype)


def merge_stats(parts: Iterable[Mapping[str, Tensor]]) -> Stats:
    """The stats of a minibatch from those of its micro-batches: `*_max` by maximum, everything else by sum."""
    merged: Stats = {}
    for part in parts:
        for name, value in part.items():
            if name not in merged:
                merged[name] = value
            elif name.endswith("_max"):
                merged[name] = torch.maximum(merged[name], value)
            else:
                merged[name] = merged[name] + value
    return merged


def _rows(logits: Tensor, temperature: float) -> Tensor:
    """Logits as a table (rows, V): a view wherever that is possible."""
    if not temperature > 0.0:
        raise ValueError(f"temperature {temperature} has no log-probabilities: it must be above 0")
    return logits.reshape(-1, logits.shape[-1])


def _pieces(rows: Tensor) -> list[slice]:
    """Slices of CHUNK_NUMBERS or less that cover the rows; at least one, so that no rows give an empty result."""
    size = max(1, CHUNK_NUMBERS // rows.shape[-1])
    return [slice(start, start + size) for start in range(0, max(1, len(rows)), size)]


def _scaled(rows: Tensor, temperature: float) -> Tensor:
    """Divided by the temperature, without a copy at 1; half precision becomes float32, too coarse for ratios near 1."""
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()
    return rows if temperature == 1.0 else rows / temperature
