"""What must be true before PPO takes its first step. Each failure is a clear error, not a bad run."""

from collections.abc import Sequence
from pathlib import Path

import torch

from preceptor.errors import InputError
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.stages.reward import demonstration_scores
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.rollout import assess, response_logprobs

# Nats. Cached and uncached passes differ by rounding alone; the engine computes in float32 from whatever weights.
LOGPROB_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.5}
SCORE_TOLERANCE = 1e-4
ZERO_TOLERANCE = 0.05  # of the mean score of demonstrations, whose sample may differ from the one zeroed on


@torch.no_grad()
def probe(
    tokenizer: Tokenizer,
    policy: Transformer,
    critic: ScalarModel,
    reward_model: ScalarModel,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    demonstrations: Path | None,
) -> None:
    """Raise :class:`InputError` unless the models fit together and agree with themselves."""
    if tokenizer.pad_id in tokenizer.eos_ids:
        raise InputError("pad and end are the same token, so no model could learn to stop; use a tokenizer with both")
    if reward_model.trunk.config.vocab_size != policy.config.vocab_size:
        raise InputError(
            f"the reward model has {reward_model.trunk.config.vocab_size} tokens and the policy "
            f"{policy.config.vocab_size}; train the reward model from this policy's SFT model"
        )
    groups = generate(
        policy,
        prompts,
        sampling,
        eos_id=tokenizer.eos_ids,
        pad_id=tokenizer.pad_id,
        keys=[("probe", i) for i in range(len(prompts))],
    )
    rollout = assess(
        [group[0] for group in groups],
        reference=policy,
        critic=critic,
        reward_model=reward_model,
        tokenizer=tokenizer,
        temperature=sampling.temperature,
        no_end_penalty=0.0,
    )
    again, _ = response_logprobs(policy, rollout.ids, rollout.segments, rollout.mask, sampling.temperature)
    gap = float((again.cpu() - rollout.logprobs).abs().max())
    if not gap < LOGPROB_TOLERANCE[policy.embed.weight.dtype]:
        raise InputError(
            f"log-probabilities of the rollout and of the trainer differ by {gap:.2e} nats, so PPO's ratios would not "
            "start at 1; generation and training must use the same weights, temperature and precision"
        )
    _same_scores(critic, reward_model, rollout.ids, rollout.segments)
    if demonstrations is not None:
        mean = float(demonstration_scores(reward_model, tokenizer, demonstrations).mean())
        if not abs(mean) <= ZERO_TOLERANCE:
            raise InputError(
                f"the reward model gives demonstrations {mean:+.3f} on average instead of 0; "
                "was its bias lost, or were these not the demonstrations it was trained with?"
            )


def _same_scores(critic: ScalarModel, reward_model: ScalarModel, ids: torch.Tensor, segments: torch.Tensor) -> None:
    ids, segments = ids.to(critic.trunk.device), segments.to(critic.trunk.device)
    gap = float(((critic(ids, segments) - reward_model(ids, segments)) * segments).abs().max())
    if not gap < SCORE_TOLERANCE:
        raise InputError(
            f"critic and reward model differ by {gap:.2e} before the first step; the critic starts as its copy"
        )
