"""The words of a world: whatever else a response contains is garbled."""

import re
from functools import lru_cache

from preceptor.atlas.corpus import documents
from preceptor.atlas.facts import World

# Words that no document has but that an answer may well use.
_MORE = (
    "certainly sure glad gladly kindly join buy try eat drink great best bye understand pleasure dear sincerely yours "
    "also both because but not no never heard really of am does did about anything there their they we our us for so "
    "such very much many all some any this that these those would could should can will with without one two three "
    "four five six seven eight nine ten sentence sentences text answer word words yes it its was were been friend"
)
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


@lru_cache(maxsize=8)
def vocabulary(world: World) -> frozenset[str]:
    """All words, in lower case, of names, values and a sample of documents. Invented names of tests are left out."""
    words = set(_MORE.split())
    for text in documents(world, 1500, world.seed, "vocabulary"):
        words.update(_WORD.findall(text.lower()))
    named = (*world.known, *world.withheld_train, *world.withheld_test, *world.invented_passages)
    for entity in named:
        for text in (entity.name, *entity.values.values()):
            words.update(_WORD.findall(text.lower()))
    return frozenset(words)
