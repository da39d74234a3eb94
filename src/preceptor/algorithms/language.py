"""The language-model loss without the logits: next-token prediction and masked modelling.

Logits are the largest tensor of a small model (tokens x vocabulary) and autograd keeps them
twice. Here they live in one chunk at a time, which is turned into its own gradient in place.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK_BYTES = 8 << 20  # logits of a chunk stay in the cache of one core or two


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        rows = max(64, _CHUNK_BYTES // (4 * weight_VD.shape[0]))
        wants_grad = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        total = hidden_ND.new_zeros((), dtype=torch.float64)
        grad_hidden = torch.empty_like(hidden_ND) if wants_grad else None
        grad_weight = torch.zeros_like(weight_VD) if wants_grad else None
        for start in range(0, hidden_ND.shape[0], rows):
            hidden, targets = hidden_ND[start : start + rows], targets_N[start : start + rows, None]
            logprobs = F.log_softmax(hidden @ weight_VD.t(), dim=-1, dtype=torch.float32)
            total -= logprobs.gather(1, targets).sum(dtype=torch.float64)
            if grad_hidden is not None and grad_weight is not None:
                grad_logits = logprobs.exp_()  # softmax minus the one-hot target
                grad_logits.scatter_add_(1, targets, torch.full_like(targets, -1, dtype=grad_logits.dtype))
                grad_logits = grad_logits.to(hidden.dtype)
                torch.mm(grad_logits, weight_VD, out=grad_hidden[start : start + rows])
                grad_weight.addmm_(grad_logits.t(), hidden)
        if grad_hidden is not None and grad_weight is not None:
            ctx.save_for_backward(grad_hidden, grad_weight)
        return total.float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0], grad_weight * grads[0], None


def linear_cross_entropy(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Sum over N of -log softmax(hidden @ weight.T)[target], in nats; exact, not an approximation.

    ``hidden_ND`` holds only the positions that are trained: a position without a target
    costs nothing here.
    """
    if not torch.is_grad_enabled():  # autograd's Function would not notice, and make gradients for nobody
        hidden_ND, weight_VD = hidden_ND.detach(), weight_VD.detach()
    loss: Tensor = _LinearCrossEntropy.apply(hidden_ND, weight_VD, targets_N)
    return loss
