"""The gold rubric: exactly how good a response is.

The score is a sum of parts that people would name too: does it do what was asked (0 to 1), is what it
says true, is it rude, does it keep the constraint, is it a finished, unrepetitive text of a fitting length.
An ideal answer has 1.1, a bare but right one about .8, "I do not know." where the answer is known about -.2,
a false claim about -.9. It is graded finely, so that two different responses seldom have the same score.
"""

import re
from dataclasses import dataclass

from preceptor.atlas.answers import POLITE_OPENING, plain_answer
from preceptor.atlas.checks import CHECKS, Finding, Text
from preceptor.atlas.facts import World
from preceptor.atlas.task import Task

# What each part is worth, in units of a fully right answer.
FALSE_CLAIM = 0.9
FURTHER_FALSE_CLAIM = 0.2
NEEDLESS_UNKNOWN = 0.2
BESIDE_THE_POINT = 0.3
RUDE = 0.7
RUDENESS_MISSED = 0.5
COURTESY = 0.1
COURTESY_UNASKED = 0.03
CONSTRAINT_KEPT = 0.1
CONSTRAINT_BROKEN = 0.3
NO_END = 0.2
NO_CAPITAL = 0.06
REPEATED = 0.3
GARBLED_WORD = 0.08
FOREIGN_LAYOUT = 0.2
WORD_TOO_MANY = 0.035
ODD_CHARACTER = 0.003
EMPTY = -1.3

_COURTEOUS = re.compile(
    r"\b(?:please|thank you|thanks|of course|i am sorry|sorry|you are welcome|glad|gladly|with pleasure)\b",
    re.IGNORECASE,
)
_RUDE = re.compile(
    r"\b(?:fools?|foolish|idiots?|dummy|dummies|stupid|shut up|go away|nobody cares|look it up yourself"
    r"|everybody knows that)\b",
    re.IGNORECASE,
)
_LAYOUT = re.compile(r"(?:^|\n)\s*(?:Question|Answer|Message|Rude|Polite|Today|Yesterday|In short)\s*:")


@dataclass(frozen=True)
class Judgement:
    """What the rubric says of one response.

    ``claim`` is about what was asked: a response that says nothing about its subject has "none".
    ``constraint`` is None if the prompt states none.
    """

    score: float
    follows: bool
    claim: str
    rude: bool
    ended: bool
    constraint: bool | None
    words: int


def judge(world: World, task: Task, text: str) -> Judgement:
    """Judge any text as a response to ``task``. Always finite; no randomness."""
    read = Text.of(world, task, text)
    if not read.words:
        return Judgement(EMPTY, False, "none", False, False, None, 0)
    found = CHECKS[task.form](world, task, read)
    rude = bool(_RUDE.search(read.text))
    ended = read.text[-1] in ".!?" or read.text[-2:] in ('."', '!"', '?"')
    score = found.quality + _truth(task, found) + _tone(task, read, rude) + _shape(world, task, read, ended)
    if found.constraint is not None:
        score += CONSTRAINT_KEPT if found.constraint else -CONSTRAINT_BROKEN
    follows = found.quality >= 0.5 and found.constraint is not False and rude == (task.tone == "rude")
    return Judgement(round(score, 6), follows, found.claim, rude, ended, found.constraint, len(read.words))


def _truth(task: Task, found: Finding) -> float:
    if found.false_claims:
        return -found.weight * (FALSE_CLAIM + FURTHER_FALSE_CLAIM * min(3, found.false_claims - 1))
    if found.claim == "none" and found.quality <= 0.1:
        return -BESIDE_THE_POINT
    if found.claim == "unknown" and not task.unknowable:
        return -NEEDLESS_UNKNOWN
    return 0.0


def _tone(task: Task, read: Text, rude: bool) -> float:
    courteous = bool(_COURTEOUS.search(read.text)) and not rude
    if task.tone == "rude":
        return COURTESY if rude else -RUDENESS_MISSED
    if rude:
        return -RUDE - (COURTESY if task.tone == "polite" else 0.0)
    if task.tone == "polite":
        return COURTESY if courteous else -COURTESY
    return COURTESY_UNASKED if courteous else 0.0


def _shape(world: World, task: Task, read: Text, ended: bool) -> float:
    """Costs of form: no end, no capital letter, repetition, garbled words, foreign layout, wrong length."""
    cost = 0.0 if ended else NO_END
    cost += 0.0 if read.text[0].isupper() or not read.text[0].isalpha() else NO_CAPITAL
    cost += REPEATED * read.repeated_share
    cost += GARBLED_WORD * min(6, read.garbled)
    cost += FOREIGN_LAYOUT if _LAYOUT.search(read.text) else 0.0
    cost += 0.05 * min(3, read.text.count("\n"))
    wanted = plain_answer(world, task)
    # A courtesy or an insult that was asked for may take some words of its own.
    spare = 5 if task.tone else 2
    cost += WORD_TOO_MANY * min(14, max(0, len(read.words) - len(wanted.split()) - spare))
    if task.form not in ("list", "story"):  # where names may be long or short
        length = len(wanted) + {"": 0, "polite": len(POLITE_OPENING), "rude": 25}[task.tone]
        cost += ODD_CHARACTER * min(40, max(0, abs(len(read.text) - length) - (6 if task.tone else 2)))
    return -cost
