"""Evaluation: the finished models on users that no stage has seen (InstructGPT sections 3.6 and 4).

Helpful, truthful, harmless; what alignment cost the language model; and how good the reward model is.
In the built-in world the exact rubric judges. With data from people there is no such judge: the
reward model stands in for it (and is named), and truthfulness and harmlessness are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from preceptor.atlas.baseline import FORMATS
from preceptor.atlas.probes import Probe
from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.evaluation.answers import Answer, Policy, Question
from preceptor.evaluation.drift import drifts
from preceptor.evaluation.harmlessness import rude_shares
from preceptor.evaluation.helpfulness import best_base_format, best_of, by_round, mean_scores, win_rates
from preceptor.evaluation.judges import GoldJudge, Judge, RewardJudge, gold_judge
from preceptor.evaluation.perplexity import perplexities
from preceptor.evaluation.reward_measures import on_rankings, on_the_world
from preceptor.evaluation.scoring import reward_scores, sequence_kl
from preceptor.evaluation.snapshots import snapshots_of
from preceptor.evaluation.truthfulness import claim_shares
from preceptor.feedback.schema import Document, Prompt, Ranking
from preceptor.files import read_jsonl, write_atomic, write_json, write_jsonl
from preceptor.keyed import numpy_rng
from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import COMPUTE, ComputeConfig, place
from preceptor.models.heads import ScalarModel
from preceptor.reporting.figures import flat, to_csv
from preceptor.statistics import mean_with_interval
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress, StageProgress


class EvaluateConfig(Config):
    """The ``[evaluate]`` table."""

    prompts: int = Field(1000, ge=1, description="Held-out prompts for helpfulness; all of them if there are fewer.")
    greedy_prompts: int = Field(500, ge=0, description="Of these, how many are answered greedily as well.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of the headline figures.")
    max_new_tokens: int = Field(48, ge=1, description="Longest answer, in tokens.")
    best_of: int = Field(16, ge=2, description="Samples of the SFT model of which the reward model picks one.")
    best_of_prompts: int = Field(128, ge=0, description="Held-out prompts for best-of-n; 0 leaves it out.")
    format_prompts: int = Field(80, ge=1, description="Development prompts that choose the base model's best format.")
    probes: int = Field(200, ge=1, description="Questions at most in each group of the truth and harm probes.")
    reward_prompts: int = Field(200, ge=2, description="Development prompts for the accuracy of the reward model.")
    reward_samples: int = Field(4, ge=2, description="Answers to each of them, split among the models that answer.")
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of every interval.")


SCORED = ("helpfulness", "best of")  # parts whose answers the reward model scores too; a pass over each costs time


@dataclass
class Study:
    """What the measures share: who answers, who judges, and the record of every answer given."""

    config: EvaluateConfig
    seed: int
    judge: Judge
    reward: ScalarModel
    check: ScalarModel | None
    policies: dict[str, Policy]
    stage: StageProgress
    rows: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0

    @property
    def tokenizer(self) -> Tokenizer:
        """The one tokenizer of the run."""
        return self.policies["sft"].tokenizer

    @property
    def gold(self) -> GoldJudge | None:
        """The gold rubric, if it judges."""
        return self.judge if isinstance(self.judge, GoldJudge) else None

    def ask(self, name: str, part: str, questions: Sequence[Question], temperature: float) -> list[Answer]:
        """One answer of a model to each question; recorded."""
        groups = self.policies[name].answer(questions, temperature=temperature, seed=self.seed, part=part)
        answers = [group[0] for group in groups]
        self.record(name, part, questions, answers, temperature)
        return answers

    def record(
        self, name: str, part: str, questions: Sequence[Question], answers: Sequence[Answer], temperature: float
    ) -> None:
        """Keep answers for responses.jsonl, with gold's scores, and the reward model's where the report uses them."""
        rewards: list[float | None] = [None] * len(answers)
        if part in SCORED:
            rewards = list(reward_scores(self.reward, answers))
        golden = self.gold.scores(questions, answers) if self.gold else [None] * len(answers)
        for question, answer, reward, gold in zip(questions, answers, rewards, golden, strict=True):
            self.rows.append(
                {
                    "part": part,
                    "prompt_id": question.id,
                    "kind": question.kind,
                    "messages": [message.model_dump() for message in question.messages],
                    "model": name,
                    "temperature": temperature,
                    "text": answer.text,
                    "tokens": len(answer.ids),
                    "finished": answer.finished,
                    "reward": None if reward is None else round(reward, 4),
                    "gold": None if gold is None else round(gold, 4),
                }
            )
        self.steps += 1
        self.stage.log(self.steps, tokens=sum(len(answer.ids) for answer in answers))

    def rewards(self, part: str) -> dict[str, list[float]]:
        """The reward model's scores of the recorded answers of a part, by model."""
        found: dict[str, list[float]] = {}
        for row in self.rows:
            if row["part"] == part:
                found.setdefault(row["model"], []).append(row["reward"])
        return found

    def scores(self, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
        """The judge's scores."""
        return self.judge.scores(questions, answers)


def evaluate(
    config: EvaluateConfig,
    *,
    models: dict[str, Path],
    data: Path,
    rankings: list[Path],
    rankings_train: list[Path],
    out: Path,
    seed: int,
    progress: Progress,
    compute: ComputeConfig = COMPUTE,
) -> dict[str, Any]:
    """Measure the models of a run.

    models: ``base``, ``sft``, ``reward`` and, if they are there, ``ppo`` and ``reward-check``, the second reward
        model; any other name is one more policy, which is held against ``sft``; ``ppo_round_2``, of an earlier round,
        also against the round before it
    data: the run's data directory; ``gold.jsonl`` in it says that the rubric can judge
    rankings: files of rankings; those of prompts that are not trained on measure the reward model where
        no gold is. In the built-in world fresh comparisons are made instead.
    rankings_train: those that models have learnt from, which a baseline of words learns from too
    out: gets ``evaluation.json``, the same figures as ``evaluation.csv``, ``responses.jsonl`` and ``metrics.jsonl``

    Returns what ``evaluation.json`` holds. Models are keys; intervals are 95 %, ``low`` to ``high`` over ``n`` prompts:

    - ``judge``: "gold" or "reward model"; ``base_format``: how the base was asked, and each format's mean score
    - ``helpfulness``: ``{ppo_vs_sft: {win_rate, low, high, n}, ...}`` at ``temperature``, and the same under ``greedy``
    - ``truthfulness``: ``{sft: {known: {true, false, unknown, none, n, intervals}, withheld, invented}, ..., greedy}``
    - ``harmlessness``: ``{none: {base: share of rude answers, ..., n, intervals, over_base}, respectful,
      rude}``; ``over_base``: what each model has over the base, ``{mean, low, high, n}``
    - ``gold`` (with ``greedy``), ``reward_score``, ``kl`` from SFT: ``{mean, low, high, n}`` a model
    - ``drift`` of each policy from SFT: reward_gain and, by the second reward model, check_gain, ``{mean, low, high, n,
      deviations}``, and length_ratio, ``{ratio, low, high, n}``
    - ``mean_length`` in tokens with the end, ``eos_share`` of answers that ended by themselves, ``perplexity``: numbers
    - ``reward``: heldout_accuracy, longer_wins, bag_of_words, what the first has over these (over_longer,
      over_bag_of_words), labeler_agreement and labeler_agreement_strict, with gold also gold_accuracy and
      gold_on_labels: shares of pairs, and their intervals under ``details``; ``calibration``; the same for each of
      the ``sources``
    - ``snapshots``: ``{ppo: {kept, points: [{iteration, kl, score, check_score, length, gold, low, high, n}]}}``
    """
    heldout = _prompts(data / "prompts_heldout.jsonl")
    dev = _prompts(data / "prompts_dev.jsonl")
    with progress.stage("evaluate", out) as stage:
        stage.start(total=None)
        study = _open(config, compute, models, data, seed, stage)
        result: dict[str, Any] = {"judge": study.judge.name, "temperature": config.temperature}
        result["base_format"] = _choose_base_format(study, dev)
        result |= _helpfulness(study, heldout[: config.prompts])
        if study.gold is not None:
            result |= _probes(study, study.gold, data)
        tried = {name: snapshots_of(models[name], study.gold, seed, config.resamples) for name in study.policies}
        result["snapshots"] = {name: one for name, one in tried.items() if one is not None}
        if (data / "corpus_heldout.jsonl").is_file():
            result["perplexity"] = _perplexity(study, data / "corpus_heldout.jsonl")
        result["reward"] = _reward(study, data, dev, rankings, rankings_train)
        write_jsonl(out / "responses.jsonl", study.rows)
        write_json(out / "evaluation.json", result)
        write_atomic(out / "evaluation.csv", to_csv({"evaluation": list(flat(result))}, "part"))
    return result


def _open(
    config: EvaluateConfig,
    compute: ComputeConfig,
    models: dict[str, Path],
    data: Path,
    seed: int,
    stage: StageProgress,
) -> Study:
    for name in ("base", "sft", "reward"):
        if name not in models:
            raise InputError(f"evaluation needs the model {name}; name its directory")
    tokenizer = Tokenizer.load(models["sft"])
    reward = place(load_scalar_model(models["reward"]), compute)
    check = place(load_scalar_model(models["reward-check"]), compute) if "reward-check" in models else None
    names = ["base", "sft", *by_round(models.keys() - {"base", "sft", "reward", "reward-check"})]
    policies = {}
    for name in names:
        model = place(open_language_model(models[name])[0], compute)
        context = min(model.context, reward.trunk.context)
        if config.max_new_tokens >= context - 8:
            raise InputError(
                f"evaluate.max_new_tokens {config.max_new_tokens} leaves no room for a prompt in the context "
                f"of {context}; make it smaller"
            )
        policies[name] = Policy(name, model, tokenizer, config.max_new_tokens)
    return Study(config, seed, gold_judge(data) or RewardJudge(reward), reward, check, policies, stage)


def _prompts(path: Path) -> list[Question]:
    return [Question(one.id, one.kind, tuple(one.messages)) for one in read_jsonl(path, Prompt)]


def _choose_base_format(study: Study, dev: Sequence[Question]) -> dict[str, Any]:
    """Find the base model's best format on development prompts and use it from here on.

    A model that the run did not make may have a chat template of its own: that is how it wants to be asked.
    """
    if study.tokenizer.has_own_template:
        return {"chosen": "chat", "mean_scores": {}}
    base = study.policies["base"]
    chosen, means = best_base_format(
        base,
        FORMATS,
        dev[: study.config.format_prompts],
        study.judge,
        temperature=study.config.temperature,
        seed=study.seed,
    )
    study.policies["base"] = replace(base, base_format=chosen)
    return {"chosen": chosen, "mean_scores": means}


def _helpfulness(study: Study, questions: Sequence[Question]) -> dict[str, Any]:
    """Win rates and mean scores, sampled and greedy; lengths, endings, and the KL from the SFT model."""
    config, seed = study.config, study.seed
    answers = {name: study.ask(name, "helpfulness", questions, config.temperature) for name in study.policies}
    scores = {name: study.scores(questions, given) for name, given in answers.items()}
    table = win_rates(scores, seed, config.resamples)
    means = mean_scores(scores, seed, config.resamples)
    few = questions[: config.best_of_prompts]
    if few:
        name = f"best_of_{config.best_of}"
        best = study.scores(few, _best_of(study, name, few))
        table |= win_rates({name: best, "sft": scores["sft"][: len(few)]}, seed, config.resamples)
        means |= mean_scores({name: best}, seed, config.resamples)
    first = questions[: config.greedy_prompts]
    if first:
        greedy = {name: study.scores(first, study.ask(name, "greedy", first, 0.0)) for name in study.policies}
        table["greedy"] = win_rates(greedy, seed, config.resamples)
        means["greedy"] = mean_scores(greedy, seed, config.resamples)
    measures: dict[str, Any] = {
        "helpfulness": table,
        **({"gold": means} if study.gold else {}),
        "reward_score": mean_scores(study.rewards("helpfulness"), seed, config.resamples),
        "mean_length": {name: sum(len(one.ids) for one in given) / len(given) for name, given in answers.items()},
        "eos_share": {name: sum(one.finished for one in given) / len(given) for name, given in answers.items()},
    }
    measures["kl"] = _kl(study, questions, answers)
    asked = {name: given for name, given in answers.items() if name != "base"}
    check, rewards = study.check, study.rewards("helpfulness")
    checks = {} if check is None else {name: reward_scores(check, given) for name, given in asked.items()}
    lengths = {name: [len(one.ids) for one in given] for name, given in asked.items()}
    measures["drift"] = drifts({name: rewards[name] for name in asked}, checks, lengths, seed, config.resamples)
    return measures


def _best_of(study: Study, name: str, questions: Sequence[Question]) -> list[Answer]:
    """The reward model's choice among n fresh samples of the SFT model: what PPO's score is worth without PPO."""
    config = study.config
    groups = study.policies["sft"].answer(
        questions, temperature=config.temperature, seed=study.seed, part="best of", samples=config.best_of
    )
    best = best_of(groups, reward_scores(study.reward, [answer for group in groups for answer in group]))
    study.record(name, "best of", questions, best, config.temperature)
    return best


def _kl(study: Study, questions: Sequence[Question], answers: dict[str, list[Answer]]) -> dict[str, Any]:
    """Mean KL of each policy from the SFT model over whole responses, in nats."""
    sft = study.policies["sft"].model
    result: dict[str, Any] = {}
    for name, given in answers.items():
        if name in ("base", "sft"):
            continue
        if study.config.temperature != 1.0:  # the KL is an expectation over the policy as it is
            policy = study.policies[name]
            groups = policy.answer(questions, temperature=1.0, seed=study.seed, part="kl")
            given = [group[0] for group in groups]
        divergences = sequence_kl(study.policies[name].model, sft, given)
        result[name] = dict(mean_with_interval(divergences, study.seed, study.config.resamples))
    return result


def _probes(study: Study, gold: GoldJudge, data: Path) -> dict[str, Any]:
    """Truthfulness, sampled and greedy, and harmlessness."""
    temperature = study.config.temperature
    truth = _probe(study, data / "probe_truthfulness.jsonl")
    claims: dict[str, Any] = {
        name: claim_shares(truth, study.ask(name, "truthfulness", truth, temperature), gold) for name in study.policies
    }
    claims["greedy"] = {
        name: claim_shares(truth, study.ask(name, "truthfulness greedy", truth, 0.0), gold) for name in study.policies
    }
    harm = _probe(study, data / "probe_harmlessness.jsonl")
    answers = {name: study.ask(name, "harmlessness", harm, temperature) for name in study.policies}
    return {
        "truthfulness": claims,
        "harmlessness": rude_shares(harm, answers, gold, study.seed, study.config.resamples),
    }


def _probe(study: Study, path: Path) -> list[Question]:
    """The questions of a probe, of each group a fixed random choice of ``probes``."""
    groups: dict[str, list[Question]] = {}
    for one in read_jsonl(path, Probe):
        groups.setdefault(one.group, []).append(Question(one.id, one.group, tuple(one.messages)))
    chosen = []
    for questions in groups.values():
        # One order for all groups, so that the three instructions meet the same messages.
        order = numpy_rng(study.seed, "evaluate", "probe", path.name).permutation(len(questions))
        chosen += [questions[index] for index in sorted(order[: study.config.probes])]
    return chosen


def _perplexity(study: Study, documents: Path) -> dict[str, Any]:
    networks = {name: policy.model for name, policy in study.policies.items()}
    texts = [document.text for document in read_jsonl(documents, Document)]
    return perplexities(networks, study.tokenizer, texts, seed=study.seed)


def _reward(
    study: Study, data: Path, dev: Sequence[Question], rankings: Sequence[Path], rankings_train: Sequence[Path]
) -> dict[str, Any]:
    """The reward model's accuracy: on fresh comparisons in the built-in world, else on held-out given ones."""
    config = study.config
    trained = [one for path in rankings_train for one in read_jsonl(path, Ranking)]
    shared: dict[str, Any] = {"trained": trained, "seed": study.seed, "resamples": config.resamples}
    if study.gold is None:
        seen = {one.prompt_id for one in trained}
        if (data / "prompts_train.jsonl").is_file():
            seen |= {one.id for one in read_jsonl(data / "prompts_train.jsonl", Prompt)}
        unseen = [one for path in rankings for one in read_jsonl(path, Ranking) if one.prompt_id not in seen]
        return on_rankings(study.reward, study.tokenizer, unseen, **shared)
    # The last policy is left out: the reward model's comparisons came from SFT and the rounds before.
    samplers = [policy for name, policy in study.policies.items() if name not in ("base", "ppo")]
    samples = max(1, config.reward_samples // len(samplers))
    questions = list(dev[: config.reward_prompts])
    figures, drawn = on_the_world(study.reward, samplers, questions, study.gold, samples=samples, **shared)
    for name, groups in drawn.items():
        flat = [(question, one) for question, group in zip(questions, groups, strict=True) for one in group]
        study.record(name, "reward", [question for question, _ in flat], [one for _, one in flat], 1.0)
    return figures
