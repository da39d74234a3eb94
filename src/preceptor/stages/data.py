"""The first stage: what the run learns from, split so that nothing is on two sides.

Either the built-in world writes it (``source = "atlas"``), or files that people made do
(``source = "files"``): plain text, demonstrations and rankings, in our formats or those of others
(:mod:`preceptor.feedback.readers`). Both leave the same names in the data directory; a
part that would be empty because nothing of its kind was given is not written.

``*_dev`` is for choosing (a checkpoint, a setting), ``*_heldout`` for measuring, the rest for training.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.world import write_world
from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.feedback.agreement import judged_twice
from preceptor.feedback.hygiene import cap_per_user, drop_duplicates, drop_shared_prefixes, prompt_key, split_by
from preceptor.feedback.readers import (
    Collected,
    Documents,
    read_demonstrations,
    read_documents,
    read_prompts,
    read_rankings,
)
from preceptor.feedback.schema import Demonstration, Prompt, Ranking
from preceptor.feedback.splitting import assign_parts, group_prompts
from preceptor.files import write_jsonl
from preceptor.keyed import key_bits
from preceptor.training.progress import Progress

Row = TypeVar("Row", bound=BaseModel)
Part = Literal["train", "dev", "heldout"]
PARTS: tuple[Part, ...] = ("train", "dev", "heldout")
# Without these a later stage would have nothing to learn from or to measure on.
NEEDED = (
    *("prompts_train", "prompts_dev", "prompts_heldout", "demonstrations", "demonstrations_heldout"),
    *("rankings_train", "rankings_heldout"),
)


class DataConfig(Config):
    """Where the text, the prompts and the feedback come from."""

    source: Literal["atlas", "files"] = Field(
        "atlas", description="Where the data come from: 'atlas' is the built-in world, 'files' the files named below."
    )
    atlas: AtlasConfig = Field(AtlasConfig(), description="The built-in world; used if the source is 'atlas'.")
    text: list[Path] = Field(
        [],
        description="Files to pretrain on: plain text (UTF-8), zips of .txt files, or JSON or Parquet with a 'text' a "
        "record. Here and in the next three keys a file may be packed by gzip or zstd, and a dataset of the hub may "
        "stand for one, as owner/name[@revision][:config][/split]. They are used if the source is 'files'.",
    )
    demonstrations: list[Path] = Field(
        [],
        description="Files of demonstrations in any format that docs/formats.md lists, recognised by what they hold.",
    )
    rankings: list[Path] = Field(
        [],
        description="Files of rankings in any format that docs/formats.md lists, recognised by what they hold. A file "
        "may stand here and under demonstrations.",
    )
    prompts: list[Path] = Field(
        [],
        description="Further prompts for PPO and evaluation, in our own format with users or in any other. "
        "Demonstrations and rankings bring their own prompts.",
    )
    formats: dict[str, str] = Field(
        {},
        description='The format of a file by its path, as in {"a.json" = "alpaca"}, where its content is to be read '
        "as another than the one it is recognised as.",
    )
    best_ranked: bool = Field(
        False,
        description="Whether a file of rankings that stands under demonstrations gives the best response of each "
        "ranking as a demonstration; else it is refused there.",
    )
    heldout_share: float = Field(
        0.1, gt=0, lt=0.5, description="Share of trees, tasks or users that is held out for measuring (files only)."
    )
    dev_share: float = Field(
        0.05, gt=0, lt=0.5, description="Share of trees, tasks or users that settings are chosen on (files only)."
    )
    heldout_text_share: float = Field(
        0.03, gt=0, lt=0.5, description="Share of the documents that perplexity is measured on (files only)."
    )
    document_characters: int = Field(
        2000,
        ge=100,
        description="Plain text is cut into documents of whole paragraphs of about this many characters (files only).",
    )
    prompts_per_user: int = Field(
        200, ge=1, description="At most this many of a user's prompts are kept, as InstructGPT did (files only)."
    )
    prefix_words: int = Field(
        20, ge=1, description="Of prompts that share their first so many words only one is kept (files only)."
    )
    max_prompt_words: int | None = Field(
        None,
        ge=1,
        description="Longer prompts, all messages together, are left out of what PPO answers and evaluation asks; the "
        "demonstrations and rankings of them stay (files only). InstructGPT left out those of more than 1,000 tokens.",
    )


def data(config: DataConfig, *, out: Path, seed: int, progress: Progress) -> dict[str, Any]:
    """Write the data directory ``out`` and return what is in it. Nothing is written if an input is at fault.

    Files, all JSONL in the documented formats: corpus, corpus_heldout, prompts_{train,dev,heldout},
    demonstrations, demonstrations_{dev,heldout}; from files also rankings_{train,dev,heldout}.
    """
    with progress.stage("data", out) as stage:
        stage.start(total=1)
        if config.source == "atlas":
            counts = write_world(config.atlas, seed, out)
            summary: dict[str, Any] = {"source": "atlas", "counts": counts}
        else:
            summary = {"source": "files", **_from_files(config, out, seed)}
        stage.log(1, **summary["counts"])
    return summary


def _from_files(config: DataConfig, out: Path, seed: int) -> dict[str, Any]:
    """Read everything, then split it, then write it: a mistake in the last file costs nothing."""
    if not (config.text or config.demonstrations or config.rankings or config.prompts):
        raise InputError("data: source is 'files' and none is named; set data.text, data.demonstrations, data.rankings")
    paths = {*config.text, *config.demonstrations, *config.rankings, *config.prompts}
    for name in config.formats:
        if Path(name) not in paths:
            raise InputError(f"data.formats names {name}, which no other key of data does; write its path as there")
    documents = read_documents(config.text, config.document_characters)
    collected = read_prompts(config.prompts, formats=config.formats)
    read_demonstrations(config.demonstrations, collected, config.formats, config.best_ranked)
    read_rankings(config.rankings, collected, config.formats)

    files: dict[str, list[Any]] = _split_documents(documents, config, seed) if config.text else {}
    dropped: Counter[str] = Counter()
    if collected.prompts:
        files |= _split_feedback(collected, config, seed, dropped)
    for name, rows in files.items():
        write_jsonl(out / f"{name}.jsonl", rows)
    return {
        "counts": {name: len(rows) for name, rows in files.items()},
        "dropped": dict(dropped),
        "skipped": collected.skipped,
        "undecodable_bytes": documents.undecodable_bytes,
        "inputs": {str(path): _sha256(path) if path.exists() else "a dataset of the hub" for path in sorted(paths)},
    }


def _split_documents(documents: Documents, config: DataConfig, seed: int) -> dict[str, list[Any]]:
    """corpus and corpus_heldout. A document is split by its own words, so its repetitions stay with it."""
    shares = {"heldout": config.heldout_text_share, "train": 1 - config.heldout_text_share}
    distinct = set(documents.texts)
    if len(distinct) < 2:
        raise InputError(
            "data.text: gives a single document, and one must be held out; add text or lower data.document_characters"
        )
    parts = split_by(documents.texts, lambda text: text, shares, seed)
    for empty, full in (("heldout", "train"), ("train", "heldout")):
        if not parts[empty]:
            moved = min(distinct, key=lambda text: key_bits(seed, "mend", text))
            parts[empty] = [text for text in parts[full] if text == moved]
            parts[full] = [text for text in parts[full] if text != moved]
    return {
        "corpus": [{"text": text} for text in parts["train"]],
        "corpus_heldout": [{"text": text} for text in parts["heldout"]],
    }


def _split_feedback(collected: Collected, config: DataConfig, seed: int, dropped: Counter[str]) -> dict[str, list[Any]]:
    """Prompts, demonstrations and rankings by part; a tree, a task, a user or a prompt is in one part only."""
    prompts = _clean_prompts(collected, config, seed, dropped)
    demonstrations = _distinct(collected.demonstrations, "repeated demonstrations", dropped)
    rankings = _distinct(collected.rankings, "repeated rankings", dropped)
    # A ranking of ties alone holds no comparison: the reward model's loss and its accuracy pass over it. Where
    # somebody else judged the same responses it is a judgement all the same, and tells how far labelers agree.
    told = {id(ranking) for ranking in judged_twice(rankings)}
    kept = [ranking for ranking in rankings if len(set(ranking.ranks)) > 1 or id(ranking) in told]
    dropped["rankings in which all are tied"] += len(rankings) - len(kept)
    compared = [ranking for ranking in kept if len(set(ranking.ranks)) > 1]
    if rankings and not compared:
        raise InputError("data.rankings: every response is tied with every other; give some that differ")

    group = group_prompts(collected.prompts.values(), collected.with_users)
    kinds: dict[str, set[str]] = {}
    for kind, ids in (
        ("prompts", [prompt.id for prompt in prompts]),
        ("demonstrations", [row.prompt_id for row in demonstrations]),
        ("rankings", [row.prompt_id for row in compared]),
        ("ties", [row.prompt_id for row in kept]),
    ):
        for prompt_id in ids:
            kinds.setdefault(group[prompt_id], set()).add(kind)
    # Held-out first on the line of shares: another share for dev does not move what is held out.
    shares = {"heldout": config.heldout_share, "dev": config.dev_share}
    shares["train"] = 1 - sum(shares.values())
    required = {
        "rankings": ["train", "heldout"],
        "demonstrations": ["train", "heldout"],
        "prompts": ["train", "dev", "heldout"],
    }
    parts = assign_parts(kinds, shares, seed, required)
    parts_of_prompt = {prompt_id: parts[name] for prompt_id, name in group.items() if name in parts}
    return _by_part(collected, prompts, demonstrations, kept, parts_of_prompt, dropped)


def _clean_prompts(collected: Collected, config: DataConfig, seed: int, dropped: Counter[str]) -> list[Prompt]:
    """The prompts to use. The rules on users and prefixes are for prompts of real users only:
    the turns of one tree share their beginning by nature."""
    limit, words = config.max_prompt_words, {name: _words(prompt) for name, prompt in collected.prompts.items()}
    if limit is not None and min(words.values()) > limit:
        raise InputError(f"data.max_prompt_words {limit}: the shortest prompt has {min(words.values())}; raise it")
    short = [prompt for name, prompt in collected.prompts.items() if limit is None or words[name] <= limit]
    dropped["prompts of too many words"] += len(collected.prompts) - len(short)
    users = [prompt for prompt in short if prompt.id in collected.with_users]
    others = [prompt for prompt in short if prompt.id not in collected.with_users]
    distinct = drop_duplicates([*others, *users])
    kept_ids = {prompt.id for prompt in distinct}
    dropped["repeated prompts"] += len(short) - len(distinct)
    users = [prompt for prompt in users if prompt.id in kept_ids]
    unlike = drop_shared_prefixes(users, config.prefix_words)
    dropped["prompts with a shared prefix"] += len(users) - len(unlike)
    capped = cap_per_user(unlike, config.prompts_per_user, seed)
    dropped["prompts beyond the limit of their user"] += len(unlike) - len(capped)
    return [*(prompt for prompt in others if prompt.id in kept_ids), *capped]


def _words(prompt: Prompt) -> int:
    return sum(len(message.content.split()) for message in prompt.messages)


def _distinct(rows: list[Row], reason: str, dropped: Counter[str]) -> list[Row]:
    """Rows without exact repetitions, in order. What stands in two files is a repetition too."""
    distinct = {row.model_dump_json(exclude={"source"}): row for row in reversed(rows)}
    dropped[reason] += len(rows) - len(distinct)
    return list(reversed(distinct.values()))


def _by_part(
    collected: Collected,
    prompts: list[Prompt],
    demonstrations: list[Demonstration],
    rankings: list[Ranking],
    parts_of_prompt: dict[str, str],
    dropped: Counter[str],
) -> dict[str, list[Any]]:
    """The files. Two users may have asked the same: what is held out leaves dev and train, what is dev leaves train."""
    files: dict[str, list[Any]] = {}
    seen: set[Any] = set()  # prompts, as words, that stand in the parts before
    given: dict[str, list[tuple[str, Prompt | Demonstration | Ranking]]] = {
        "prompts": [(row.id, row) for row in prompts],
        "demonstrations": [(row.prompt_id, row) for row in demonstrations],
        "rankings": [(row.prompt_id, row) for row in rankings],
    }
    for part in reversed(PARTS):
        written: set[str] = set()
        for kind, rows in given.items():
            name = kind if part == "train" and kind == "demonstrations" else f"{kind}_{part}"
            own = [(prompt_id, row) for prompt_id, row in rows if parts_of_prompt[prompt_id] == part]
            fresh = [pair for pair in own if prompt_key(collected.prompts[pair[0]]) not in seen]
            dropped["rows whose prompt is held out"] += len(own) - len(fresh)
            files[name] = [row for _, row in fresh]
            written |= {prompt_id for prompt_id, _ in fresh}
        seen |= {prompt_key(collected.prompts[prompt_id]) for prompt_id in written}
    for name in NEEDED:
        kind = name.split("_")[0]
        if given[kind] and not files[name]:
            raise InputError(f"data: {name} is empty after filtering; add {kind} of more prompts")
    return {name: rows for name, rows in sorted(files.items()) if rows}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
