"""Stage: optimise the policy against the reward model by PPO with a per-token KL penalty.

InstructGPT section 3.5 and appendix C.4; Ziegler et al. 2019; "The N+ implementation details of
RLHF with PPO". One iteration: the policy answers a batch of prompts, the reward model scores the
answers, the critic says what it had expected, and policy and critic take a few steps.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from preceptor.feedback.schema import Prompt
from preceptor.files import read_jsonl
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import save_model
from preceptor.models.compute import COMPUTE, ComputeConfig, compile_blocks
from preceptor.models.lora import NO_LORA, LoRAConfig
from preceptor.models.peft import FOLDER, save_adapters
from preceptor.stages.corpus import read_corpus
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.ppo_learner import Learner
from preceptor.stages.ppo_models import Models, load_models
from preceptor.stages.ppo_probes import probe
from preceptor.stages.ppo_snapshots import Snapshots
from preceptor.text.conversation import render_prompt
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import batch_at
from preceptor.training.kept import restore
from preceptor.training.loop import CHECKPOINT, Metrics, train
from preceptor.training.progress import Progress, StageProgress
from preceptor.training.rollout import Rollout, collect


def ppo(
    config: PPOConfig,
    *,
    model: Path,
    reward: Path,
    check: Path | None,
    prompts: Path,
    prompts_dev: Path,
    demonstrations: Path | None,
    corpus: Path | None,
    out: Path,
    seed: int,
    progress: Progress,
    lora: LoRAConfig = NO_LORA,
    compute: ComputeConfig = COMPUTE,
) -> dict[str, Any]:
    """Optimise the language model in ``model`` (which is the KL reference too) and write the kept policy to ``out``.

    ``check`` is a second reward model that is only looked at: the policy that is kept is the
    snapshot it likes best, so that what fools the first one is not chosen. With ``lora`` policy and critic learn
    adapters over shared weights; ``out`` is the merged policy all the same, and ``out/adapter`` has them alone.
    """
    text = Tokenizer.load(model)
    models = load_models(model, reward, check, lora, seed, compute)
    for learning in (models.policy, models.critic.trunk):
        learning.gradient_checkpointing = config.gradient_checkpointing
        compile_blocks(learning, compute)
    sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens, seed=seed)
    models.check_room(config.max_new_tokens)
    episodes = _Episodes.read(config, models, text, prompts, sampling, seed)
    probe(text, models.policy, models.critic, models.reward, episodes.prompts[:8], sampling, demonstrations)
    if config.critic_head == "zero":
        models.critic.zero_head()  # after the probe, which finds that it was the reward model
    context, rows = models.reference.context, None
    if corpus is not None and config.ptx_coef > 0:
        rows = read_corpus(corpus, text, context, seed=seed)
    learner = Learner(config, models, rows, seed, compute)
    snapshots = _snapshots(config, models, text, prompts_dev, sampling, out)

    with progress.stage("ppo", out) as stage:
        asked, truncated = len(episodes.prompts), episodes.truncated
        if truncated:
            stage.note(f"{truncated} of {asked} prompts were longer than the context and were truncated")
        do_step = partial(_iterate, episodes, learner, snapshots, stage)
        train(learner.state, config.iterations, do_step, checkpoint=out / CHECKPOINT, stage=stage)
        best = learner.state.values["best"]
        stage.note(
            f"kept the policy of iteration {best['iteration']}: KL {best['kl']:.2f} nats, score {best['score']:+.3f}"
        )
    restore(learner.state, models.policy)
    save_model(models.policy, out, text)
    if lora.rank:
        save_adapters(models.policy, out / FOLDER, lora, model)
    (out / CHECKPOINT).unlink(missing_ok=True)
    done = {"iterations": config.iterations, "episodes": config.iterations * config.batch, "truncated": truncated}
    return done | {"kept_step": best["iteration"], "kept": best}  # provenance, evaluation and report look for these


def _iterate(
    episodes: "_Episodes", learner: Learner, snapshots: Snapshots, stage: StageProgress, iteration: int
) -> Metrics:
    """One iteration: play the episodes, learn from them, and from time to time try the policy out."""
    metrics: Metrics = {}
    if iteration == 0:  # where it starts is step 0: under step 1 it would be taken for what came of the first
        stage.log(0, tokens=None, **snapshots.take(learner.state, learner.kept_module, 0))
    metrics |= learner.learn(iteration, episodes.play(iteration))
    config = learner.config
    moved = iteration + 1 - config.critic_warmup  # iterations that the policy has learnt in
    every = max(1, (config.iterations - config.critic_warmup) // config.snapshots)
    if (moved > 0 and moved % every == 0) or iteration + 1 == config.iterations:
        metrics |= snapshots.take(learner.state, learner.kept_module, iteration + 1)
    if metrics["kl"] < -0.1:
        stage.note(
            f"iteration {iteration}: KL is {metrics['kl']:.2f} nats, below 0: samples do not come from the policy"
        )
    return metrics


@dataclass(frozen=True)
class _Episodes:
    """The prompts, and the models that answer them and judge the answers."""

    config: PPOConfig
    models: Models
    text: Tokenizer
    sampling: SamplingConfig
    seed: int
    prompts: list[list[int]]  # the ids of each
    truncated: int  # how many of them were too long

    @classmethod
    def read(
        cls, config: PPOConfig, models: Models, text: Tokenizer, prompts: Path, sampling: SamplingConfig, seed: int
    ) -> "_Episodes":
        """Render the prompts so that each leaves room for a response."""
        room = sampling.prompt_room(models.context)
        whole = [render_prompt(text, prompt.messages, room) for prompt in read_jsonl(prompts, Prompt)]
        truncated = sum(prompt.truncated for prompt in whole)
        return cls(config, models, text, sampling, seed, [prompt.ids for prompt in whole], truncated)

    def play(self, iteration: int) -> Rollout:
        """The policy answers the prompts of an iteration; reference, critic and reward model say what they think."""
        prompts = self.config.batch // self.config.responses
        batch = batch_at(iteration, count=len(self.prompts), batch=prompts, seed=self.seed, key="ppo")
        return collect(
            self.models.policy,
            [self.prompts[i] for i in batch],
            reference=self.models.reference,
            critic=self.models.critic,
            reward_model=self.models.reward,
            tokenizer=self.text,
            sampling=self.sampling,
            keys=[("ppo", iteration, place) for place in range(len(batch))],
            no_end_penalty=self.config.no_end_penalty,
            responses=self.config.responses,
        )


def _snapshots(
    config: PPOConfig, models: Models, text: Tokenizer, prompts: Path, sampling: SamplingConfig, out: Path
) -> Snapshots:
    """The trials on development prompts, as the table asks for them."""
    return Snapshots.read(
        text,
        models,
        prompts,
        count=config.snapshot_prompts,
        sampling=sampling,
        responses=config.responses,
        max_kl=config.max_kl,
        no_end_penalty=config.no_end_penalty,
        out=out,
    )
