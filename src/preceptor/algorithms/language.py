"""Losses and log-probabilities without the logits: next-token prediction, masked modelling, PPO.

Logits are the largest tensor of a small model (tokens x vocabulary) and autograd keeps them
twice. Here they live in one chunk at a time, which is turned into its own gradient in place.

Shapes: N tokens, D hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from preceptor.algorithms.policy import entropy, logprobs_of

_CHUNK_BYTES = 8 << 20  # logits of a chunk stay in the cache of one core or two ...
_FEWEST_ROWS = 128  # ... unless the vocabulary is large: each chunk reads all of its weights again
WHOLE_BYTES = 64 << 20  # more logits than this are never held at once


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        """The sum of the cross-entropies, in nats; both gradients are made on the way and kept."""
        exact = torch.float32 if hidden_ND.device.type == "mps" else torch.float64  # which that device does not have
        total = hidden_ND.new_zeros((), dtype=exact)
        grad_hidden = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None  # not of a frozen head
        for part in chunks(len(hidden_ND), len(weight_VD)):
            hidden, targets = hidden_ND[part], targets_N[part, None]
            logprobs = F.log_softmax(hidden @ weight_VD.t(), dim=-1, dtype=torch.float32)
            total -= logprobs.gather(1, targets).sum(dtype=exact)
            if grad_hidden is None and grad_weight is None:
                continue
            grad_logits = logprobs.exp_()  # softmax minus the one-hot target
            grad_logits.scatter_add_(1, targets, torch.full_like(targets, -1, dtype=grad_logits.dtype))
            grad_logits = grad_logits.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(grad_logits, weight_VD, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight.addmm_(grad_logits.t(), hidden)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total.float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return _times(grad_hidden, grads[0]), _times(grad_weight, grads[0]), None


def _times(tensor: Tensor | None, factor: Tensor) -> Tensor | None:
    return None if tensor is None else tensor * factor


def linear_cross_entropy(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Sum over N of -log softmax(hidden @ weight.T)[target], in nats; exact, not an approximation.

    ``hidden_ND`` holds only the positions that are trained: a position without a target
    costs nothing here.
    """
    if not torch.is_grad_enabled():  # autograd's Function would not notice, and make gradients for nobody
        hidden_ND, weight_VD = hidden_ND.detach(), weight_VD.detach()
    loss: Tensor = _LinearCrossEntropy.apply(hidden_ND, weight_VD, targets_N)
    return loss


class _LinearLogprobs(torch.autograd.Function):
    """Log-probabilities of targets, and the entropy around them.

    The gradient of a log-probability is that of its own logits alone. So where the head is frozen its direction in
    the hidden state is computed at once; where it is not, the way back computes the logits again.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """(N,) log-probabilities in nats, and (N,) entropies, which have no gradient."""
        chosen = hidden_ND.new_empty(len(hidden_ND), dtype=torch.float32)
        spread = torch.empty_like(chosen)
        frozen = ctx.needs_input_grad[0] and not ctx.needs_input_grad[1]
        directions_ND = torch.empty_like(hidden_ND) if frozen else None
        for part in chunks(len(hidden_ND), len(weight_VD)):
            logits = hidden_ND[part] @ weight_VD.t()
            chosen[part] = logprobs_of(logits, targets_N[part], temperature)
            spread[part] = entropy(logits, temperature)
            if directions_ND is not None:
                slopes = _slopes(logits, targets_N[part], temperature)
                torch.mm(slopes.to(weight_VD.dtype), weight_VD, out=directions_ND[part])
        ctx.save_for_backward(hidden_ND, weight_VD, targets_N, directions_ND)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(spread)
        return chosen, spread

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Of the hidden states (N, D), and of the head (V, D) where it is not frozen."""
        hidden_ND, weight_VD, targets_N, directions_ND = ctx.saved_tensors
        grad_N1 = grads[0][:, None]
        if directions_ND is not None:
            return directions_ND * grad_N1.to(directions_ND.dtype), None, None, None
        grad_hidden = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight_VD)
        for part in chunks(len(hidden_ND), len(weight_VD)):
            logits = hidden_ND[part] @ weight_VD.t()
            grad_logits = _slopes(logits, targets_N[part], ctx.temperature).mul_(grad_N1[part]).to(logits.dtype)
            if grad_hidden is not None:
                torch.mm(grad_logits, weight_VD, out=grad_hidden[part])
            grad_weight.addmm_(grad_logits.t(), hidden_ND[part])
        return grad_hidden, grad_weight, None, None


def _slopes(logits_NV: Tensor, targets_N: Tensor, temperature: float) -> Tensor:
    """d log-probability of the target / d logits: (one-hot - softmax) / temperature, float32."""
    slopes = torch.softmax(logits_NV.float() / temperature, dim=-1).neg_()
    slopes.scatter_add_(1, targets_N[:, None], torch.ones_like(targets_N[:, None], dtype=slopes.dtype))
    return slopes.div_(temperature)


def linear_logprobs(
    hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-probability (N,) of each target under softmax(hidden @ weight.T / temperature), and the entropy (N,).

    The entropy has no gradient. Up to ``WHOLE_BYTES`` of logits they are kept for the way back, which is quickest;
    above, only a chunk of them exists at any time.
    """
    if 4 * len(hidden_ND) * len(weight_VD) <= WHOLE_BYTES:
        logits = hidden_ND @ weight_VD.t()
        return logprobs_of(logits, targets_N, temperature), entropy(logits, temperature)
    found: tuple[Tensor, Tensor] = _LinearLogprobs.apply(hidden_ND, weight_VD, targets_N, temperature)
    return found


def chunks(count: int, vocabulary: int) -> list[slice]:
    """Slices of ``count`` tokens, with ``_CHUNK_BYTES`` of logits each, or ``_FEWEST_ROWS`` if those are more."""
    rows = max(_FEWEST_ROWS, _CHUNK_BYTES // (4 * vocabulary))
    return [slice(start, start + rows) for start in range(0, count, rows)]
