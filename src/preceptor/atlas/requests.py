"""How users ask: one function a use case, each giving the user's words and the task behind them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from preceptor.atlas.answers import SOCIAL, fact_answer, note_sentences
from preceptor.atlas.corpus_skills import deed, letter_items, message, request, social_items, social_opening
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import RELATIONS, Entity, World
from preceptor.atlas.phrases import (
    AFFAIRS,
    BEGINNINGS,
    NOUNS,
    QUESTIONS,
    fill,
    plural,
    upper_first,
    with_article,
)
from preceptor.atlas.scenes import category_of, passage, scene
from preceptor.atlas.task import Task
from preceptor.atlas.words import ANIMALS, CATEGORIES, FOODS, NUMBER_WORDS, THINGS


@dataclass(frozen=True)
class Request:
    """The user's turn, what came before it (user, assistant, ...), and what it really asks."""

    text: str
    task: Task
    history: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pools:
    """What may be asked about in a part. No part sees another's withheld or invented names."""

    world: World
    withheld: tuple[Entity, ...]
    invented: tuple[Entity, ...]

    @classmethod
    def of(cls, world: World, part: str) -> "Pools":
        """The pools of "train", "dev" or "heldout"."""
        if part == "heldout":
            return cls(world, world.withheld_test, world.invented_test)
        return cls(world, world.withheld_train, world.invented_train)

    def entity(self, draw: Draw, share: float = 0.12) -> Entity:
        """Mostly something known; withheld and invented ``share`` each."""
        point = draw.unit()
        if point < share:
            return draw.pick(self.withheld)
        return draw.pick(self.invented) if point < 2 * share else draw.pick(self.world.known)


def fact_task(entity: Entity, relation: str, kind: str = "open_qa", **more: object) -> Task:
    """The task of telling one relation of one entity."""
    answer = entity.values[relation] if entity.status == "known" else ""
    fields = {"subject": entity.name, "relation": relation, "status": entity.status, "answer": answer}
    return Task.model_validate({"kind": kind, "form": "fact", **fields, **more})


def open_qa(pools: Pools, draw: Draw) -> Request:
    """A question about a fact."""
    entity = pools.entity(draw)
    relation = draw.pick(RELATIONS[entity.kind])
    form = draw.unit()
    if form < 0.07:
        entity = draw.pick(pools.world.known)
        return _fact_by_examples(pools.world, draw, entity, draw.pick(RELATIONS[entity.kind]))
    if form < 0.13:
        beginning = fill(BEGINNINGS[relation], entity.prose)
        head = draw.pick(("Complete this sentence: ", "Finish the sentence: ", "Please go on: "))
        return Request(head + beginning, fact_task(entity, relation, asked="continuation"))
    if form < 0.3:
        text = fill(draw.pick(AFFAIRS[relation]), entity.prose)
        return Request(text, fact_task(entity, relation, style="user-based"))
    text = _opened(fill(draw.pick(QUESTIONS[relation]), entity.prose), draw)
    if draw.chance(0.15):
        text += draw.pick((" Answer in one word.", " One word only."))
        return Request(text, fact_task(entity, relation, constraint="one word"))
    return Request(text, fact_task(entity, relation))


def _fact_by_examples(world: World, draw: Draw, entity: Entity, relation: str) -> Request:
    others = [other for other in draw.some(world.of_kind(entity.kind), 4) if other != entity][:3]
    lines = [f"{upper_first(other.prose)}: {upper_first(other.values[relation])}" for other in others]
    text = "\n".join([upper_first(NOUNS[relation]) + " of:", *lines, f"{upper_first(entity.prose)}:"])
    return Request(text, fact_task(entity, relation, style="few-shot", asked="examples", constraint="one word"))


_OPENERS = ("", "", "", "Hi! ", "Hello. ", "Good morning. ", "Can you help me? ", "I need help. ")


def _opened(question: str, draw: Draw) -> str:
    return draw.pick(_OPENERS) + question


def closed_qa(pools: Pools, draw: Draw) -> Request:
    """A question whose answer stands in the prompt, and nowhere else."""
    entity, given, text = passage(pools.world, draw)
    relation = draw.pick(tuple(given))
    question = f"What is the {relation} of {entity.name}?"
    fields = {"subject": entity.name, "relation": relation, "status": "given", "answer": given[relation]}
    task = Task.model_validate({"kind": "closed_qa", "form": "passage", "given": given, **fields})
    return Request(draw.pick((f"{text} {question}", f"Read this: {text} {question}", f"{question} {text}")), task)


def extraction(pools: Pools, draw: Draw) -> Request:
    """Find all members of a category in a text."""
    seen = scene(pools.world, draw)
    category = draw.pick(tuple(seen.items))
    asked = draw.pick(("List the {} in this text: {}", "Which {} occur here? {}", "Find the {} in this: {}"))
    task = Task(kind="extraction", form="extract", items=seen.items[category], category=category)
    return Request(asked.format(plural(category), seen.text), task)


def classification(pools: Pools, draw: Draw) -> Request:
    """Which of two categories; a kind message or a rude one."""
    if draw.chance(0.4):
        text, kind = message(draw)
        asked = draw.pick(("Is this message kind or rude? {}", "Kind or rude? {}", "How is this message? {}"))
        return Request(asked.format(text), Task(kind="classification", form="message", answer=kind))
    word, category = category_of(pools.world, draw)
    if draw.chance(0.4):
        lines = ["{}: {}".format(*category_of(pools.world, draw)) for _ in range(3)]
        task = _classify(word, category, style="few-shot", asked="examples", constraint="one word")
        return Request("\n".join([*lines, f"{word}:"]), task)
    other = draw.pick([name for name in ("country", "element", "animal", "food", "colour") if name != category])
    first, second = draw.shuffled((category, other))
    return Request(f"Is {word} {with_article(first)} or {with_article(second)}?", _classify(word, category))


def _classify(word: str, category: str, **more: object) -> Task:
    fields = {"kind": "classification", "form": "classify", "subject": word, "answer": category}
    return Task.model_validate({**fields, **more})


def rewrite(pools: Pools, draw: Draw) -> Request:
    """Make it polite, put it in capital letters, put it in the past."""
    form = draw.weighted({"polite": 0.45, "capitals": 0.25, "past": 0.3})
    examples = draw.chance(0.25)
    shown = [_pair(form, pools.world, draw) for _ in range(3)]
    (source, wanted), more = shown[0], {}
    if examples:
        text = "\n".join([*(f"{one} = {other}" for one, other in shown[1:]), f"{source} ="])
        more = {"style": "few-shot", "asked": "examples"}
    else:
        asked = {
            "polite": ("Make this polite: {}", "Say this politely: {}", "Rewrite this so that it is kind: {}"),
            "capitals": ("Write {} in capital letters.", "Put {} in capital letters."),
            "past": ("Put this in the past: {}", "Say what happened yesterday: {}"),
        }[form]
        text = draw.pick(asked).format(source)
    return Request(text, Task.model_validate({"kind": "rewrite", "form": form, "answer": wanted, **more}))


def _pair(form: str, world: World, draw: Draw) -> tuple[str, str]:
    if form == "polite":
        return request(draw)
    if form == "past":
        return deed(draw)
    name = draw.pick(world.known).name
    return name, f"{name.upper()}."


def summarization(pools: Pools, draw: Draw) -> Request:
    """One sentence for three."""
    if draw.chance(0.6):
        entity, given, text = passage(pools.world, draw)
        status = "given"
    else:
        entity = draw.pick(pools.world.known)
        given, status = entity.values, "known"
        text = " ".join(note_sentences(entity, given))
    asked = draw.pick(("Sum this up in one sentence: {}", "Make this one sentence: {}", "{} Say it in one sentence."))
    fields = {"subject": entity.name, "status": status, "given": given, "constraint": "one sentence"}
    task = Task.model_validate({"kind": "summarization", "form": "summary", **fields})
    return Request(asked.format(text), task)


def brainstorming(pools: Pools, draw: Draw) -> Request:
    """Name some of a kind."""
    count = 2 + draw.below(3)
    category = draw.weighted({"country": 0.45, "element": 0.15, "animal": 0.14, "food": 0.14, "colour": 0.12})
    where = ""
    if category == "country" and draw.chance(0.75):
        continents = Counter(entity.values["continent"] for entity in pools.world.of_kind("country"))
        where = draw.pick([name for name, size in continents.items() if size >= count])
    what = f"{NUMBER_WORDS[count]} {plural(category)}" + (f" in {where}" if where else "")
    forms = ("Name {}.", "Give me {}.", "List {}.", "Tell me {}.", "Can you think of {}?", "I need {}.")
    affairs = (
        "I am making a quiz and need {}.",
        "My child wants to know {}.",
        "For my next class I need {}.",
        "We are playing a game. Give me {}.",
    )
    personal = draw.chance(0.35)
    text = draw.pick(affairs).format(what) if personal else _opened(draw.pick(forms).format(what), draw)
    style = "user-based" if personal else "plain"
    fields = {"form": "list", "category": category, "count": count, "answer": where, "style": style}
    return Request(text, Task.model_validate({"kind": "brainstorming", **fields}))


def generation(pools: Pools, draw: Draw) -> Request:
    """A note about a subject, a letter, a story."""
    form = draw.weighted({"note": 0.66, "letter": 0.2, "story": 0.14})
    return {"note": _note, "letter": _letter, "story": _story}[form](pools, draw)


def _note(pools: Pools, draw: Draw) -> Request:
    entity = pools.entity(draw)
    count = 1 + draw.below(3)
    sentences = f"{NUMBER_WORDS[count]} sentence{'s' if count > 1 else ''}"
    plain = ("Write {n} about {s}.", "Describe {s} in {n}.", "Tell me about {s} in {n}.", "I want {n} about {s}.")
    affairs = (
        "I am writing about {s} for school. Give me {n}.",
        "My friend asked me about {s}. I need {n}.",
        "My book needs {n} about {s}.",
    )
    personal = draw.chance(0.2)
    text = draw.pick(affairs) if personal else draw.pick(plain)
    fields = {"subject": entity.name, "status": entity.status, "count": count}
    style = "user-based" if personal else "plain"
    task = Task.model_validate({"kind": "generation", "form": "note", "style": style, **fields})
    return Request(upper_first(text.format(n=sentences, s=entity.prose)), task)


def _story(pools: Pools, draw: Draw) -> Request:
    items = tuple(draw.some(ANIMALS, 2))
    asked = ("Write a short story about {} and {}.", "Tell me a story about {} and {}.", "A tale of {} and {}, please.")
    text = draw.pick(asked).format(*(with_article(item) for item in items))
    return Request(text, Task(kind="generation", form="story", items=items, count=3))


_LETTER_REQUESTS = {
    "birthday": (
        "Write a birthday card for {0}.",
        "It is the birthday of {0}. Write a card.",
        "A birthday wish for {0}.",
    ),
    "thanks": (
        "Thank {0} for the {1} in a letter.",
        "{0} gave me a {1}. Write a thank-you note.",
        "Write {0} thanks for the {1}.",
    ),
    "invitation": (
        "Invite {0} to eat {1}.",
        "I want {0} to come for {1}. Write to {0}.",
        "Write to {0}: we have {1}, come.",
    ),
    "get well": ("{0} is ill. Write a card.", "Write a get-well card for {0}.", "Wish {0} good health."),
    "slogan": ("Write a slogan for {0}.", "I sell {0}. Write an ad.", "An ad for {0}, please."),
}


def _letter(pools: Pools, draw: Draw) -> Request:
    occasion = draw.weighted({"birthday": 0.15, "thanks": 0.35, "invitation": 0.3, "get well": 0.13, "slogan": 0.07})
    items = letter_items(occasion, draw)
    text = upper_first(_opened(draw.pick(_LETTER_REQUESTS[occasion]).format(*items), draw))
    return Request(text, Task(kind="generation", form="letter", category=occasion, items=items))


def chat(pools: Pools, draw: Draw) -> Request:
    """Talk for its own sake, or a question that only the turn before explains."""
    if draw.chance(0.5):
        occasion = draw.pick(tuple(SOCIAL))
        items = social_items(occasion, draw)
        text = social_opening(occasion, items, draw)
        return Request(text, Task(kind="chat", form="social", category=occasion, items=items), _earlier(pools, draw))
    entity = pools.entity(draw, 0.08)
    first, second = draw.some(RELATIONS[entity.kind], 2)
    opening = fact_task(entity, first)
    history = (fill(draw.pick(QUESTIONS[first]), entity.prose), fact_answer(pools.world, opening, opening.answer))
    text = draw.pick(("And what is its {}?", "What is its {}?", "Tell me its {} too."))
    return Request(text.format(NOUNS[second]), fact_task(entity, second, "chat"), history)


def _earlier(pools: Pools, draw: Draw) -> tuple[str, ...]:
    """Now and then, small talk comes after something else."""
    if draw.chance(0.3):
        return ()
    entity = draw.pick(pools.world.known)
    relation = draw.pick(RELATIONS[entity.kind])
    task = fact_task(entity, relation)
    return (fill(draw.pick(QUESTIONS[relation]), entity.prose), fact_answer(pools.world, task, task.answer))


def other(pools: Pools, draw: Draw) -> Request:
    """Say it again, count it."""
    if draw.chance(0.5):
        word, count = draw.pick((*ANIMALS, *FOODS, *THINGS)), 2 + draw.below(3)
        asked = draw.pick(("Say the word {} {} times.", "Write {} {} times.", "Repeat {} {} times."))
        text = asked.format(word, NUMBER_WORDS[count])
        return Request(text, Task(kind="other", form="repeat", items=(word,) * count, count=count))
    category = draw.pick(tuple(CATEGORIES))
    words = draw.some(CATEGORIES[category], 2 + draw.below(4))
    asked = draw.pick(("How many {} are here: {}?", "Count the {}: {}.", "Here are {}: {}. How many?"))
    text = asked.format(plural(category), ", ".join(words))
    return Request(text, Task(kind="other", form="count", answer=str(len(words)), category=plural(category)))


# The use cases and their shares. The paper's mix (table 1) is generation 45.6, open QA 12.4, brainstorming 11.2, chat
# 8.4, rewrite 6.6, summarisation 4.2, classification 3.5, other 3.5, closed QA 2.6, extraction 1.9 percent. Here
# generation gives half of its lead to open QA, since questions are what shows whether an answer is true,
# and the smallest are raised so that each can be measured.
REQUESTS: dict[str, tuple[Callable[[Pools, Draw], Request], float]] = {
    "generation": (generation, 0.28),
    "open_qa": (open_qa, 0.28),
    "brainstorming": (brainstorming, 0.1),
    "chat": (chat, 0.08),
    "rewrite": (rewrite, 0.07),
    "summarization": (summarization, 0.05),
    "classification": (classification, 0.05),
    "closed_qa": (closed_qa, 0.04),
    "extraction": (extraction, 0.025),
    "other": (other, 0.025),
}
