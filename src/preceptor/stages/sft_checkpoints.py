"""Which of the checkpoints along SFT is kept: the one a reward model likes best, or the one of the lowest held-out
loss.

InstructGPT chose its SFT models "based on the RM score on the validation set" and found that score, and what labelers
prefer, still rising while the held-out loss already rose (2203.02155, 3.5). A reward model that is fitted in the same
run comes after SFT; there only the loss can choose. A reward model of an earlier round or run can choose here
(``sft.reward``, or ``--reward``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preceptor.errors import InputError
from preceptor.feedback.schema import Demonstration
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import load_scalar_model
from preceptor.models.compute import COMPUTE, ComputeConfig, place
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render, render_prompt
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.kept import keep
from preceptor.training.loop import Metrics, TrainingState
from preceptor.training.rollout import read_by
from preceptor.training.scoring import sequence_scores

NO_END_PENALTY = 1.0  # taken from the score of a response without an end, as in PPO


@dataclass(frozen=True)
class Trial:
    """A reward model and the held-out prompts whose responses it scores."""

    scorer: ScalarModel
    tokenizer: Tokenizer
    prompts: Sequence[Sequence[int]]
    keys: Sequence[tuple[str, str]]
    sampling: SamplingConfig

    @classmethod
    def read(
        cls,
        reward: Path,
        unseen: Sequence[Demonstration],
        tokenizer: Tokenizer,
        context: int,
        sampling: SamplingConfig,
        compute: ComputeConfig = COMPUTE,
    ) -> "Trial":
        """Load the reward model; one that reads other tokens than ``tokenizer`` writes is an :class:`InputError`."""
        if not unseen:
            raise InputError(f"{reward}: has no held-out prompt to choose the SFT model by; raise sft.heldout_share")
        scorer, reads = place(load_scalar_model(reward), compute), Tokenizer.load(reward)
        asked: dict[str, list[Message]] = {row.prompt_id: row.messages[:-1] for row in unseen}
        if any(render(reads, row.messages).ids != render(tokenizer, row.messages).ids for row in unseen[:8]):
            raise InputError(
                f"{reward}: reads other tokens than the model writes; give a reward model of its tokenizer"
            )
        room = sampling.prompt_room(min(context, scorer.trunk.context))
        prompts = [render_prompt(tokenizer, messages, room).ids for messages in asked.values()]
        return cls(scorer, tokenizer, prompts, [("sft", name) for name in asked], sampling)

    def score(self, model: Transformer) -> float:
        """The mean score of one sampled response a prompt. The noise is the same for every checkpoint."""
        tokenizer = self.tokenizer
        groups = generate(
            model, self.prompts, self.sampling, eos_id=tokenizer.eos_ids, pad_id=tokenizer.pad_id, keys=self.keys
        )
        episodes = [group[0] for group in groups]
        scores = sequence_scores(self.scorer, read_by(self.scorer, episodes, tokenizer), tokenizer.pad_id)
        unended = sum(one.finish_reason != "stop" for one in episodes)
        return float(scores.double().mean()) - NO_END_PENALTY * unended / len(episodes)


def keep_if_best(state: TrainingState, model: Transformer, step: int, found: Metrics) -> None:
    """Keep the weights after ``step`` steps if no earlier ones were as good. ``found``: how good they are."""
    by = "heldout_reward" if "heldout_reward" in found else "heldout_loss"
    best = state.values.get("best")
    better = best is None or (found[by] > best[by] if by == "heldout_reward" else found[by] < best[by])
    if better:
        keep(state, model, {"step": step, by: found[by]})
