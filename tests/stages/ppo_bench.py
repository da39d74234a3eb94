"""A PPO learner on tiny models."""

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

from preceptor.algorithms.advantages import gae, whiten
from preceptor.algorithms.kl import per_token_rewards
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.compute import ComputeConfig
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.ppo_learner import Learner
from preceptor.stages.ppo_models import Models
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.corpus import Corpus
from preceptor.training.rollout import collect

PROMPTS = [[1, 4, 30, 31, 2, 5], [1, 4, 40, 2, 5], [1, 4, 50, 51, 52, 53, 2, 5]] * 4


class Bench:
    """A learner on tiny models with a ragged rollout of theirs, some of it without an end."""

    def __init__(self, tiny_model: Callable, tiny_scalar: Callable, tokenizer: Tokenizer) -> None:
        self.policy = tiny_model(tie_word_embeddings=False)
        with torch.no_grad():
            self.policy.head.weight[tokenizer.eos_id] *= 8.0
        self.reference, self.critic, self.reward = tiny_model(seed=1), tiny_scalar(0.25, seed=2), tiny_scalar(seed=3)
        ids = torch.randint(7, 270, (5, 20), generator=torch.Generator().manual_seed(0))
        lengths = torch.tensor([20, 20, 20, 20, 9])  # the last row is part padding
        segments = (torch.arange(20) < lengths[:, None]).long()
        segments[0, 11:] = 2
        self.corpus = Corpus(ids, segments)
        self.rollout = collect(
            self.policy,
            PROMPTS,
            reference=self.reference,
            critic=self.critic,
            reward_model=self.reward,
            tokenizer=tokenizer,
            sampling=SamplingConfig(max_new_tokens=12),
            keys=[("x", i) for i in range(len(PROMPTS))],
            no_end_penalty=1.0,
        )
        rewards = per_token_rewards(
            self.rollout.scores, self.rollout.logprobs, self.rollout.ref_logprobs, self.rollout.mask, 0.1
        )
        advantages, self.returns = gae(rewards, self.rollout.values, self.rollout.mask)
        self.advantages = whiten(advantages, self.rollout.mask)

    def learner(self, *, corpus: bool = False, token_budget: int = 4096, **keys: Any) -> Learner:
        """A fresh learner on copies of the models."""
        config = PPOConfig(**{"clip_norm": 1e9, "warmup": 0.0, "minibatch": 6} | keys)
        models = Models(*(copy.deepcopy(one) for one in (self.policy, self.reference, self.critic, self.reward)))
        compute = ComputeConfig(token_budget=token_budget)
        return Learner(config, models, self.corpus if corpus else None, seed=0, compute=compute)

    def update(self, learner: Learner, rows: list[int], step: int = 0) -> None:
        parts, tokens = learner._parts(self.rollout, self.advantages, self.returns, rows), self.rollout.mask[rows].sum()
        learner._update_policy(parts, tokens, step, 1.0, [], defaultdict(list))
        learner._update_critic(parts, tokens, step, 1.0, [], defaultdict(list))
