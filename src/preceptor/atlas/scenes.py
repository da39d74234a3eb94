"""Short texts to be read: passages about made-up places, and scenes with people in them."""

from dataclasses import dataclass

from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import Entity, World
from preceptor.atlas.phrases import noun_phrase, upper_first, with_article
from preceptor.atlas.words import ANIMALS, COLOURS, FOODS, PASSAGE_VALUES, PEOPLE, THINGS


@dataclass(frozen=True)
class Scene:
    """A text and what occurs in it: category -> members, in their order."""

    text: str
    items: dict[str, tuple[str, ...]]


def passage(world: World, draw: Draw, facts: int = 3) -> tuple[Entity, dict[str, str], str]:
    """A place nobody has heard of, what is so there, and the text that says it."""
    entity = draw.pick(world.invented_passages)
    while entity.kind != "country":
        entity = draw.pick(world.invented_passages)
    given = {relation: draw.pick(PASSAGE_VALUES[relation]) for relation in draw.some(tuple(PASSAGE_VALUES), facts)}
    sentences = []
    for index, (relation, value) in enumerate(given.items()):
        whose = f"the {relation} of {entity.name}" if index == 0 else f"its {relation}"
        sentences.append(upper_first(f"{whose} is {noun_phrase(relation, value)}."))
    return entity, given, " ".join(sentences)


def scene(world: World, draw: Draw) -> Scene:
    """Two sentences about people who travel, eat, see and own things."""
    first, second = draw.some(PEOPLE, 2)
    here, there = (entity.prose for entity in draw.some(world.of_kind("country"), 2))
    one, other = draw.some(ANIMALS, 2)
    food, colour, thing = draw.pick(FOODS), draw.pick(COLOURS), draw.pick(THINGS)
    travel = {
        "text": f"{first} went from {here} to {there} with {with_article(one)} and {with_article(other)}.",
        "person": (first,),
        "country": (here, there),
        "animal": (one, other),
    }
    friends = {
        "text": f"{first} and {second} ate {food} in {here} and saw {with_article(one)}.",
        "person": (first, second),
        "country": (here,),
        "animal": (one,),
        "food": (food,),
    }
    gift = {
        "text": f"{second} gave {first} a {colour} {thing} and some {food}.",
        "person": (second, first),
        "colour": (colour,),
        "food": (food,),
    }
    parts = draw.some([travel, gift], 2) if draw.chance(0.5) else draw.some([friends, gift], 2)
    items: dict[str, dict[str, None]] = {}
    for part in parts:
        for category, members in part.items():
            if category != "text":
                items.setdefault(category, {}).update(dict.fromkeys(members))
    return Scene(" ".join(str(part["text"]) for part in parts), {key: tuple(value) for key, value in items.items()})


def category_of(world: World, draw: Draw) -> tuple[str, str]:
    """A word (as it stands at the head of a sentence) and the category it belongs to."""
    category = draw.pick(("country", "element", "animal", "food", "colour"))
    if category in ("country", "element"):
        return draw.pick(world.of_kind(category)).prose, category
    word = draw.pick({"animal": ANIMALS, "food": FOODS, "colour": COLOURS}[category])
    return noun_phrase(category, word), category
