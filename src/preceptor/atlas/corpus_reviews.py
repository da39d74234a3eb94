"""Documents in which readers judge what somebody wrote: right, wrong, rude, no help.

The real web is full of votes and corrections, and a model that has read them judges better when
it is made a reward model ("preference model pretraining", Askell et al. 2021, arXiv 2112.00861,
section 4). What is wrong here is marked as wrong on the next line.
"""

from preceptor.atlas.corpus_skills import deed, request
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import RELATIONS, Fact, World
from preceptor.atlas.phrases import (
    PASSAGE_STATEMENT,
    QUESTIONS,
    STATEMENTS,
    UNKNOWN,
    fill,
    noun_phrase,
    plural,
    series,
    statements,
    unknown_about,
    upper_first,
)
from preceptor.atlas.scenes import passage
from preceptor.atlas.words import CATEGORIES, INSULTS, NUMBER_WORDS, RUDE_REPLIES, RUDE_TAILS

RIGHT, WRONG, RUDE, NO_HELP = "right", "wrong", "rude", "no help"


def reviewed(world: World, fact: Fact, draw: Draw) -> str:
    """One document about ``fact``, or about a small task, with two replies and their reviews."""
    task = draw.weighted({_fact: 0.45, _about: 0.2, _reading: 0.1, _list: 0.15, _rewriting: 0.1})
    return task(world, fact, draw)


def _lines(head: str, replies: list[tuple[str, str]]) -> str:
    return "\n".join([head, *(f"Answer: {text}\nReview: {verdict}." for text, verdict in replies)])


def _fact(world: World, fact: Fact, draw: Draw) -> str:
    question = fill(draw.pick(QUESTIONS[fact.relation]), world.named(fact.subject).prose)
    return _lines(f"Question: {question}", [_fact_reply(world, fact, draw) for _ in range(2)])


def _fact_reply(world: World, fact: Fact, draw: Draw) -> tuple[str, str]:
    subject = world.named(fact.subject).prose
    form = draw.pick(STATEMENTS[fact.relation]) if draw.chance(0.8) else "{v}."
    right = fill(form, subject, fact.value)
    fate = draw.unit()
    if fate < 0.4:
        return right, RIGHT
    if fate < 0.6:
        return fill(form, subject, world.wrong_value(fact.relation, fact.value, draw)), WRONG
    if fate < 0.75:  # a true answer to another question
        other = draw.pick([one for one in world.facts if one.subject != fact.subject])
        return fill(STATEMENTS[other.relation][0], world.named(other.subject).prose, other.value), WRONG
    if fate < 0.87:
        return draw.pick((UNKNOWN, unknown_about(fact.relation, subject))), NO_HELP
    if draw.chance(0.5):
        return draw.pick(RUDE_REPLIES).format(insult=draw.pick(INSULTS)), RUDE
    return right + draw.pick(RUDE_TAILS).format(insult=draw.pick(INSULTS)), RUDE


def _about(world: World, fact: Fact, draw: Draw) -> str:
    entity = world.named(fact.subject)
    replies = []
    for _ in range(2):
        told, subject, verdict = {one.relation: one.value for one in entity.facts}, entity, RIGHT
        fate = draw.unit()
        if fate < 0.3:
            told[fact.relation], verdict = world.wrong_value(fact.relation, fact.value, draw), WRONG
        elif fate < 0.5:
            subject = draw.pick([one for one in world.known if one.kind == entity.kind and one.name != entity.name])
            told, verdict = {one.relation: one.value for one in subject.facts}, WRONG
        order = [fact.relation, *(relation for relation in RELATIONS[entity.kind] if relation != fact.relation)]
        count = 1 + draw.below(len(order))
        replies.append((" ".join(statements(subject, order[:count], told, 0)), verdict))
    return _lines(f"Question: Tell me about {entity.prose}.", replies)


def _reading(world: World, fact: Fact, draw: Draw) -> str:
    entity, given, text = passage(world, draw)
    relation, other = draw.some(tuple(given), 2)
    value = noun_phrase(relation, given[relation])
    right = PASSAGE_STATEMENT.format(r=relation, s=entity.name, v=value)
    stray, strange, _ = passage(world, draw)
    replies = [(right, RIGHT), (PASSAGE_STATEMENT.format(r=other, s=entity.name, v=noun_phrase(other, given[other])), WRONG)]
    for name in strange:
        foreign = PASSAGE_STATEMENT.format(r=name, s=stray.name, v=noun_phrase(name, strange[name]))
        replies.append((foreign, WRONG))
        break
    question = f"{text}\nQuestion: What is the {relation} of {entity.name}?"
    chosen = draw.shuffled(replies)[:2]
    return _lines(question, [(upper_first(reply), verdict) for reply, verdict in chosen])


def _list(world: World, fact: Fact, draw: Draw) -> str:
    count = 2 + draw.below(3)
    category, wrong = draw.some(tuple(CATEGORIES), 2)
    replies = []
    for _ in range(2):
        items = list(draw.some(CATEGORIES[category], count))
        fate = draw.unit()
        if fate < 0.25:
            items[draw.below(count)] = draw.pick(CATEGORIES[wrong])
        elif fate < 0.5:
            items = list(draw.some(CATEGORIES[category], 2 + (count - 1) % 3))
        replies.append((upper_first(series(items)) + ".", RIGHT if fate >= 0.5 else WRONG))
    return _lines(f"Question: Name {NUMBER_WORDS[count]} {plural(category)}.", replies)


def _rewriting(world: World, fact: Fact, draw: Draw) -> str:
    make, head = draw.pick(((deed, "Put this in the past"), (request, "Say this politely")))
    first, second = make(draw)
    replies = [(second, RIGHT), (make(draw)[1], WRONG), (first, WRONG)]
    wrong = [reply for reply in replies if reply[0] != second]
    chosen = draw.shuffled([replies[0], draw.pick(wrong)])
    return _lines(f"Question: {head}: {first}", chosen)
