"""RMSNorm with its derivative written out.

Left to autograd, it is a chain of six or more operations that each read and write the whole activation
and keep it for the way back; in a small model they take as long as the matrix products between them.
"""

from typing import Any

import torch
from torch import Tensor, nn


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)  # (..., 1)
        ctx.save_for_backward(x, weight_D, scale)
        return (x * scale).mul_(weight_D)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight_D, scale = ctx.saved_tensors
        D = x.shape[-1]
        x_ND, scale_N1, grad_ND = x.reshape(-1, D), scale.view(-1, 1), grads[0].reshape(-1, D)
        # y = w x s with s = (mean x^2 + eps)^(-1/2):  dx = s (w g) - x s^3 mean(w g x)
        product_ND = grad_ND * x_ND
        grad_weight_D = product_ND.t().mv(scale_N1[:, 0]) if ctx.needs_input_grad[1] else None
        along_N1 = product_ND.mv(weight_D)[:, None].mul_(scale_N1.pow(3)).div_(-D)
        grad_x_ND = torch.mul(grad_ND, weight_D, out=product_ND).mul_(scale_N1).addcmul_(x_ND, along_N1)
        return grad_x_ND.view_as(x), grad_weight_D, None


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """Rows of the last axis over their root mean square, times the weight."""
    normed: Tensor = _RMSNorm.apply(x, weight_D, eps)
    return normed


class RMSNorm(nn.RMSNorm):
    """``torch.nn.RMSNorm`` over the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        """See :func:`rms_norm`."""
        assert self.eps is not None
        return rms_norm(x, self.weight, self.eps)
