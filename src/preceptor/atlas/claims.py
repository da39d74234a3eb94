"""Which claims a text makes about the world, and whether they are true.

Every value named in a sentence (a city, a currency, a symbol...) is taken as a claim about
that sentence's subject: the entity it names, else the one named before, else the one asked about. So
"It has the capital Lima" is understood as well as "The capital of Peru is Lima." A sentence that
names a relation and asserts something unheard of ("The capital of Peru is Mumbo.") is a false claim.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from preceptor.atlas.facts import Entity, World

UNKNOWN = re.compile(
    r"\b(?:(?:do not|don't|does not|did not|cannot|can't|could not) (?:really )?(?:know|say|tell)"
    r"|not sure|no idea|not certain|never heard|unknown|nobody knows)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\?\s*$")
_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]|[^.!?\n]+$")
_WORDS_OF = {
    "capital": re.compile(r"\bcapital\b", re.IGNORECASE),
    "currency": re.compile(r"\b(?:currency|pays?|money)\b", re.IGNORECASE),
    "continent": re.compile(r"\b(?:continent|country in|lies in|located in|found in)\b", re.IGNORECASE),
    "symbol": re.compile(r"\bsymbol\b", re.IGNORECASE),
    "number": re.compile(r"\b(?:atomic )?number\b", re.IGNORECASE),
}
_ASSERTS = re.compile(r"\b(?:is|are|has|have|with|in|lies)\s+(?:the\s+|a\s+|an\s+)?\S", re.IGNORECASE)
_SYMBOL = re.compile(r"(?<![\w'])([A-Z][a-z]?)(?![\w'])")
_NUMBER = re.compile(r"(?<![\w.])(\d{1,6})(?!\w)")


@dataclass(frozen=True)
class Claim:
    """``relation`` of ``subject`` is said to be ``value``; an empty subject means that none could be told."""

    subject: str
    relation: str
    value: str
    true: bool


@dataclass(frozen=True)
class Lexicon:
    """What a world's names and values look like in text."""

    names: re.Pattern[str]
    values: re.Pattern[str]
    relation_of: dict[str, str]  # value in lower case -> capital | currency | continent


@lru_cache(maxsize=8)
def _lexicon(world_key: tuple[str, int], names: tuple[str, ...], values: tuple[tuple[str, str], ...]) -> Lexicon:
    def any_of(words: list[str]) -> re.Pattern[str]:
        longest_first = sorted(words, key=lambda word: (-len(word), word))
        return re.compile(r"\b(" + "|".join(re.escape(word) for word in longest_first) + r")\b", re.IGNORECASE)

    return Lexicon(any_of(list(names)), any_of([value for value, _ in values]), dict(values))


def lexicon(world: World) -> Lexicon:
    """The lexicon of a world, made once for each."""
    values = [
        (value.lower(), relation)
        for relation in ("continent", "currency", "capital")
        for value in world.all_values.get(relation, ())
    ]
    key = (world.config.model_dump_json(), world.seed)
    return _lexicon(key, tuple(world.entities), tuple(dict(values).items()))
