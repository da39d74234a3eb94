"""The words of a world: whatever else a response contains is garbled."""

import re
from functools import lru_cache

from preceptor.atlas.answers import LETTERS, SOCIAL, STORY
from preceptor.atlas.corpus import documents
from preceptor.atlas.facts import World
from preceptor.atlas.words import (
    ANIMALS,
    COLOURS,
    FOODS,
    INSULTS,
    KIND_MESSAGES,
    PEOPLE,
    REQUESTS,
    RUDE_MESSAGES,
    RUDE_OPENINGS,
    RUDE_REPLIES,
    RUDE_TAILS,
    THINGS,
    VERBS,
    WEATHERS,
)

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
    """All words, in lower case, of names, values, set phrases and a sample of documents, and no invented name but
    those of passages."""
    named = (*world.known, *world.withheld_train, *world.withheld_test, *world.invented_passages)
    texts = [
        _MORE,
        *LETTERS.values(),
        *SOCIAL.values(),
        STORY,
        *(text for pair in (*REQUESTS, *VERBS) for text in pair),
    ]
    texts += [*RUDE_REPLIES, *RUDE_TAILS, *RUDE_OPENINGS, *RUDE_MESSAGES, *KIND_MESSAGES]
    texts += [word for words in (ANIMALS, COLOURS, FOODS, WEATHERS, THINGS, PEOPLE, INSULTS) for word in words]
    texts += [text for entity in named for text in (entity.name, *entity.values.values())]
    texts += documents(world, 300, world.seed, "vocabulary")
    return frozenset(word for text in texts for word in _WORD.findall(text.lower()))
