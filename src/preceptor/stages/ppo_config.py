"""The ``[ppo]`` table."""

from typing import Literal, Self

from pydantic import Field, model_validator

from preceptor.training.optimizer import OptimizerConfig


class PPOConfig(OptimizerConfig):
    """The ``[ppo]`` table."""

    episodes: int = Field(5120, ge=1, description="Responses written and learnt from in the whole stage.")
    batch: int = Field(256, ge=1, description="Episodes of one iteration.")
    minibatch: int = Field(64, ge=1, description="Episodes of one optimizer step.")
    responses: int = Field(
        1,
        ge=1,
        description="Episodes that answer the same prompt, side by side. With more than one, each is also measured "
        "against the others, and the prompt is computed once for all of them. `batch` and `minibatch` are multiples.",
    )
    epochs: int = Field(1, ge=1, description="Passes over the episodes of an iteration.")
    temperature: float = Field(
        1.0, gt=0, description="Sampling temperature of the rollouts; the update divides by it too."
    )
    max_new_tokens: int = Field(48, ge=1, description="Longest response in tokens.")
    no_end_penalty: float = Field(1.0, ge=0, description="Taken from the score of a response without an end token.")
    kl_coef: float = Field(0.02, ge=0, description="beta, the price of one nat of KL from the SFT model.")
    kl_control: Literal["fixed", "adaptive"] = Field("fixed", description="Whether beta stays or follows `kl_target`.")
    kl_target: float = Field(6.0, gt=0, description="Nats an episode that the adaptive controller aims at.")
    kl_horizon: int = Field(10_000, ge=1, description="Episodes over which the adaptive controller corrects.")
    gamma: float = Field(1.0, gt=0, le=1, description="Discount.")
    lam: float = Field(0.95, ge=0, le=1, description="lambda of generalised advantage estimation.")
    clip: float = Field(0.2, gt=0, description="The ratio of new to old probability counts within 1 +- this.")
    value_clip: float = Field(0.2, gt=0, description="Values count within +- this of the old ones.")
    critic_lr: float = Field(1e-3, gt=0, description="Peak learning rate of the critic.")
    critic_head: Literal["reward", "zero"] = Field(
        "reward",
        description="Where the critic begins: `reward`, as the reward model; `zero`, as that with a head of 0, which "
        "foretells nothing until it has learnt to. Reward models of few rankings say little in mid-response.",
    )
    critic_warmup: int = Field(
        0, ge=0, description="Iterations at the start in which the critic alone learns and the policy stays."
    )
    ptx_coef: float = Field(
        0.3, ge=0, description="gamma of PPO-ptx: weight of the mean corpus loss in the gradient; 0 for none."
    )
    ptx_rows: int = Field(2, ge=1, description="Corpus rows beside each minibatch.")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Moving average of the policy's weights, a step; 0 for none (paper: 0.992)."
    )
    snapshots: int = Field(5, ge=1, description="How often the policy is tried on development prompts and may be kept.")
    snapshot_prompts: int = Field(
        256, ge=1, description="Development prompts of one trial, each answered `responses` times."
    )
    max_kl: float = Field(
        20.0, gt=0, description="A snapshot further than this from the SFT model is never kept (nats an episode)."
    )
    lr: float = Field(5e-4, gt=0, description="Peak learning rate of the policy.")
    final_lr: float = Field(0.2, ge=0, le=1, description="Share of the peak learning rate left at the end (cosine).")

    @model_validator(mode="after")
    def _policy_learns(self) -> Self:
        if self.critic_warmup >= self.iterations:
            raise ValueError(
                f"critic_warmup {self.critic_warmup} leaves the policy none of the {self.iterations} iterations "
                f"({self.episodes} episodes, {self.batch} in each): lower it or raise episodes"
            )
        return self

    @model_validator(mode="after")
    def _responses_stay_together(self) -> Self:
        for name in ("batch", "minibatch"):
            if getattr(self, name) % self.responses:
                raise ValueError(
                    f"{name} {getattr(self, name)} is not a multiple of responses {self.responses}: "
                    "all of the responses to a prompt are learnt from in one step"
                )
        return self

    @property
    def iterations(self) -> int:
        """How often a batch of episodes is played."""
        return max(1, round(self.episodes / self.batch))

    @model_validator(mode="after")
    def _horizon_is_long_enough(self) -> Self:
        if self.kl_control == "adaptive":
            if 0.2 * self.batch >= self.kl_horizon:  # one step down could reach 0, or turn the penalty into a reward
                raise ValueError(f"kl_horizon {self.kl_horizon} is too short for batch {self.batch}: make it longer")
            if self.kl_coef == 0:
                raise ValueError("kl_coef 0 can never be changed by the adaptive controller: start above 0")
        return self
