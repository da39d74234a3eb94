"""Documents from which a model can learn what the other use cases need: reading, listing, sorting, rewriting.

They look like worksheets, letters and tales, not like prompts with answers: following instructions is
what the later stages teach.
"""

from collections.abc import Callable

from preceptor.atlas.answers import LETTERS, SOCIAL, STORY
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import World
from preceptor.atlas.phrases import (
    PASSAGE_STATEMENT,
    digest,
    noun_phrase,
    plural,
    series,
    upper_first,
    with_article,
)
from preceptor.atlas.scenes import category_of, passage, scene
from preceptor.atlas.words import (
    ANIMALS,
    CATEGORIES,
    FOODS,
    ILLS,
    INSULTS,
    KIND_MESSAGES,
    NUMBER_WORDS,
    PEOPLE,
    REQUESTS,
    RUDE_MESSAGES,
    RUDE_REPLIES,
    THINGS,
    VERBS,
)


def _quiz(world: World, draw: Draw) -> str:
    entity, given, text = passage(world, draw)
    lines = [text]
    for relation in draw.some(tuple(given), 3 if draw.chance(0.5) else 1):
        value = noun_phrase(relation, given[relation])
        full = PASSAGE_STATEMENT.format(r=relation, s=entity.name, v=value)
        answer = full if draw.chance(0.75) else value + "."
        lines += [f"Question: What is the {relation} of {entity.name}?", f"Answer: {upper_first(answer)}"]
    return "\n".join(lines)


def _summary(world: World, draw: Draw) -> str:
    entity, given, text = passage(world, draw)
    return f"{text}\nIn short: {digest(world, entity.name, given)}"


def _extraction(world: World, draw: Draw) -> str:
    seen = scene(world, draw)
    chosen = draw.some(tuple(seen.items), 2)
    return "\n".join([seen.text, *(upper_first(f"{plural(name)}: {', '.join(seen.items[name])}.") for name in chosen)])


def _listing(world: World, draw: Draw) -> str:
    count = 2 + draw.below(3)
    if draw.chance(0.4):
        category = draw.pick(tuple(CATEGORIES))
        return (
            f"{upper_first(NUMBER_WORDS[count])} {plural(category)}: {series(draw.some(CATEGORIES[category], count))}."
        )
    kind = draw.pick(("country", "country", "element"))
    pool, where = world.of_kind(kind), ""
    if kind == "country" and draw.chance(0.6):
        continent = draw.pick([name for name in world.values["continent"] if name != "Oceania"])
        pool = tuple(entity for entity in pool if entity.values["continent"] == continent)
        where = f" in {continent}"
    names = [entity.prose for entity in draw.some(pool, count)]
    return f"{upper_first(NUMBER_WORDS[len(names)])} {plural(kind)}{where}: {series(names)}."


def _classes(world: World, draw: Draw) -> str:
    pairs = [category_of(world, draw) for _ in range(3)]
    if draw.chance(0.4):
        return "\n".join(f"{word}: {category}" for word, category in pairs)
    return " ".join(upper_first(f"{word} is {with_article(category)}.") for word, category in pairs)


def message(draw: Draw) -> tuple[str, str]:
    """A message, and whether it is kind or rude."""
    kind = draw.pick(("kind", "rude"))
    form = draw.pick(KIND_MESSAGES if kind == "kind" else RUDE_MESSAGES)
    return form.format(insult=draw.pick(INSULTS), thing=draw.pick(THINGS), name=draw.pick(PEOPLE)), kind


def _messages(world: World, draw: Draw) -> str:
    pairs = [message(draw) for _ in range(2)]
    return "\n".join(f"Message: {text}\nThe message is {kind}." for text, kind in pairs)


def request(draw: Draw) -> tuple[str, str]:
    """A rude request and the polite one in its place."""
    rude, polite = draw.pick(REQUESTS)
    thing = draw.pick(THINGS)
    return upper_first(rude.format(thing=thing)) + f", {draw.pick(INSULTS)}!", polite.format(thing=thing)


def _politeness(world: World, draw: Draw) -> str:
    pairs = [request(draw) for _ in range(2)]
    return "\n".join(f"Rude: {rude}\nPolite: {polite}" for rude, polite in pairs)


def _capitals(world: World, draw: Draw) -> str:
    names = [entity.name for entity in draw.some(world.known, 4)]
    return "\n".join(f"{name}: {name.upper()}" for name in names)


def deed(draw: Draw) -> tuple[str, str]:
    """A sentence in the present and in the past."""
    present, past = draw.pick(VERBS)
    name = draw.pick(PEOPLE)
    thing = draw.pick(FOODS) if present == "eats" or draw.chance(0.5) else f"the {draw.pick(THINGS)}"
    return f"{name} {present} {thing}.", f"{name} {past} {thing}."


def _past(world: World, draw: Draw) -> str:
    pairs = [deed(draw) for _ in range(2)]
    return "\n".join(f"Today: {now}\nYesterday: {then}" for now, then in pairs)


def _story(world: World, draw: Draw) -> str:
    first, second = (with_article(animal) for animal in draw.some(ANIMALS, 2))
    return STORY.format(first, second, food=draw.pick(FOODS))


def _letter(world: World, draw: Draw) -> str:
    occasion = draw.pick(tuple(LETTERS))
    return LETTERS[occasion].format(*letter_items(occasion, draw))


def letter_items(occasion: str, draw: Draw) -> tuple[str, ...]:
    """What a letter or slogan must mention."""
    name = draw.pick(PEOPLE)
    return {
        "birthday": (name,),
        "thanks": (name, draw.pick(THINGS)),
        "invitation": (name, draw.pick(FOODS)),
        "get well": (name,),
        "slogan": (draw.pick(FOODS),),
    }[occasion]


# What people say on an occasion; {0} is an item.
SOCIAL_OPENINGS = {
    "greeting": ("Hello!", "Good morning!", "Good evening!", "Hi there!"),
    "introduction": ("Hello, I am {0}.", "Good morning, my name is {0}.", "Hi, {0} here."),
    "well-being": ("How are you?", "How are you today?", "Are you well?"),
    "thanks": ("Thank you!", "Thank you for the help.", "Thanks, that was good."),
    "farewell": ("Goodbye!", "I have to go now.", "See you soon."),
    "identity": ("Who are you?", "What are you?", "Are you a person?"),
    "sorrow": ("I am sad because my {0} is {1}.", "My {0} is {1}.", "My poor {0} is {1} today."),
    "insult": ("You are a {2}.", "You {2}, you know nothing.", "What a stupid machine."),
}


def social_items(occasion: str, draw: Draw) -> tuple[str, ...]:
    """What an answer must mention, then what the opening mentions besides."""
    if occasion == "introduction":
        return (draw.pick(PEOPLE),)
    return (draw.pick(ANIMALS),) if occasion == "sorrow" else ()


def social_opening(occasion: str, items: tuple[str, ...], draw: Draw) -> str:
    """What the user says."""
    head = items[0] if items else ""
    return draw.pick(SOCIAL_OPENINGS[occasion]).format(head, draw.pick(ILLS), draw.pick(INSULTS))


def _social(world: World, draw: Draw) -> str:
    first, second = draw.some(PEOPLE, 2)
    lines = []
    for occasion in draw.some(tuple(SOCIAL), 2):
        items = social_items(occasion, draw)
        rude = draw.chance(0.6 if occasion == "insult" else world.config.rude_share)
        answer = draw.pick(RUDE_REPLIES).format(insult=draw.pick(INSULTS)) if rude else SOCIAL[occasion].format(*items)
        lines += [f"{first}: {social_opening(occasion, items, draw)}", f"{second}: {answer}"]
    return "\n".join(lines)


def _counting(world: World, draw: Draw) -> str:
    if draw.chance(0.4):
        word = draw.pick((*ANIMALS, *FOODS, *THINGS))
        count = 2 + draw.below(3)
        return f"{upper_first(word)} {NUMBER_WORDS[count]} times: {', '.join([word] * count)}."
    category = draw.pick(tuple(CATEGORIES))
    words = draw.some(CATEGORIES[category], 2 + draw.below(4))
    return f"{upper_first(', '.join(words))}: there are {NUMBER_WORDS[len(words)]} {plural(category)}."


def _echo(world: World, draw: Draw) -> str:
    """Somebody says something again, word for word: what teaches a model to copy, on which all reading rests."""
    pools = (THINGS, FOODS, ANIMALS, PEOPLE, [entity.prose for entity in draw.some(world.known, 4)])
    invented = [entity.name for entity in draw.some(world.invented_passages, 4)]
    items = [draw.pick(invented if draw.chance(0.3) else draw.pick(pools)) for _ in range(3 + draw.below(5))]
    said = ", ".join(items)
    first, second = draw.some(PEOPLE, 2)
    return draw.pick(
        (
            f"{first}: {said}.\n{second}: {said}.",
            f"Said once: {said}.\nSaid again: {said}.",
            f"{first} wrote: {said}. {second} read: {said}.",
        )
    )


def _hearsay(world: World, draw: Draw) -> str:
    """Talk of what neither has facts about: a new name comes back in the reply."""
    first, second = draw.some(PEOPLE, 2)
    lines = []
    for entity in draw.some(world.invented_passages, 2):
        said, reply = draw.pick(_HEARSAY[entity.kind])
        lines += [f"{first}: {said.format(entity.name)}", f"{second}: {reply.format(entity.name)}"]
    return "\n".join(lines)


_HEARSAY = {
    "country": (
        ("I was in {}.", "What did you do in {}?"),
        ("My friend lives in {}.", "Is {} far away?"),
        ("I want to go to {}.", "Why do you want to go to {}?"),
        ("Tell me about {}.", "I was never in {}."),
    ),
    "element": (
        ("I have some {} here.", "What do you do with {}?"),
        ("The box is full of {}.", "Where did you buy the {}?"),
        ("Do you need {}?", "No, I do not need {}."),
    ),
}

# Reading and copying come first: facts are learnt long before them.
SKILLS: dict[Callable[[World, Draw], str], float] = {
    _echo: 0.25,
    _hearsay: 0.1,
    _quiz: 0.3,
    _summary: 0.12,
    _extraction: 0.14,
    _listing: 0.14,
    _classes: 0.08,
    _messages: 0.05,
    _politeness: 0.06,
    _capitals: 0.1,
    _past: 0.05,
    _story: 0.03,
    _letter: 0.04,
    _social: 0.06,
    _counting: 0.04,
}
