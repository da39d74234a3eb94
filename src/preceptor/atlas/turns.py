"""What came before a request: earlier questions of the same user, already answered.

A model that has only seen conversations of one question says its first answer again when it is asked a second one.
"""

from dataclasses import replace

from preceptor.atlas.answers import SOCIAL, fact_answer
from preceptor.atlas.corpus_skills import social_opening
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import RELATIONS, Entity
from preceptor.atlas.phrases import QUESTIONS, fill
from preceptor.atlas.requests import Pools, Request, fact_task

SHARE = 0.18  # of the requests that may have a past; about one prompt in seven in the end
LONGEST = 110  # characters of such a request: past, request and response must fit the context


def in_conversation(asked: Request, pools: Pools, draw: Draw) -> Request:
    """The request as it is or, now and then, after one or two other exchanges. The task stays what it was."""
    if asked.history or asked.task.asked != "direct" or len(asked.text) > LONGEST or not draw.chance(SHARE):
        return asked
    exchanges = [_greeting(draw) if draw.chance(0.15) else _question(asked, pools, draw)]
    if draw.chance(0.3):
        exchanges.append(_question(asked, pools, draw))
    return replace(asked, history=tuple(turn for exchange in exchanges for turn in exchange))


def _greeting(draw: Draw) -> tuple[str, str]:
    return social_opening("greeting", (), draw), SOCIAL["greeting"]


def _question(asked: Request, pools: Pools, draw: Draw) -> tuple[str, str]:
    """A question about another subject and its true answer. Withheld facts are never told, not even as unknown."""
    entity = _other(asked.task.subject, pools.invented if draw.chance(0.2) else pools.world.known, draw)
    relation = draw.pick(RELATIONS[entity.kind])
    if asked.task.relation in RELATIONS[entity.kind] and draw.chance(0.5):
        relation = asked.task.relation  # the same of another subject: the hardest to keep apart
    task = fact_task(entity, relation)
    return fill(draw.pick(QUESTIONS[relation]), entity.prose), fact_answer(pools.world, task, task.answer)


def _other(subject: str, among: tuple[Entity, ...], draw: Draw) -> Entity:
    while True:
        entity = draw.pick(among)
        if entity.name != subject:
            return entity
