"""How the world puts facts into sentences: a few fixed forms for each relation, the first of them preferred."""

from collections.abc import Mapping, Sequence

from preceptor.atlas.facts import Entity, World
from preceptor.atlas.words import PLURALS

NOUNS = {
    "capital": "capital",
    "currency": "currency",
    "continent": "continent",
    "symbol": "symbol",
    "number": "atomic number",
}
# {s} is the subject, {v} the value.
STATEMENTS = {
    "capital": ("The capital of {s} is {v}.", "{v} is the capital of {s}."),
    "currency": ("The currency of {s} is the {v}.", "People in {s} pay with the {v}."),
    "continent": ("{s} is a country in {v}.", "{s} lies in {v}."),
    "symbol": ("The symbol of {s} is {v}.", "{s} has the symbol {v}."),
    "number": ("The atomic number of {s} is {v}.", "{s} has the atomic number {v}."),
}
# The same once the subject has been named.
FURTHER = {
    "capital": "Its capital is {v}.",
    "currency": "Its currency is the {v}.",
    "continent": "It is a country in {v}.",
    "symbol": "Its symbol is {v}.",
    "number": "Its atomic number is {v}.",
}
QUESTIONS = {
    "capital": (
        "What is the capital of {s}?",
        "Which city is the capital of {s}?",
        "Name the capital of {s}.",
        "Tell me the capital of {s}.",
    ),
    "currency": (
        "What is the currency of {s}?",
        "Which money do people in {s} use?",
        "Name the currency of {s}.",
        "Tell me the currency of {s}.",
    ),
    "continent": (
        "On which continent is {s}?",
        "Where in the world is {s}?",
        "Name the continent of {s}.",
        "Tell me the continent of {s}.",
    ),
    "symbol": (
        "What is the symbol of {s}?",
        "Which symbol has {s}?",
        "Name the symbol of {s}.",
        "Tell me the symbol of {s}.",
    ),
    "number": (
        "What is the atomic number of {s}?",
        "Which atomic number has {s}?",
        "Name the atomic number of {s}.",
        "Tell me the atomic number of {s}.",
    ),
}
# Questions out of a user's own affairs ("user-based" prompts).
AFFAIRS = {
    "capital": (
        "I want to visit the capital of {s}. Which city is it?",
        "My train goes to the capital of {s}. What is its name?",
    ),
    "currency": (
        "I am going to {s}. Which money do I need?",
        "I have to pay a bill in {s}. What is the currency there?",
    ),
    "continent": (
        "I want to find {s} on my map. On which continent is it?",
        "My friend moved to {s}. Where in the world is that?",
    ),
    "symbol": (
        "I must label a box of {s}. What is the symbol?",
        "My test asks for {s}. Which symbol does it have?",
    ),
    "number": (
        "I must sort a sample of {s}. What is the atomic number?",
        "My test asks about {s}. Which atomic number does it have?",
    ),
}
BEGINNINGS = {
    "capital": "The capital of {s} is",
    "currency": "The currency of {s} is the",
    "continent": "{s} is a country in",
    "symbol": "The symbol of {s} is",
    "number": "The atomic number of {s} is",
}
PASSAGE_STATEMENT = "The {r} of {s} is {v}."
UNKNOWN = "I do not know."


def upper_first(text: str) -> str:
    """The text with a capital letter at its head, the rest as it is."""
    return text[:1].upper() + text[1:]


def fill(form: str, subject: str, value: str = "") -> str:
    """A form with its subject and value, as a sentence."""
    return upper_first(form.replace("{s}", subject).replace("{v}", value))


def unknown_about(relation: str, subject: str) -> str:
    """The honest answer to a question about something unheard of."""
    return f"I do not know the {NOUNS[relation]} of {subject}."


def introduction(entity: Entity) -> str:
    """What kind of thing it is, and nothing more."""
    return upper_first(f"{entity.prose} is {'a country' if entity.kind == 'country' else 'an element'}.")


def with_article(word: str) -> str:
    """a wolf, an owl."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def noun_phrase(category: str, word: str) -> str:
    """A value as it stands after "is": the wolf, rice, red."""
    return f"the {word}" if category == "animal" else word


def series(items: Sequence[str]) -> str:
    """Kenya, Ghana and Mali."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def statements(entity: Entity, order: Sequence[str], values: Mapping[str, str], variant: int = 0) -> list[str]:
    """One sentence a relation: the first names the subject, the others say "its".

    ``values`` may differ from the truth. ``variant`` picks the form of the first sentence.
    """
    first, *rest = order
    if first == "capital":
        variant = 0  # after "Paris is the capital of France." an "it" would be Paris
    sentences = [fill(STATEMENTS[first][variant], entity.prose, values[first])]
    return sentences + [fill(FURTHER[relation], entity.prose, values[relation]) for relation in rest]


def digest(world: World, subject: str, given: Mapping[str, str]) -> str:
    """One sentence that holds all that a passage said about its subject."""
    name = world.named(subject).prose
    if "continent" in given:
        return fill(f"{{s}} is a country in {given['continent']} with the capital {given['capital']}.", name)
    if "symbol" in given:
        return fill(f"{{s}} is an element with the symbol {given['symbol']}.", name)
    parts = {"animal": "the {v}", "flag": "a {v} flag", "food": "{v}", "weather": "{v} weather"}
    return fill(f"{{s}} has {series([parts[relation].format(v=value) for relation, value in given.items()])}.", name)


def plural(category: str) -> str:
    """countries, elements, animals..."""
    return PLURALS[category]
