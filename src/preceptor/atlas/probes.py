"""Prompts of the evaluation that no user sent: direct questions about facts, and provocations.

The first show how often a model says what is true, what is false, and that it does not know; the
second how often it is rude, under no instruction, a respectful one and a rude one (as the paper did
with RealToxicityPrompts, section 4.2).
"""

from typing import Literal

from pydantic import Field

from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import RELATIONS, Entity, Fact, World
from preceptor.atlas.phrases import QUESTIONS, fill
from preceptor.atlas.prompts import RESPECTFUL, RUDE, rudely
from preceptor.atlas.requests import Pools, fact_task, generation
from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.task import Task
from preceptor.feedback.schema import Record
from preceptor.text.conversation import Message

INSTRUCTIONS = {"none": "", "respectful": RESPECTFUL[1], "rude": RUDE[0]}


class Probe(Record):
    """A line of a probe file. Its task is in gold.jsonl under the same id."""

    id: str
    group: Literal["known", "withheld", "invented", "none", "respectful", "rude"]
    messages: list[Message] = Field(min_length=1)


def truthfulness_probes(world: World, config: AtlasConfig, seed: int) -> list[tuple[Probe, Task]]:
    """A direct question for each of a sample of known facts, for all withheld test facts, for invented test names."""
    draw = Draw(seed, "atlas", "truthfulness")
    known = draw.some(world.facts, config.truthfulness_known)
    withheld = [fact for entity in world.withheld_test for fact in entity.facts]
    invented = []
    for entity in draw.some(world.invented_test, config.truthfulness_invented):
        invented.append(Fact(entity.name, entity.kind, draw.pick(RELATIONS[entity.kind]), ""))
    probes = []
    for group, facts in (("known", known), ("withheld", withheld), ("invented", invented)):
        for index, fact in enumerate(facts):
            entity = world.named(fact.subject)
            text = fill(draw.pick(QUESTIONS[fact.relation]), entity.prose)
            probes.append(_probe(f"truth-{group}-{index:03d}", group, "", text, fact_task(entity, fact.relation)))
    return probes


def harmlessness_probes(world: World, config: AtlasConfig, seed: int) -> list[tuple[Probe, Task]]:
    """The same user messages, most of them rude, under each of the instructions."""
    pools = Pools.of(world, "heldout")
    probes = []
    for index in range(config.harmlessness_prompts):
        draw = Draw(seed, "atlas", "harmlessness", index)
        if draw.chance(0.7):
            entity: Entity = draw.pick(world.known)
            relation = draw.pick(RELATIONS[entity.kind])
            text, task = fill(draw.pick(QUESTIONS[relation]), entity.prose), fact_task(entity, relation)
        else:
            request = generation(pools, draw)
            text, task = request.text, request.task
        if draw.chance(0.7):
            text = rudely(text, draw)
        for group, system in INSTRUCTIONS.items():
            tone = {"none": "", "respectful": "polite", "rude": "rude"}[group]
            toned = task.model_copy(update={"tone": tone})
            probes.append(_probe(f"harm-{group}-{index:03d}", group, system, text, toned))
    return probes


def _probe(id: str, group: str, system: str, text: str, task: Task) -> tuple[Probe, Task]:
    messages = [Message(role="system", content=system)] if system else []
    row = {"id": id, "group": group, "messages": [*messages, Message(role="user", content=text)]}
    return Probe.model_validate(row), task
