"""Trying the policy on development prompts along the way, and keeping the best without looking at gold.

The reward that PPO maximises goes on rising after the responses have begun to get worse (Gao et al.
2022, arXiv 2210.10760). So the judge of what is kept is a second reward model, fitted to other
rankings, among snapshots that stay within a stated KL from the SFT model.
"""

from dataclasses import dataclass
from pathlib import Path

from preceptor.algorithms.kl import episode_kl
from preceptor.feedback.schema import Prompt
from preceptor.files import read_jsonl, write_jsonl
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer
from preceptor.stages.ppo_models import Models
from preceptor.text.conversation import render_prompt
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.kept import keep
from preceptor.training.loop import Metrics, TrainingState
from preceptor.training.rollout import assess, read_by
from preceptor.training.scoring import grouped_scores


@dataclass
class Snapshots:
    """The development prompts, the judges, and where the responses are written for people to read.

    Each prompt is answered as often as in an iteration: where prompts are few, that is less noise in a trial.
    """

    tokenizer: Tokenizer
    models: Models
    prompts: list[Prompt]
    rendered: list[list[int]]
    sampling: SamplingConfig
    responses: int
    max_kl: float
    no_end_penalty: float
    directory: Path

    @classmethod
    def read(
        cls,
        tokenizer: Tokenizer,
        models: Models,
        prompts: Path,
        *,
        count: int,
        sampling: SamplingConfig,
        responses: int,
        max_kl: float,
        no_end_penalty: float,
        out: Path,
    ) -> "Snapshots":
        """Read the first ``count`` development prompts."""
        asked = read_jsonl(prompts, Prompt)[:count]
        room = sampling.prompt_room(models.context)
        rendered = [render_prompt(tokenizer, prompt.messages, room).ids for prompt in asked]
        return cls(tokenizer, models, asked, rendered, sampling, responses, max_kl, no_end_penalty, out / "snapshots")

    def take(self, state: TrainingState, policy: Transformer, iteration: int) -> Metrics:
        """Measure the policy, write its responses, and remember its weights if it is the best so far.

        The noise is the same for every snapshot, so that their difference is the policy's.
        """
        keys = [("snapshot", prompt.id) for prompt in self.prompts]
        groups = generate(
            policy,
            self.rendered,
            self.sampling,
            eos_id=self.tokenizer.eos_ids,
            pad_id=self.tokenizer.pad_id,
            samples_per_prompt=self.responses,
            keys=keys,
            max_slots=256,
        )
        episodes = [one for group in groups for one in group]
        rollout = assess(
            episodes,
            reference=self.models.reference,
            critic=None,
            reward_model=self.models.reward,
            tokenizer=self.tokenizer,
            temperature=self.sampling.temperature,
            no_end_penalty=self.no_end_penalty,
            responses=self.responses,
        )
        kl = episode_kl(rollout.logprobs, rollout.ref_logprobs, rollout.mask)
        scores = rollout.scores
        judged = scores
        if (check := self.models.check) is not None:
            read = (read_by(check, group, self.tokenizer) for group in groups)
            judged = grouped_scores(check, list(read), self.tokenizer.pad_id) - self.no_end_penalty * ~rollout.ended
        write_jsonl(
            self.directory / f"{iteration:06d}.jsonl",
            (
                {
                    "prompt_id": self.prompts[i // self.responses].id,
                    "response": self.tokenizer.decode(one.ids).strip(),
                    "score": float(scores[i]),
                    "check_score": float(judged[i]),
                    "kl": float(kl[i]),
                    "length": len(one.ids),
                }
                for i, one in enumerate(episodes)
            ),
        )
        found = {
            "dev_score": float(scores.mean()),
            "dev_check_score": float(judged.mean()),
            "dev_kl": float(kl.mean()),
            "dev_length": float(rollout.lengths.float().mean()),
            "dev_eos_rate": float(rollout.ended.float().mean()),
        }
        self._keep_if_best(state, policy, iteration, found)
        return found

    def _keep_if_best(self, state: TrainingState, policy: Transformer, iteration: int, found: Metrics) -> None:
        best = state.values.get("best")
        if best is not None and (found["dev_kl"] > self.max_kl or found["dev_check_score"] <= best["check_score"]):
            return
        scores = {"score": found["dev_score"], "check_score": found["dev_check_score"], "kl": found["dev_kl"]}
        keep(state, policy, {"iteration": iteration, **scores})
