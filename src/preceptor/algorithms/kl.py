"""The leash between policy and reference: a KL penalty in every token's reward, and the controllers of its strength."""

import math
from typing import Any, Self

import torch
from torch import Tensor

from preceptor.errors import InputError


@torch.no_grad()
def per_token_rewards(scores: Tensor, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """-kl_coef * (logp - logp_ref) at every real token, plus the score once, at the last one. (B, T), 0 elsewhere.

    scores: (B,), the reward model's judgement of each episode; the others (B, T), log-probabilities in nats of the
    sampled tokens under the policy *that sampled them* and under the reference, at the same temperature.
    A row sums to score - kl_coef * sum(logp - logp_ref), InstructGPT's equation 2. A row without a real token is
    padding of the batch and gets nothing. The rewards are constants: no gradient flows through them.
    """
    real = mask.bool()
    still_to_come = real.long().flip(1).cumsum(1).flip(1)  # (B, T): real tokens from here to the end
    last = real & (still_to_come == 1)
    penalty = (logprobs - ref_logprobs).masked_fill(~real, 0.0) * -kl_coef
    return penalty + torch.where(last, scores[:, None], 0.0).to(penalty.dtype)


@torch.no_grad()
def episode_kl(logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Sum over each episode's real tokens of logp - logp_ref, (B, T) -> (B,), in nats.

    Its mean over episodes estimates KL(policy || reference) of whole responses, the quantity that Ziegler et al. hold
    at their target. One episode may be negative; a mean clearly below 0 means that the log-probabilities are not those
    of the distribution that was sampled.
    """
    return (logprobs - ref_logprobs).masked_fill(~mask.bool(), 0.0).sum(1)


class FixedKL:
    """A KL coefficient that stays as it is: InstructGPT's choice, 0.02."""

    kind = "fixed"

    def __init__(self, kl_coef: float = 0.02) -> None:
        _check_coefficient(kl_coef)
        self.kl_coef = kl_coef

    def update(self, kl: float, episodes: int) -> None:
        """Nothing to do; here so that both controllers are used alike."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold, as plain JSON values."""
        return {"kind": self.kind, "kl_coef": self.kl_coef}

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Go on where state_dict was taken."""
        self.kl_coef = _saved_coefficient(state, self.kind)
        return self


class AdaptiveKL:
    """Steers the KL towards a target: beta *= 1 + clip(KL / target - 1, -0.2, 0.2) * n / horizon.

    Ziegler et al. (arXiv 1909.08593) section 2.2; their code has target 6 nats an episode and horizon 10,000 episodes.
    """

    kind = "adaptive"

    def __init__(self, kl_coef: float, target: float, horizon: int) -> None:
        """target: nats an episode; horizon: the episodes over which the coefficient moves by about a fifth at most."""
        _check_coefficient(kl_coef)
        if kl_coef == 0.0:
            raise InputError("an adaptive KL coefficient can never leave 0: give it a start above 0")
        if not (target > 0.0 and math.isfinite(target)):
            raise InputError(f"the KL target {target} must be a number of nats above 0")
        if horizon < 1:
            raise InputError(f"the KL horizon {horizon} must be at least 1 episode")
        self.kl_coef = kl_coef
        self.target = target
        self.horizon = horizon

    def update(self, kl: float, episodes: int) -> None:
        """Take in the mean KL (nats an episode, see episode_kl) of a rollout of so many episodes."""
        if not math.isfinite(kl):
            raise FloatingPointError(f"the KL from the reference is {kl}: the log-probabilities are not finite")
        if 0.2 * episodes >= self.horizon:  # one step down could reach 0, or turn the penalty into a reward
            raise InputError(
                f"the KL horizon of {self.horizon} episodes is too short for rollouts of {episodes}: make it longer"
            )
        error = min(max(kl / self.target - 1.0, -0.2), 0.2)
        self.kl_coef *= 1.0 + error * episodes / self.horizon

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold, as plain JSON values (JSON keeps a float exactly)."""
        return {"kind": self.kind, "kl_coef": self.kl_coef}

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Go on where state_dict was taken. Target and horizon belong to the recipe, not to the state."""
        self.kl_coef = _saved_coefficient(state, self.kind)
        return self


KLController = FixedKL | AdaptiveKL


def _check_coefficient(kl_coef: float) -> None:
    if not (kl_coef >= 0.0 and math.isfinite(kl_coef)):
        raise InputError(f"the KL coefficient {kl_coef} must be 0 or a number above it")


def _saved_coefficient(state: dict[str, Any], kind: str) -> float:
    if state["kind"] != kind:
        raise InputError(
            f"the checkpoint has a KL controller that is {state['kind']}, the recipe asks for {kind}: start another run"
        )
    return float(state["kl_coef"])
