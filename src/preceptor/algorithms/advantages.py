"""Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438) over the real tokens of a response."""

import torch
from torch import Tensor

# Keeps the whitening of equal advantages finite. Ziegler et al.'s code has the same constant.
WHITENING_EPSILON = 1e-8


@torch.no_grad()
def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> tuple[Tensor, Tensor]:
    """Advantages and returns, (B, T) each, 0 outside the mask.

    delta_t = r_t + gamma * V_{t+1} - V_t,  A_t = delta_t + gamma * lam * A_{t+1},  return_t = A_t + V_t.

    The steps of an episode are its real tokens: the recursion passes over what the mask leaves out (padding on either
    side, the user's words between two answers) as if it were not there. After the last real token the value is 0,
    whether the response ended by itself or was cut at the length limit: Ziegler et al. and InstructGPT know no other
    end, and a cut response has its stated penalty in the score. Returns use the raw advantages; whiten afterwards.

    rewards, values, mask: (B, T). Both results are constants: no gradient flows into them.
    """
    real = mask.bool()  # (B, T)
    values = values.masked_fill(~real, 0.0)
    advantages = torch.zeros_like(values)
    next_value = torch.zeros_like(values[:, 0])  # (B,): the value of the next real token
    next_advantage = torch.zeros_like(next_value)
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = delta + gamma * lam * next_advantage
        next_value = torch.where(real[:, t], values[:, t], next_value)
        next_advantage = torch.where(real[:, t], advantage, next_advantage)
        advantages[:, t] = advantage.masked_fill(~real[:, t], 0.0)
    return advantages, advantages + values


@torch.no_grad()
def others_surplus(rewards: Tensor, values: Tensor, mask: Tensor, responses: int, gamma: float = 1.0) -> Tensor:
    """How much more than the critic foretold the other responses to the same prompt came to on average, (B, 1).

    Each ``responses`` rows answer one prompt; with one there are no others, and it is 0. Added to the values from which
    a row's advantages are computed, it takes out what prompts differ by and the critic does not know. It does not
    depend on what the row itself says, so the policy gradient keeps its expectation at lambda 1 (Kool et al. 2019, "Buy
    4 REINFORCE samples, get a baseline for free!"; Ahmadian et al. 2024, arXiv 2402.14740). Its price is a
    1 / (responses - 1) of the others' own noise: a critic that knows its prompts does better alone.

    rewards, values, mask: (B, T), as :func:`gae` takes them.
    """
    if responses == 1:
        return torch.zeros_like(values[:, :1])
    surplus, _ = gae(rewards, values, mask, gamma, 1.0)  # of each real token: what came, less what was foretold
    first = surplus.gather(1, mask.int().argmax(1, keepdim=True)).view(-1, responses)  # (prompts, responses)
    return ((first.sum(1, keepdim=True) - first) / (responses - 1)).view(-1, 1)


@torch.no_grad()
def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and (biased) variance 1 over the real tokens; 0 elsewhere. Same shape and dtype.

    Call it once on a whole minibatch, before it is split into micro-batches, or the split would change the loss.
    One token, or tokens that are all equal, become 0. Moments are taken in float64: in float32, advantages with a large
    common part would come out as rounding noise blown up to variance 1.
    """
    real = mask.bool()
    count = real.sum().clamp(min=1)
    wide = x.double().masked_fill(~real, 0.0)
    centred = (wide - wide.sum() / count).masked_fill(~real, 0.0)
    variance = centred.square().sum() / count
    return (centred * torch.rsqrt(variance + WHITENING_EPSILON)).to(x.dtype)
