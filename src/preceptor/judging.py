"""Which of several models is preferred: their answers to the same prompts, judged blind, whoever judges.

    prompts -> answers of each model (or files of answers) -> rankings -> win rates, ratings, a page

The judge is a reward model, the gold rubric of the built-in world, a language model behind an OpenAI-compatible
address, or people, whose rankings come as a file. The directory gets ``answers-*.jsonl``, ``rankings.jsonl``,
``preferences.json``, ``preferences.csv`` and ``report.html``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.evaluation.answers import Policy, Question
from preceptor.evaluation.journal import Journal, Row
from preceptor.evaluation.judges import GoldJudge, gold_judge
from preceptor.evaluation.preferences import preferences
from preceptor.evaluation.ratings import rating_figures
from preceptor.feedback.judge import JudgeConfig, judge
from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.schema import Prompt, Ranking, Rating, Record, Response, Sample
from preceptor.files import read_jsonl, write_atomic, write_json, write_jsonl
from preceptor.keyed import numpy_rng
from preceptor.ledger import claimed
from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.models.weights import digest
from preceptor.provenance import content_hash
from preceptor.reporting.figures import flat, to_csv
from preceptor.reporting.preferences import render_preferences
from preceptor.text.conversation import render_replies
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress
from preceptor.training.scoring import sequence_scores

GROUP = 32  # prompts that are answered together and kept together


class Output(Record):
    """One answer in a file of answers."""

    prompt_id: str
    text: str


@dataclass(frozen=True)
class Study:
    """What is compared and who judges: one of ``reward``, ``gold``, ``remote`` and ``rankings``."""

    models: Mapping[str, Path]
    answers: Mapping[str, Path]
    prompts: Path | None
    out: Path
    seed: int
    temperature: float
    max_new_tokens: int
    limit: int | None = None
    reward: Path | None = None
    gold: Path | None = None
    remote: JudgeConfig | None = None
    rankings: Path | None = None
    ratings: Path | None = None


def judge_models(study: Study, progress: Progress) -> dict[str, Any]:
    """Do what is left of a study; what ``preferences.json`` holds."""
    with claimed(study.out):
        rankings, notes = _rankings(study, progress) if study.rankings is None else _given(study.rankings)
        found: dict[str, Any] = {
            "judge": _judge_name(study),
            "seed": study.seed,
            "made_from": _made_from(study),
            **notes,
        }
        if rankings:
            found |= preferences(rankings, study.seed)
        if study.ratings is not None:
            found["ratings_by_people"] = rating_figures(read_jsonl(study.ratings, Rating), study.seed)
        write_json(study.out / "preferences.json", found)
        write_atomic(study.out / "preferences.csv", to_csv({"preferences": list(flat(_by_name(found)))}, "part"))
        write_atomic(study.out / "report.html", render_preferences(found))
    return found


def _given(path: Path) -> tuple[list[Ranking], dict[str, Any]]:
    return read_jsonl(path, Ranking), {}


def _judge_name(study: Study) -> str:
    if study.remote is not None:
        return f"{study.remote.model} (a language model)"
    if study.rankings is not None:
        return "the labelers of the file"
    return "reward model" if study.reward is not None else "gold rubric"


def _made_from(study: Study) -> dict[str, Any]:
    """The SHA-256 of the models and files that were given, and the settings of what was written."""
    files = {"prompts": study.prompts, "rankings": study.rankings, "ratings": study.ratings}
    found: dict[str, Any] = {
        "models": {name: digest(path) for name, path in study.models.items()},
        "answers": {name: content_hash(path) for name, path in study.answers.items()},
        "files": {name: content_hash(path) for name, path in files.items() if path is not None},
    }
    if study.models:
        found |= {"temperature": study.temperature, "max_new_tokens": study.max_new_tokens}
    if study.prompts is not None:
        found["limit"] = study.limit
    if study.reward is not None:
        found["reward_model"] = digest(study.reward)
    if study.remote is not None:
        found["judge_url"] = study.remote.url
    return found


def _by_name(found: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of lists under names of their own, so that each figure has a place."""
    pairs = {f"{row['a']} over {row['b']}": row for row in found.get("pairs", [])}
    ratings = {row["model"]: {"value": row["rating"], **row} for row in found.get("ratings", [])}
    rest = {key: value for key, value in found.items() if key not in ("pairs", "ratings", "seed", "made_from")}
    return {"preferred": pairs, "bradley_terry": ratings, **rest}


def _rankings(study: Study, progress: Progress) -> tuple[list[Ranking], dict[str, Any]]:
    """Answers of everybody to every prompt, in an order that tells nothing, and the judge's rankings of them."""
    if study.prompts is None:
        raise InputError("there is nothing to answer; give --prompts FILE")
    prompts = read_jsonl(study.prompts, Prompt)[: study.limit]
    twice = [one for one, count in Counter(prompt.id for prompt in prompts).items() if count > 1]
    if twice:
        raise InputError(f"{study.prompts}: prompt {twice[0]} is there twice; give each an id of its own")
    rows = {name: _answers(name, path, prompts, study, progress) for name, path in study.models.items()}
    texts = {name: [row["text"] for row in written] for name, written in rows.items()}
    texts |= {name: _read_answers(path, prompts) for name, path in study.answers.items()}
    samples = []
    for at, prompt in enumerate(prompts):
        order = numpy_rng(study.seed, "judge", "order", prompt.id).permutation(len(texts))
        named = list(texts.items())
        responses = [Response(text=named[i][1][at], model=named[i][0]) for i in order]
        samples.append(Sample(prompt_id=prompt.id, messages=prompt.messages, responses=responses))
    rankings, notes = _judged(study, samples, progress)
    write_jsonl(study.out / "rankings.jsonl", rankings)
    empty = {name: sum(not text for text in written) for name, written in texts.items()}
    return rankings, notes | {"empty_answers": empty, "not_judged": len(samples) - len(rankings)}


def _answers(name: str, path: Path, prompts: Sequence[Prompt], study: Study, progress: Progress) -> list[Row]:
    """What a model writes, ``{id, text, finished}``, kept as it comes, so that the same command goes on."""
    settings = {"temperature": study.temperature, "max_new_tokens": study.max_new_tokens, "seed": study.seed}
    assert study.prompts is not None
    made_from = {"model": digest(path), "prompts": content_hash(study.prompts), **settings}
    journal = Journal(study.out / f"answers-{name}.jsonl", made_from)
    model, tokenizer = open_language_model(path)
    policy = Policy(name, place(model, COMPUTE), tokenizer, study.max_new_tokens)

    def make(places: list[int]) -> list[dict[str, Any]]:
        questions = [Question(prompts[i].id, prompts[i].kind, tuple(prompts[i].messages)) for i in places]
        groups = policy.answer(questions, temperature=study.temperature, seed=study.seed, part="judge")
        return [{"text": group[0].text, "finished": group[0].finished} for group in groups]

    with progress.stage(f"answers of {name}", None) as stage:
        stage.start(len(prompts))
        return journal.fill([prompt.id for prompt in prompts], make, GROUP, stage.show)


def _read_answers(path: Path, prompts: Sequence[Prompt]) -> list[str]:
    by_prompt = {row.prompt_id: row.text for row in read_jsonl(path, Output)}
    missing = [prompt.id for prompt in prompts if prompt.id not in by_prompt]
    if missing:
        raise InputError(f"{path}: has no answer to prompt {missing[0]} ({len(missing)} are missing); give all of them")
    return [by_prompt[prompt.id] for prompt in prompts]


def _judged(study: Study, samples: list[Sample], progress: Progress) -> tuple[list[Ranking], dict[str, Any]]:
    with progress.stage("judge", None) as stage:
        stage.start(len(samples))
        if study.remote is not None:
            from preceptor.feedback.app.first import built_in

            kept = study.out / "judge.jsonl"
            judged = judge(samples, study.remote, built_in("ranking"), kept, stage.show)
            bias = {"same_both_ways": judged.same_both_ways, "judge_first_place": judged.first_place}
            return judged.rankings, bias | {"malformed": judged.malformed}
        if study.reward is not None:
            return _by_reward(samples, study.reward), {}
        gold = gold_judge(study.gold) if study.gold is not None else None
        if gold is None:
            raise InputError(f"--gold {study.gold}: has no gold.jsonl; name the data directory of a run on atlas")
        return _by_gold(samples, gold), {}


def _by_reward(samples: Sequence[Sample], path: Path) -> list[Ranking]:
    """Each answer is read as in the reward model's training: behind its conversation, and with an end."""
    text, model = Tokenizer.load(path), place(load_scalar_model(path), COMPUTE)
    sequences = []
    for sample in samples:
        replies = [response.text for response in sample.responses]
        sequences += [one.ids for one in render_replies(text, sample.messages, replies, model.trunk.context)]
    scores = iter(sequence_scores(model, sequences, text.pad_id).tolist())
    return [_ranking(sample, [next(scores) for _ in sample.responses], "reward model") for sample in samples]


def _by_gold(samples: Sequence[Sample], gold: GoldJudge) -> list[Ranking]:
    return [
        _ranking(sample, [gold.judgement(sample.prompt_id, one.text).score for one in sample.responses], "gold rubric")
        for sample in samples
    ]


def _ranking(sample: Sample, scores: Sequence[float], judge_name: str) -> Ranking:
    return Ranking(**sample.model_dump(), ranks=dense_ranks(scores), labeler=judge_name, source=judge_name)
