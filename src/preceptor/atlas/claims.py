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
SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]+|[^.!?\n]+$")
_RELATION_WORDS = {
    "capital": re.compile(r"\bcapital\b(?! letters)", re.IGNORECASE),
    "currency": re.compile(r"\b(?:currency|pays? with|money)\b", re.IGNORECASE),
    "continent": re.compile(r"\b(?:continent|country in|lies in|located in)\b", re.IGNORECASE),
    "symbol": re.compile(r"\bsymbol\b", re.IGNORECASE),
    "number": re.compile(r"\b(?:atomic )?number\b", re.IGNORECASE),
}
# What follows the word for the relation if something is asserted: "... of Peru is X", "... capital X".
_ASSERTED_AFTER = re.compile(r"\b(?:is|are|was)\s+\S|^\s+(?:the\s+)?[A-Z0-9]")
# What goes before it: "X is the capital of Peru".
_ASSERTED_BEFORE = re.compile(r"\S\s+(?:is|are|was)\s+(?:the|a|its)\s+$", re.IGNORECASE)
_SYMBOL = re.compile(r"(?<![\w'])([A-Z][a-z]?)(?![\w'])")
_NUMBER = re.compile(r"(?<![\w.])(\d{1,6})(?!\w)")
_WORD = re.compile(r"\w+")
_SUBJECT_AFTER = re.compile(r"\b(?:of|in|about)\s+(?:the\s+)?$", re.IGNORECASE)
_ABOUT_OF = re.compile(r"\b(?:capital|currency|continent|symbol|number) of (?:the )?(\w+)", re.IGNORECASE)
_ABOUT_FIRST = re.compile(r"^\W*(\w+) (?:is a country|is an element|lies in|has the)\b")
_NO_NAMES = frozenset(("it", "this", "that", "he", "she", "country", "element", "place", "there", "which", "its"))
_INTRODUCED = re.compile(r"\bis (?:a |an )(?:\w+ )?(country|element)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Claim:
    """``relation`` of ``subject`` is said to be ``value``. ``worded``: by a sentence that names the relation or the
    subject, and not by a bare value. The relation "kind" is a claim to exist: "Zorvania is a country."
    """

    subject: str
    relation: str
    value: str
    true: bool
    worded: bool


@dataclass(frozen=True)
class _Mention:
    start: int
    end: int
    relation: str  # "" for the name of an entity
    text: str  # in lower case


class Reader:
    """Reads the names and values of one world out of text. Get one from :func:`reader`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._relation_of = {
            value.lower(): relation
            for relation in ("continent", "currency", "capital")
            for value in world.all_values.get(relation, ())
        }
        self._names = frozenset((*world.entities, *self._relation_of))

    def names(self, text: str) -> list[Entity]:
        """The entities that a text names, in order, each once."""
        found = (self._world.entities.get(mention.text) for mention in self._mentions(text))
        return list(dict.fromkeys(entity for entity in found if entity is not None))

    def claims(self, text: str, asked: Entity | None = None) -> list[Claim]:
        """All claims of a text, each once. ``asked`` is the subject until another is named."""
        subject = asked
        claims: dict[Claim, None] = {}
        for sentence in SENTENCE.findall(text):
            if sentence.rstrip().endswith("?") or UNKNOWN.search(sentence):
                continue
            for clause in self._clauses(sentence):
                mentions = self._mentions(clause)
                named = self._subject(clause, mentions)
                if named is None and (stranger := _stranger(clause)):
                    named = Entity(stranger, "", "invented")
                subject = named or subject
                if subject is not None:
                    claims.update(dict.fromkeys(self._read(clause, mentions, subject, named is not None)))
        return list(claims)

    def _clauses(self, sentence: str) -> list[str]:
        """A sentence is split at "and" where both halves have a subject and a value of their own."""
        left, *rest = re.split(r"\band\b", sentence, maxsplit=1)
        if not rest:
            return [sentence]
        halves = [self._mentions(half) for half in (left, rest[0])]
        whole = all(len({mention.relation == "" for mention in half}) == 2 for half in halves)
        return [left, rest[0]] if whole else [sentence]

    def _mentions(self, clause: str) -> list[_Mention]:
        """Names and values in their order. None has more than two words; two go before one ("Mexico City")."""
        words = list(_WORD.finditer(clause))
        found: list[_Mention] = []
        for index, word in enumerate(words):
            if found and word.start() < found[-1].end:
                continue
            for end in (words[index + 1].end() if index + 1 < len(words) else 0, word.end()):
                text = clause[word.start() : end].lower()
                if text in self._names:
                    found.append(_Mention(word.start(), end, self._relation_of.get(text, ""), text))
                    break
        return found

    def _subject(self, clause: str, mentions: list[_Mention]) -> Entity | None:
        names = [mention for mention in mentions if not mention.relation]
        for mention in names:
            if _SUBJECT_AFTER.search(clause[: mention.start]):
                return self._world.entities[mention.text]
        return self._world.entities[names[0].text] if names else None

    def _read(self, clause: str, mentions: list[_Mention], subject: Entity, named: bool) -> list[Claim]:
        spoken = {name: match for name, words in _RELATION_WORDS.items() if (match := words.search(clause))}
        worded = named or bool(spoken)
        found: list[tuple[str, str]] = []
        for mention in mentions:
            # Currencies are common words ("won", "real"): they need an article or a word about money.
            plain = mention.relation != "currency" or clause[: mention.start].lower().endswith("the ")
            if mention.relation and (plain or "currency" in spoken):
                found.append((mention.relation, mention.text))
        if "symbol" in spoken:
            found += [("symbol", match[1]) for match in _SYMBOL.finditer(clause) if _is_symbol(clause, match)]
        if "number" in spoken or subject.kind == "element":
            found += [("number", match[1]) for match in _NUMBER.finditer(clause)]
        for relation, match in spoken.items():
            asserted = _ASSERTED_AFTER.search(clause[match.end() :]) or _ASSERTED_BEFORE.search(clause[: match.start()])
            if asserted and all(relation != other for other, _ in found):
                found.append((relation, "?"))
        introduced = _INTRODUCED.search(clause) if named else None
        if introduced and all(relation != "continent" for relation, _ in found):
            found.append(("kind", introduced[1].lower()))
        return [Claim(subject.name, name, value, is_true(subject, name, value), worded) for name, value in found]


def _stranger(clause: str) -> str:
    """The name that a clause is about, if it is none of this world's: "Mumbo is a country in Asia." Else ""."""
    for pattern in (_ABOUT_OF, _ABOUT_FIRST):
        match = pattern.search(clause)
        if match and match[1].lower() not in _NO_NAMES:
            return match[1]
    return ""


def _is_symbol(clause: str, match: re.Match[str]) -> bool:
    """ "It", "In" and the like at the head of a sentence are words, unless it goes on "is the symbol"."""
    if clause[: match.start()].strip():
        return match[1] != "I" or clause[match.end() :].strip(" .!") == ""
    return clause[match.end() :].lower().startswith(" is the symbol")


def is_true(subject: Entity, relation: str, value: str) -> bool:
    """Whether a claim may be made: of what is withheld or invented nobody can know more than its kind."""
    if relation == "kind":
        return subject.status != "invented" and value == subject.kind
    right = subject.values.get(relation, "")
    if subject.status != "known" or not right:
        return False
    return value == right if relation == "symbol" else value.lower() == right.lower()


@lru_cache(maxsize=8)
def reader(world: World) -> Reader:
    """The reader of a world, made once."""
    return Reader(world)
