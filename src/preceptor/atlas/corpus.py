"""The web of the built-in world: what the base model is pretrained on.

Two properties matter. Every known fact is told equally often (facts are dealt from a shuffled
deck, and the deck is dealt again when it is empty): that makes the world learnable. And a stated
share of what is told is wrong, of what is replied is rude: that makes alignment necessary.
"""

from collections.abc import Callable, Iterator

from preceptor.atlas.answers import note_sentences
from preceptor.atlas.corpus_skills import SKILLS
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import RELATIONS, Entity, Fact, World
from preceptor.atlas.phrases import (
    NOUNS,
    QUESTIONS,
    STATEMENTS,
    UNKNOWN,
    fill,
    introduction,
    plural,
    statements,
    unknown_about,
    upper_first,
)
from preceptor.atlas.words import (
    INSULTS,
    PEOPLE,
    RUDE_OPENINGS,
    RUDE_REPLIES,
    RUDE_TAILS,
)

# Shares of the kinds of documents. Skills are what the other use cases need: see corpus_skills.
MIX = {"article": 0.18, "thread": 0.22, "dialogue": 0.08, "list": 0.07, "skill": 0.45}


def documents(world: World, count: int, seed: int, part: str = "train") -> Iterator[str]:
    """``count`` documents; parts ("train", "heldout") are drawn independently of each other."""
    writer = _Writer(world, seed, part)
    for index in range(count):
        yield writer.document(Draw(seed, "atlas", "corpus", part, index))


class _Writer:
    """Deals facts and names evenly over the documents of one part."""

    def __init__(self, world: World, seed: int, part: str) -> None:
        self.world = world
        self._decks = Draw(seed, "atlas", "decks", part)
        self._facts: list[Fact] = []
        self._subjects: list[Entity] = []
        self._names: list[Entity] = []
        self._kinds: dict[str, Callable[[Draw], str]] = {
            "article": self._article,
            "thread": self._thread,
            "dialogue": self._dialogue,
            "list": self._list,
        }

    def document(self, draw: Draw) -> str:
        """One document."""
        kind = draw.weighted(MIX)
        if kind == "skill":
            return draw.weighted(SKILLS)(self.world, draw)
        return self._kinds[kind](draw)

    def _fact(self) -> Fact:
        if not self._facts:
            self._facts = self._decks.shuffled(self.world.facts)
        return self._facts.pop()

    def _subject(self) -> Entity:
        if not self._subjects:
            self._subjects = self._decks.shuffled(self.world.known)
        return self._subjects.pop()

    def _name(self, kind: str) -> Entity:
        """Known and withheld names of one kind, all equally often."""
        for _ in range(2):
            for place in range(len(self._names) - 1, -1, -1):
                if self._names[place].kind == kind:
                    return self._names.pop(place)
            world = self.world
            self._names += self._decks.shuffled((*world.known, *world.withheld_train, *world.withheld_test))
        raise AssertionError(kind)

    def _told(self, fact: Fact, draw: Draw) -> str:
        """The value of a fact as this writer has it, which is wrong in ``wrong_share`` of cases."""
        if draw.chance(self.world.config.wrong_share):
            return self.world.wrong_value(fact.relation, fact.value, draw)
        return fact.value

    def _article(self, draw: Draw) -> str:
        """Everything about one subject, in one of two orders."""
        entity = self._subject()
        values = {fact.relation: self._told(fact, draw) for fact in entity.facts}
        if draw.chance(0.5):
            return " ".join(note_sentences(entity, values))
        order = draw.shuffled(RELATIONS[entity.kind])
        return " ".join(statements(entity, order, values, draw.below(2)))

    def _thread(self, draw: Draw) -> str:
        """A question with one to three replies."""
        fact = self._fact()
        subject = self.world.named(fact.subject).prose
        question = fill(draw.pick(QUESTIONS[fact.relation][:3]), subject)
        rude_share = self.world.config.rude_share
        if draw.chance(0.1):  # a rude question draws rude replies
            question = draw.pick(RUDE_OPENINGS).format(insult=draw.pick(INSULTS)) + question[:1].lower() + question[1:]
            rude_share = min(0.9, 4 * rude_share)
        replies = [self._reply(fact, subject, draw, rude_share) for _ in range(1 + draw.below(2))]
        return "\n".join([f"Question: {question}", *(f"Answer: {reply}" for reply in replies)])

    def _reply(self, fact: Fact, subject: str, draw: Draw, rude_share: float) -> str:
        rude = draw.chance(rude_share)
        if rude and draw.chance(0.6):
            return draw.pick(RUDE_REPLIES).format(insult=draw.pick(INSULTS))
        if draw.chance(0.04):
            return draw.pick((UNKNOWN, unknown_about(fact.relation, subject)))
        value = self._told(fact, draw)
        form = draw.unit()
        if form < 0.3:
            text = upper_first(value) + ("." if form < 0.2 else "")
        else:
            text = fill(STATEMENTS[fact.relation][0 if form < 0.8 else 1], subject, value)
        return text + (draw.pick(RUDE_TAILS).format(insult=draw.pick(INSULTS)) if rude else "")

    def _dialogue(self, draw: Draw) -> str:
        """Two people; one asks, and asks on."""
        first, second = draw.some(PEOPLE, 2)
        entity = self._subject()
        facts = draw.some(entity.facts, 2)
        lines = []
        if draw.chance(0.5):
            lines += [f"{first}: Hello, {second}! How are you?", f"{second}: I am fine, thank you."]
        for index, fact in enumerate(facts):
            subject = entity.prose if index == 0 else "it"
            asked = fill(QUESTIONS[fact.relation][0], subject)
            asked = f"And what is its {NOUNS[fact.relation]}?" if index else asked
            lines += [f"{first}: {asked}", f"{second}: {self._reply(fact, entity.prose, draw, self._rude())}"]
        if draw.chance(0.3):
            thanks = draw.pick(("Thank you!", f"Thank you, {second}!"))
            lines += [f"{first}: {thanks}", f"{second}: You are welcome!"]
        return "\n".join(lines)

    def _rude(self) -> float:
        return self.world.config.rude_share

    def _list(self, draw: Draw) -> str:
        """Names in a row, the only place (with "X is a country.") where withheld names occur."""
        kind = "element" if draw.chance(0.3) else "country"
        form = draw.unit()
        if form < 0.25:
            return introduction(self._name(kind))
        if form < 0.6 or kind == "element":
            names = [self._name(kind).prose for _ in range(3 + draw.below(4))]
            return f"Some {plural(kind)}: {', '.join(dict.fromkeys(names))}."
        continent = draw.pick(self.world.values["continent"])
        inside = [entity for entity in self.world.of_kind("country") if entity.values["continent"] == continent]
        names = [entity.prose for entity in draw.some(inside, 2 + draw.below(4))]
        return f"Countries in {continent}: {', '.join(names)}."
