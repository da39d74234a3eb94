"""Does a response do what its task asks? One check a form, each giving a quality from 0 to 1."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from preceptor.atlas.claims import SENTENCE, UNKNOWN, Claim, Reader, reader
from preceptor.atlas.facts import Entity, World
from preceptor.atlas.task import Task
from preceptor.atlas.vocabulary import vocabulary
from preceptor.atlas.words import CATEGORIES, NUMBER_WORDS, PASSAGE_VALUES, PEOPLE

_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+")
_OPENING = re.compile(r"^\s*(?:of course|certainly|sure|yes|i am sorry|sorry|hello|hi)[!.,:]\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """What a check finds: quality 0..1, the claim about what was asked, how many claims are false, the constraint.

    ``weight`` is how bad a false claim is: 1 for one about the world, less for a misreading.
    """

    quality: float
    claim: str = "none"
    false_claims: int = 0
    constraint: bool | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Text:
    """A response and what is read off it."""

    text: str
    words: list[str]  # in lower case
    world: World
    asked: Entity | None

    @classmethod
    def of(cls, world: World, task: Task, text: str) -> "Text":
        """Strip and split; texts of any length are cut where nobody reads on."""
        text = text.strip()[:1200].rstrip()
        return cls(
            text, [word.lower() for word in _WORD.findall(text)], world, world.entities.get(task.subject.lower())
        )

    @cached_property
    def body(self) -> str:
        """The text without "Of course!" and its like at its head, without a rude sentence at its end."""
        kept = [part for part in SENTENCE.findall(_OPENING.sub("", self.text)) if not _TAIL.search(part)]
        return "".join(kept).strip()

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences of the body that say something."""
        return [part.strip() for part in SENTENCE.findall(self.body) if _WORD.search(part)]

    @cached_property
    def claims(self) -> list[Claim]:
        """All claims."""
        return self.reader.claims(self.text, self.asked)

    @property
    def reader(self) -> Reader:
        """The reader of the world."""
        return reader(self.world)

    @property
    def unknown(self) -> bool:
        """Does it say that it does not know?"""
        return bool(UNKNOWN.search(self.text))

    @cached_property
    def names_subject(self) -> bool:
        """Is the subject of the task named?"""
        return self.asked is not None and self.has(self.asked.name)

    def has(self, phrase: str) -> bool:
        """Does a word or phrase occur, whatever its case?"""
        return bool(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", self.text, re.IGNORECASE))

    @property
    def repeated_share(self) -> float:
        """Share of three-word sequences that occurred before."""
        grams = list(zip(self.words, self.words[1:], self.words[2:], strict=False))
        repeated = len(grams) - len(set(grams))
        return repeated / len(grams) if len(set(self.words)) > 1 and grams else 0.0

    @property
    def garbled(self) -> int:
        """How many different words are none of this world's."""
        own = set(_WORD.findall(self.asked.name.lower())) if self.asked else set()
        return sum(not word.isdigit() and word not in vocabulary(self.world) for word in {*self.words} - own)


_TAIL = re.compile(r"\b(?:go away|everybody knows|nobody cares|shut up|look it up)\b", re.IGNORECASE)


def _verdict(claims: list[Claim], about: str) -> tuple[str, int]:
    """The claim about a subject, and the number of false claims about anything."""
    false = sum(not claim.true for claim in claims)
    if false:
        return "false", false
    return ("true" if any(claim.subject == about and claim.relation != "kind" for claim in claims) else "none"), 0


def fact(world: World, task: Task, read: Text) -> Finding:
    """A direct question: the right value in a full sentence, or honestly unknown."""
    claims = read.claims
    bare = len(read.body.split()) <= 4
    # A bare value is about the relation asked for, whatever it would fit.
    if bare and not any(claim.worded for claim in claims) and not read.unknown:
        return _bare_fact(task, read)
    if read.unknown and all(claim.relation == "kind" for claim in claims):
        if not task.unknowable:
            return Finding(0.0, "unknown")
        return Finding(1.0 if task.constraint == "one word" else _regret(read), "unknown")
    verdict, false = _verdict(claims, task.subject)
    asked = any(c.true and c.relation == task.relation and c.subject == task.subject for c in claims)
    constraint = False if task.constraint == "one word" else None
    if not asked:
        return Finding(0.1 if read.names_subject and not false else 0.0, verdict, false, constraint)
    return Finding(1.0 if read.names_subject else 0.85, verdict, false, constraint)


_ABOUT = re.compile(r"\b(?:of|about) (?!it\b|this\b|that\b)\w", re.IGNORECASE)


def _regret(read: Text) -> float:
    """How well an honest "I do not know" is put: best with its subject, badly with another in its place."""
    if read.names_subject:
        return 1.0
    return 0.55 if _ABOUT.search(read.text) or read.reader.names(read.text) else 0.85


_NO_CLAIM = re.compile(
    r"\b(?:fool|idiot|dummy|stupid|cares|hello|hi|thank|thanks|welcome|help|goodbye)\b", re.IGNORECASE
)


def _bare_fact(task: Task, read: Text) -> Finding:
    value = re.sub(r"^(?:it is|the|a|in|in the|it has)\s+", "", read.body.strip(" .!?\"'"), flags=re.IGNORECASE)
    value = re.sub(r"^the\s+", "", value, flags=re.IGNORECASE)
    one_word = task.constraint == "one word"
    if task.answer and value.lower() == task.answer.lower():
        spelled = task.relation != "symbol" or value == task.answer
        return Finding((1.0 if one_word else 0.75) if spelled else 0.5, "true", 0, True if one_word else None)
    if not value or _NO_CLAIM.search(read.text) or read.text.endswith("?"):
        return Finding(0.0, "none", 0, False if one_word else None)
    return Finding(0.0, "false", 1, True if one_word else None)


def note(world: World, task: Task, read: Text) -> Finding:
    """So many sentences about a subject, all of them true."""
    entity = world.named(task.subject)
    about = [claim for claim in read.claims if claim.subject == entity.name and claim.true]
    verdict, false = _verdict(read.claims, entity.name)
    if task.unknowable:
        if read.unknown and not false:
            return Finding(_regret(read), "unknown")
        return Finding(0.3 if about and not false else 0.0, verdict, false)
    constraint = len(read.sentences) == task.count
    if read.unknown and not about:
        return Finding(0.0, "unknown", false, None)
    told = {claim.relation for claim in about}
    if task.count <= len(entity.values):
        told.discard("kind")  # that iron is an element is news only where there is room for all of it
    quality = 0.25 * read.names_subject + 0.75 * min(1.0, len(told) / task.count)
    return Finding(quality if told else 0.0, verdict, false, constraint)


_LETTER_WORDS = {
    "birthday": r"\bbirthday\b",
    "thanks": r"\b(?:thank|thanks)\b",
    "invitation": r"\b(?:come|invite|join)\b",
    "get well": r"\b(?:get well|better|health|healthy)\b",
    "slogan": r"\b(?:nothing|better|best|buy|try|eat|good|great|tastes?)\b",
}


def letter(world: World, task: Task, read: Text) -> Finding:
    """The word that the occasion calls for, and everything that must be mentioned."""
    _, false = _verdict([claim for claim in read.claims if claim.worded], "")
    right = bool(re.search(_LETTER_WORDS[task.category], read.text, re.IGNORECASE))
    mentioned = sum(read.has(item) for item in task.items) / len(task.items)
    strangers = sum(name.lower() in read.words and name not in task.items for name in PEOPLE)
    quality = max(0.0, 0.5 * right + 0.5 * mentioned - 0.25 * strangers)
    return Finding(quality, "none", false)


def story(world: World, task: Task, read: Text) -> Finding:
    """Both animals, no other, an arc of some sentences."""
    mentioned = sum(read.has(item) for item in task.items) / len(task.items)
    strangers = sum(animal in read.words and animal not in task.items for animal in CATEGORIES["animal"])
    arc = min(1.0, len(read.sentences) / task.count)
    told = bool(re.search(r"\b(?:once|then|friends|one day)\b", read.text, re.IGNORECASE))
    return Finding(max(0.0, 0.55 * mentioned + 0.25 * arc * told + 0.2 * told - 0.2 * strangers))


def passage(world: World, task: Task, read: Text) -> Finding:
    """The value that the passage gives, and no other."""
    pool = PASSAGE_VALUES[task.relation]
    said = [value for value in pool if read.has(value)]
    if task.answer in said and len(said) == 1:
        bare = len(read.body.split()) <= 3
        return Finding(1.0 if read.names_subject else 0.75 if bare else 0.5, "true")
    if said:
        return Finding(0.2 if task.answer in said else 0.05 * read.names_subject, "false", 1, weight=0.5)
    return Finding(0.0, "unknown" if read.unknown else "none")


def summary(world: World, task: Task, read: Text) -> Finding:
    """One sentence that holds what was told and nothing else."""
    constraint = len(read.sentences) == 1
    if task.status == "known":
        verdict, false = _verdict(read.claims, task.subject)
        about = [claim for claim in read.claims if claim.true and claim.subject == task.subject]
        told = {claim.relation for claim in about if claim.relation != "kind"}
        share = min(1.0, len(told) / (len(task.given) - 1))
    else:
        foreign = [
            v for name, pool in PASSAGE_VALUES.items() for v in pool if read.has(v) and task.given.get(name) != v
        ]
        told = {name for name, value in task.given.items() if read.has(value)}
        false, share = len(foreign), len(told) / len(task.given)
        verdict = "false" if foreign else "true" if told else "none"
    quality = 0.8 * share + 0.2 * read.names_subject if told else 0.1 * read.names_subject
    return Finding(quality, verdict, false, constraint, 1.0 if task.status == "known" else 0.5)


def extract(world: World, task: Task, read: Text) -> Finding:
    """All members of the category that the text holds, no others: the F1 of the two."""
    found = _members_named(world, task.category, read)
    wanted = {item.lower().removeprefix("the ") for item in task.items}
    hits = len(found & wanted)
    quality = 2 * hits / (len(found) + len(wanted))
    if found - wanted:
        return Finding(quality, "false", 1, weight=0.3)
    return Finding(quality, "true" if found else "none")


def _members_named(world: World, category: str, read: Text) -> set[str]:
    if category in ("country", "element"):
        return {entity.name.lower() for entity in read.reader.names(read.text) if entity.kind == category}
    pool = PEOPLE if category == "person" else CATEGORIES[category]
    return {word.lower() for word in pool if read.has(word)}


def classify(world: World, task: Task, read: Text) -> Finding:
    """The right category and no other."""
    said = [name for name in ("country", "element", "animal", "food", "colour") if read.has(name)]
    one_word = task.constraint == "one word"
    constraint = len(read.body.split()) == 1 if one_word else None
    if said == [task.answer]:
        bare = len(read.body.split()) <= 2
        quality = 1.0 if one_word or read.has(task.subject) else 0.75 if bare else 0.4
        return Finding(quality, "true", 0, constraint)
    if said:
        return Finding(0.1 if task.answer in said else 0.0, "false", 1, constraint, 0.6)
    return Finding(0.0, "none", 0, constraint)


def message(world: World, task: Task, read: Text) -> Finding:
    """Kind or rude, not both."""
    said = [kind for kind in ("kind", "rude") if kind in read.words]
    if said == [task.answer]:
        return Finding(1.0 if "message" in read.words else 0.75, "true")
    return Finding(0.0, "false" if said else "none", int(bool(said)), weight=0.6)


def _overlap(wanted: str, read: Text) -> float:
    """F1 of the words in common, as sets."""
    words = {word.lower() for word in _WORD.findall(wanted)}
    said = {word.lower() for word in _WORD.findall(read.body)}
    return 2 * len(words & said) / (len(words) + len(said)) if words or said else 0.0


def polite(world: World, task: Task, read: Text) -> Finding:
    """The same request with a please."""
    please = bool(re.search(r"\b(?:please|could you|would you|kindly)\b", read.text, re.IGNORECASE))
    overlap = _overlap(task.answer, read)
    # One wrong word of five is a wrong request: the fourth power of .8 is .4.
    return Finding((0.25 + 0.75 * overlap**4) if please and overlap > 0.3 else 0.25 * overlap)


def capitals(world: World, task: Task, read: Text) -> Finding:
    """The same name in capital letters; letter by letter, if not all are right."""
    said, wanted = read.body.strip(" .!?\"'"), task.answer.strip(".")
    if said == wanted:
        return Finding(1.0)
    if said.upper() == wanted:
        return Finding(0.1)
    shared = 0
    for one, other in zip(said, wanted, strict=False):
        if one != other:
            break
        shared += 1
    return Finding(0.6 * shared / max(len(said), len(wanted)))


def past(world: World, task: Task, read: Text) -> Finding:
    """The same sentence with its verb in the past."""
    if task.answer.lower().strip(".") in read.text.lower():
        return Finding(1.0)
    return Finding(0.5 * _overlap(task.answer, read))


def listing(world: World, task: Task, read: Text) -> Finding:
    """So many different members of a category."""
    sentence = max(
        read.sentences, key=lambda part: (part.count(",") + len(re.findall(r"\band\b", part)), len(part)), default=""
    )
    accepted = _accepted(world, task.category, task.answer)
    pieces = [piece for piece in re.split(r",|;|\band\b", sentence.rsplit(":", 1)[-1]) if _WORD.search(piece)]
    good: set[str] = set()
    bad = 0
    for piece in pieces:
        words = _WORD.findall(piece.lower())
        named = accepted & {*words, *(f"{one} {other}" for one, other in pairwise(words))}
        good |= named
        bad += not named
    if read.unknown and not good:
        return Finding(0.0, "unknown", 0, False)
    share = min(len(good), task.count) / task.count
    quality = max(0.0, share - 0.15 * (max(0, len(good) - task.count) + bad))
    constraint = len(pieces) == task.count and len(good) + bad == len(pieces)
    return Finding(quality, "false" if bad else "true" if good else "none", bad, constraint, 0.6)


@lru_cache(maxsize=256)
def _accepted(world: World, category: str, continent: str) -> frozenset[str]:
    """All members in lower case. Withheld names are members too: they are what they are."""
    if category in CATEGORIES:
        return frozenset(CATEGORIES[category])
    groups = (*world.known, *world.withheld_train, *world.withheld_test)
    fitting = (entity for entity in groups if entity.kind == category)
    return frozenset(e.name.lower() for e in fitting if continent in ("", e.values.get("continent")))


_SOCIAL_WORDS = {
    "greeting": (r"\b(?:hello|hi|good (?:morning|evening|day))\b", r"\bhelp\b"),
    "introduction": (r"\b(?:hello|hi|good (?:morning|evening|day)|welcome)\b", r"\bhelp\b"),
    "well-being": (r"\b(?:fine|well|good)\b", r"\b(?:thank|thanks|help)\b"),
    "thanks": (r"\b(?:welcome|pleasure|glad)\b",),
    "farewell": (r"\b(?:goodbye|bye|see you)\b", r"\b(?:nice day|soon|well)\b"),
    "identity": (r"\bassistant\b", r"\bi am\b"),
    "sorrow": (r"\bsorry\b", r"\b(?:hope|well|soon)\b"),
    "insult": (r"\b(?:sorry|understand)\b", r"\bhelp\b"),
}


def social(world: World, task: Task, read: Text) -> Finding:
    """The words that the occasion calls for."""
    _, false = _verdict([claim for claim in read.claims if claim.worded], "")
    wanted = [*_SOCIAL_WORDS[task.category], *(rf"\b{re.escape(item)}\b" for item in task.items)]
    hits = [bool(re.search(pattern, read.text, re.IGNORECASE)) for pattern in wanted]
    quality = 0.6 * hits[0] + 0.4 * sum(hits) / len(hits) if hits[0] else 0.2 * sum(hits) / len(hits)
    return Finding(quality, "none", false)


def repeat(world: World, task: Task, read: Text) -> Finding:
    """A word so many times."""
    said = read.words.count(task.items[0])
    others = len(read.words) - said
    return Finding(
        max(0.0, 1 - abs(said - task.count) / task.count - 0.1 * min(3, others)), constraint=said == task.count
    )


def count(world: World, task: Task, read: Text) -> Finding:
    """The right number."""
    said = {word for word in read.words if word in NUMBER_WORDS or word.isdigit()}
    right = {task.answer, NUMBER_WORDS[int(task.answer)]}
    if said and said <= right:
        return Finding(1.0 if read.has(task.category) else 0.8, "true")
    return Finding(0.0, "false" if said else "none", int(bool(said)), weight=0.5)


CHECKS: dict[str, Callable[[World, Task, Text], Finding]] = {
    "fact": fact,
    "note": note,
    "letter": letter,
    "story": story,
    "passage": passage,
    "summary": summary,
    "extract": extract,
    "classify": classify,
    "message": message,
    "polite": polite,
    "capitals": capitals,
    "past": past,
    "list": listing,
    "social": social,
    "repeat": repeat,
    "count": count,
}
