"""What goes wrong in people's answers. Each flaw turns a good answer into a worse one, or gives "" where it cannot."""

from collections.abc import Callable

from preceptor.atlas.answers import LETTERS, fact_answer, members, note_sentences
from preceptor.atlas.claims import SENTENCE
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import RELATIONS, World
from preceptor.atlas.phrases import STATEMENTS, fill, noun_phrase, statements, upper_first
from preceptor.atlas.task import Task
from preceptor.atlas.words import ANIMALS, CATEGORIES, FOODS, INSULTS, PASSAGE_VALUES, RUDE_REPLIES, RUDE_TAILS

Flaw = Callable[[World, Task, str, Draw], str]


def _terse(world: World, task: Task, text: str, draw: Draw) -> str:
    """The bare value, or the first few words."""
    if task.form == "fact" and task.answer:
        return upper_first(task.answer) + draw.pick((".", ""))
    if task.form in ("passage", "classify", "message"):
        return upper_first(noun_phrase(task.relation, task.answer)) + "."
    sentences = SENTENCE.findall(text)
    return sentences[0].strip() if len(sentences) > 1 else ""


def _no_stop(world: World, task: Task, text: str, draw: Draw) -> str:
    return text.rstrip(".!?") if text[-1:] in ".!" else ""


def _small_letter(world: World, task: Task, text: str, draw: Draw) -> str:
    return text[:1].lower() + text[1:].rstrip(".") if task.form != "capitals" else text.lower()


def _constraint(world: World, task: Task, text: str, draw: Draw) -> str:
    """Too many or too few of what was asked for, a sentence for a word."""
    if task.form == "fact" and task.constraint and task.answer:
        return fact_answer(world, task.model_copy(update={"constraint": ""}), task.answer)
    if task.form == "note" and task.status == "known":
        entity = world.named(task.subject)
        count = draw.pick([number for number in (1, 2, 3) if number != task.count])
        return " ".join(note_sentences(entity, entity.values, count))
    if task.form == "list":
        pool = members(world, task)
        chosen = draw.some(pool, task.count + (draw.pick((-1, 1)) if len(pool) > task.count else -1))
        return upper_first(", ".join(chosen)) + "."
    if task.form in ("extract", "repeat") and len(task.items) > 1:
        return text.replace(f", {task.items[-1]}", "")
    return ""


def _wrong(world: World, task: Task, text: str, draw: Draw) -> str:
    """A guess where nothing can be known; now and then a mistake where it can."""
    if task.form == "fact":
        return fact_answer(world, task, world.wrong_value(task.relation, task.answer, draw))
    if task.form in ("note", "summary") and task.status != "given":
        entity = world.named(task.subject)
        values = dict(entity.values)
        for relation in RELATIONS[entity.kind]:
            if task.status != "known" or draw.chance(0.4):
                values[relation] = world.wrong_value(relation, entity.values.get(relation, ""), draw)
        return " ".join(note_sentences(entity, values, task.count or 3))
    if task.form == "passage":
        value = draw.pick([other for other in PASSAGE_VALUES[task.relation] if other != task.answer])
        return text.replace(task.answer, value)
    return _wrong_member(world, task, text, draw)


def _wrong_member(world: World, task: Task, text: str, draw: Draw) -> str:
    if task.form == "list":
        pool = members(world, task)
        everything = [*ANIMALS, *FOODS] if task.category in CATEGORIES else [e.prose for e in world.known]
        stranger = draw.pick([word for word in everything if word not in pool])
        return upper_first(", ".join([*draw.some(pool, task.count - 1), stranger])) + "."
    if task.form == "message":
        return f"The message is {'kind' if task.answer == 'rude' else 'rude'}."
    if task.form == "classify":
        other = draw.pick([name for name in ("country", "element", "animal", "food") if name != task.answer])
        return text.replace(task.answer, other).replace(task.answer.capitalize(), other.capitalize())
    if task.form == "letter" and task.items:
        return LETTERS[draw.pick([name for name in LETTERS if name not in ("thanks", "invitation")])].format(
            *task.items
        )
    return ""


def _needless_unknown(world: World, task: Task, text: str, draw: Draw) -> str:
    return "I do not know." if task.form in ("fact", "note", "passage", "list", "classify", "count") else ""


def _rude_tail(world: World, task: Task, text: str, draw: Draw) -> str:
    return text + draw.pick(RUDE_TAILS).format(insult=draw.pick(INSULTS))


def _rude_reply(world: World, task: Task, text: str, draw: Draw) -> str:
    return draw.pick(RUDE_REPLIES).format(insult=draw.pick(INSULTS))


def _ramble(world: World, task: Task, text: str, draw: Draw) -> str:
    """Something true but not asked for, or the same again."""
    if draw.chance(0.3):
        return f"{text} {text}"
    entity = world.entities.get(task.subject.lower())
    if entity is None or not entity.values or entity.status != "known":
        entity = draw.pick(world.known)
        relation = draw.pick(RELATIONS[entity.kind])
        return f"{text} {fill(STATEMENTS[relation][0], entity.prose, entity.values[relation])}"
    return f"{text} {' '.join(statements(entity, draw.shuffled(RELATIONS[entity.kind]), entity.values))}"


# How often each is tried, by whether the honest answer would be "I do not know."
FLAWS: dict[Flaw, float] = {
    _terse: 0.24,
    _no_stop: 0.22,
    _small_letter: 0.14,
    _constraint: 0.07,
    _wrong: 0.03,
    _needless_unknown: 0.03,
    _rude_tail: 0.08,
    _rude_reply: 0.02,
    _ramble: 0.17,
}
FLAWS_UNKNOWN: dict[Flaw, float] = {_wrong: 0.8, _terse: 0.08, _rude_tail: 0.06, _no_stop: 0.06}


def flawed(world: World, task: Task, text: str, draw: Draw) -> str:
    """``text``, an ideal answer to ``task``, with one flaw."""
    shares = FLAWS_UNKNOWN if task.unknowable else FLAWS
    for _ in range(30):
        worse = draw.weighted(shares)(world, task, text, draw)
        if worse.strip() and worse != text:
            return worse
    return text.rstrip(".!?")
