"""Writes the built-in world to files in the public formats, and reads it back."""

from collections import Counter
from pathlib import Path
from typing import Any

from preceptor.atlas.corpus import documents
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import Entity, World, build_world
from preceptor.atlas.probes import harmlessness_probes, truthfulness_probes
from preceptor.atlas.prompts import Asked, build_prompts
from preceptor.atlas.raters import labelers
from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.task import GoldTask
from preceptor.errors import InputError
from preceptor.feedback.schema import Demonstration
from preceptor.files import read_json, write_json, write_jsonl
from preceptor.text.conversation import Message


def write_world(config: AtlasConfig, seed: int, out: Path) -> dict[str, Any]:
    """Everything a run needs of the built-in world, into the directory ``out``. Returns what was written, in counts.

    - corpus.jsonl, corpus_heldout.jsonl: documents
    - prompts_train.jsonl, prompts_dev.jsonl, prompts_heldout.jsonl, demonstrations.jsonl: the public formats
    - probe_truthfulness.jsonl, probe_harmlessness.jsonl: questions of the evaluation
    - gold.jsonl: the task behind each prompt and probe
    - world.json: what is known, withheld and invented
    """
    world = build_world(config, seed)
    counts: dict[str, Any] = {}
    for name, part, count in (
        ("corpus.jsonl", "train", config.documents),
        ("corpus_heldout.jsonl", "heldout", config.heldout_documents),
    ):
        texts = list(documents(world, count, seed, part))
        write_jsonl(out / name, ({"text": text} for text in texts))
        counts[name] = {"documents": count, "words": sum(len(text.split()) for text in texts)}
    parts = build_prompts(world, config, seed)
    for part, rows in parts.items():
        write_jsonl(out / f"prompts_{part}.jsonl", (row.prompt for row in rows))
        users = {row.prompt.user for row in rows}
        kinds = Counter(row.prompt.kind for row in rows)
        counts[f"prompts_{part}.jsonl"] = {"prompts": len(rows), "users": len(users), "kinds": dict(kinds)}
    shown = demonstrations(world, parts["train"], config, seed)
    write_jsonl(out / "demonstrations.jsonl", shown)
    counts["demonstrations.jsonl"] = {"demonstrations": len(shown)}
    gold = [GoldTask(prompt_id=row.prompt.id, task=row.task) for rows in parts.values() for row in rows]
    for name, probes in (
        ("probe_truthfulness.jsonl", truthfulness_probes(world, config, seed)),
        ("probe_harmlessness.jsonl", harmlessness_probes(world, config, seed)),
    ):
        write_jsonl(out / name, (probe for probe, _ in probes))
        gold += [GoldTask(prompt_id=probe.id, task=task) for probe, task in probes]
        counts[name] = {"prompts": len(probes)}
    write_jsonl(out / "gold.jsonl", gold)
    write_json(out / "world.json", _described(world))
    return counts


def demonstrations(world: World, rows: list[Asked], config: AtlasConfig, seed: int) -> list[Demonstration]:
    """Answers to a sample of the training prompts, each by one labeler."""
    if config.demonstrations > len(rows):
        raise InputError(
            f"data.demonstrations is {config.demonstrations} but data.train_prompts is {len(rows)}; "
            "ask for no more demonstrations than prompts"
        )
    crew = labelers(config, seed)
    draw = Draw(seed, "atlas", "demonstrations")
    shown = []
    for row in draw.some(rows, config.demonstrations):
        labeler = draw.pick(crew)
        text = labeler.demonstrate(world, row.task, row.prompt.id)
        messages = [*row.prompt.messages, Message(role="assistant", content=text)]
        shown.append(Demonstration(prompt_id=row.prompt.id, messages=messages, labeler=labeler.name))
    return shown


def _described(world: World) -> dict[str, Any]:
    def rows(entities: tuple[Entity, ...]) -> list[dict[str, str]]:
        return [{"name": entity.name, "kind": entity.kind, **entity.values} for entity in entities]

    return {
        "seed": world.seed,
        "config": world.config.model_dump(),
        "known": rows(world.known),
        "withheld_train": rows(world.withheld_train),
        "withheld_test": rows(world.withheld_test),
        "invented_train": [entity.name for entity in world.invented_train],
        "invented_test": [entity.name for entity in world.invented_test],
        "invented_passages": [entity.name for entity in world.invented_passages],
    }


def load_world(data: Path) -> World:
    """The world whose files are in the directory ``data``."""
    path = data / "world.json"
    value = read_json(path)
    try:
        world = build_world(AtlasConfig.model_validate(value["config"]), int(value["seed"]))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: is not a world of this version; make the data again") from None
    if _described(world) != value:
        raise InputError(f"{path}: was made from other almanac packages; make the data again")
    return world
