"""The answer to a task as a careful labeler would write it."""

from collections.abc import Mapping

from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import Entity, World
from preceptor.atlas.phrases import (
    FURTHER,
    PASSAGE_STATEMENT,
    STATEMENTS,
    UNKNOWN,
    digest,
    fill,
    introduction,
    noun_phrase,
    plural,
    series,
    statements,
    unknown_about,
    upper_first,
    with_article,
)
from preceptor.atlas.task import Task
from preceptor.atlas.words import CATEGORIES, INSULTS, NUMBER_WORDS, RUDE_TAILS

POLITE_OPENING = "Of course! "
POLITE_REGRET = "I am sorry. "
# What a person says on an occasion. {0}, {1} are the task's items.
LETTERS = {
    "birthday": "Happy birthday, {0}! I wish you a wonderful day.",
    "thanks": "Dear {0}, thank you very much for the {1}.",
    "invitation": "Dear {0}, please come to my house for {1}.",
    "get well": "Dear {0}, I hope you get well soon.",
    "slogan": "Nothing tastes better than {0}!",
}
SOCIAL = {
    "greeting": "Hello! How can I help you?",
    "introduction": "Hello, {0}! How can I help you?",
    "well-being": "I am fine, thank you. How can I help you?",
    "thanks": "You are welcome!",
    "farewell": "Goodbye! Have a nice day.",
    "identity": "I am an assistant. How can I help you?",
    "sorrow": "I am sorry to hear that. I hope your {0} will be well soon.",
    "insult": "I am sorry. How can I help you?",
}
_NO_DRAW = Draw(0, "atlas", "unused")  # for forms that draw nothing
STORY = "Once {0} met {1}. They shared some {food}. Then they became friends."


def ideal_answer(world: World, task: Task, draw: Draw) -> str:
    """A full, true, well-formed answer in the tone asked for."""
    text = _body(world, task, draw)
    if task.tone == "polite" and task.constraint != "one word" and task.form != "social":
        return (POLITE_REGRET if task.unknowable else POLITE_OPENING) + text
    if task.tone == "rude":
        return text + draw.pick(RUDE_TAILS).format(insult=draw.pick(INSULTS))
    return text


def plain_answer(world: World, task: Task) -> str:
    """An ideal answer without its tone; where there are many, one of ordinary length."""
    if task.form == "list":
        return upper_first(series(["Kenya"] * task.count)) + "."
    if task.form == "story":
        return STORY.format(*map(with_article, task.items), food="bread")
    return _body(world, task, _NO_DRAW)


def _body(world: World, task: Task, draw: Draw) -> str:
    if task.form == "fact":
        return fact_answer(world, task, task.answer)
    if task.form == "note":
        return note(world, task)
    if task.form == "passage":
        value = noun_phrase(task.relation, task.answer)
        subject = world.named(task.subject).prose
        return upper_first(PASSAGE_STATEMENT.format(r=task.relation, s=subject, v=value))
    if task.form == "summary":
        return digest(world, task.subject, task.given)
    if task.form == "list":
        return upper_first(series(draw.some(members(world, task), task.count))) + "."
    if task.form == "extract":
        return upper_first(f"{plural(task.category)}: {', '.join(task.items)}.")
    return _small_body(task, draw)


def _small_body(task: Task, draw: Draw) -> str:
    """The forms that need nothing but their words."""
    if task.form == "letter":
        return LETTERS[task.category].format(*task.items)
    if task.form == "social":
        return SOCIAL[task.category].format(*task.items)
    if task.form == "story":
        pair = [with_article(item) for item in task.items]
        return STORY.format(*pair, food=draw.pick(CATEGORIES["food"]))
    if task.form == "classify":
        if task.constraint == "one word":
            return upper_first(task.answer) + "."
        return upper_first(f"{task.subject} is {with_article(task.answer)}.")
    if task.form == "message":
        return f"The message is {task.answer}."
    if task.form == "count":
        number = NUMBER_WORDS[int(task.answer)]
        return f"There {'is' if task.answer == '1' else 'are'} {number} {task.category}."
    if task.form == "repeat":
        return upper_first(", ".join(task.items)) + "."
    return task.answer  # polite, capitals, past


def fact_answer(world: World, task: Task, value: str) -> str:
    """The answer to a direct question with this value; an empty value means that it is not known."""
    subject = world.named(task.subject).prose
    if not value:
        return UNKNOWN if task.constraint == "one word" else unknown_about(task.relation, subject)
    if task.constraint == "one word":
        return upper_first(value) + "."
    return fill(STATEMENTS[task.relation][0], subject, value)


def note(world: World, task: Task) -> str:
    """``task.count`` sentences about a subject."""
    entity = world.named(task.subject)
    if task.unknowable:
        return f"I do not know anything about {entity.prose}."
    return " ".join(note_sentences(entity, entity.values, task.count))


def note_sentences(entity: Entity, values: Mapping[str, str], count: int = 3) -> list[str]:
    """The ``count`` (at most 3) sentences that say most about a known entity, in the preferred order."""
    if entity.kind == "country":
        return statements(entity, ("continent", "capital", "currency"), values)[:count]
    if count < 3:  # what an element is called by comes before the news that it is one
        return statements(entity, ("symbol", "number"), values)[:count]
    return [introduction(entity), *(fill(FURTHER[relation], "", values[relation]) for relation in ("symbol", "number"))]


def members(world: World, task: Task) -> list[str]:
    """All that a list task accepts (that the world knows of)."""
    if task.category in CATEGORIES:
        return list(CATEGORIES[task.category])
    known = world.of_kind(task.category)
    return [entity.prose for entity in known if task.answer in ("", entity.values.get("continent"))]
