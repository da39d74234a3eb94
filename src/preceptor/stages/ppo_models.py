"""The four models of PPO, and the second reward model, as objects that share what they can.

Fine-tuned whole, each has its weights for itself. With LoRA the weights of the SFT model are held once: the reference
is them alone, the policy them with adapters, and so are the critic and both reward models if their adapters were
trained over the same weights, which is how the reward stage makes them. A reward model that was made otherwise has
weights of its own, and the critic shares those.
"""

from dataclasses import dataclass
from pathlib import Path

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import COMPUTE, ComputeConfig, place
from preceptor.models.heads import ScalarModel
from preceptor.models.lora import LoRAConfig, fork, fresh_adapters, over
from preceptor.models.peft import FOLDER, fits, load_adapters
from preceptor.models.transformer import Transformer


@dataclass
class Models:
    """Policy and critic learn; reference and reward models never change."""

    policy: Transformer
    reference: Transformer
    critic: ScalarModel
    reward: ScalarModel
    check: ScalarModel | None = None  # the second reward model, which is only looked at

    @property
    def context(self) -> int:
        """Tokens of prompt and response that every one of them can read."""
        readers = [one.trunk for one in (self.critic, self.reward, self.check) if one is not None]
        return min(one.context for one in [self.reference, *readers])

    def check_room(self, max_new_tokens: int) -> None:
        """Raise :class:`InputError` where a response may become longer than a reward model can read."""
        if self.context < self.reference.context and max_new_tokens > self.context // 2:
            raise InputError(
                f"responses of up to {max_new_tokens} tokens do not fit beside their prompts into the {self.context} "
                f"that a reward model reads; ppo.max_new_tokens = {self.context // 2} would"
            )


def load_models(
    model: Path, reward: Path, check: Path | None, lora: LoRAConfig, seed: int, compute: ComputeConfig = COMPUTE
) -> Models:
    """Read them: the policy starts as the reference, the critic as the reward model."""
    reference = place(open_language_model(model)[0], compute)
    if not lora.rank:
        scorer = place(load_scalar_model(reward), compute)
        judge = None if check is None else place(load_scalar_model(check), compute)
        return Models(fork(reference), reference, fork(scorer), scorer, judge)
    policy = fresh_adapters(reference, lora, seed, "ppo")
    scorer = place(_scalar(reward, reference, model), compute)
    judge = None if check is None else place(_scalar(check, reference, model), compute)
    return Models(policy, reference, _critic(scorer, lora, seed), scorer, judge)


def _scalar(directory: Path, base: Transformer, model: Path) -> ScalarModel:
    """A reward model, over the weights of ``base`` if it has adapters that were trained over them."""
    adapters = directory / FOLDER
    if fits(adapters, model):
        shared = load_adapters(base, adapters)
        if isinstance(shared, ScalarModel):
            return shared
    return load_scalar_model(directory)


def _critic(scorer: ScalarModel, lora: LoRAConfig, seed: int) -> ScalarModel:
    """What computes the same as the reward model and can learn: its adapters copied, or new ones over its weights."""
    if any(".adapter." in name for name, _ in scorer.named_parameters()):
        return fork(scorer)
    critic = over(scorer)
    critic.trunk = fresh_adapters(scorer.trunk, lora, seed, "ppo-critic")
    return fork(critic)
