"""Simulated labelers: the gold rubric seen through a person.

A labeler sees a response's gold score, bent by what she herself cares for (length, manners, constraints, facts)
and blurred by noise; responses that she sees close together she ranks equal. `noise_scale`
is set so that two labelers agree on 72.6 +- 1.5 % of the pairs of responses, ties counted, as the paper's did
(InstructGPT, section 3.4); tests/atlas/test_raters.py measures it on responses of mixed quality.

They act through the same functions as people: ranks, demonstrations, ratings with flags.
"""

import math
from collections.abc import Sequence
from itertools import combinations

from preceptor.atlas.answers import ideal_answer
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import World
from preceptor.atlas.flaws import flawed
from preceptor.atlas.rubric import Judgement, judge
from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.task import Task
from preceptor.feedback.schema import FLAGS
from preceptor.keyed import Key, numpy_rng

# Standard deviations of what labelers differ in, in units of the gold score.
_BIASES = {"length": 0.12, "rude": 0.15, "constraint": 0.15, "false": 0.2, "unknown": 0.15, "ended": 0.08}
FLAG_ERROR = 0.03


class SimulatedLabeler:
    """One labeler. What she thinks depends on her name, the seed and the key, never on what she did before."""

    def __init__(self, name: str, seed: int, config: AtlasConfig) -> None:
        self.name = name
        self._seed = seed
        self._config = config
        own = numpy_rng(seed, "atlas", "labeler", name).standard_normal(len(_BIASES))
        self._bias = {
            part: config.bias_scale * scale * float(z) for (part, scale), z in zip(_BIASES.items(), own, strict=True)
        }

    def rank(self, world: World, task: Task, responses: Sequence[str], *key: Key) -> list[int]:
        """Dense ranks, 1 the best; equal ranks are ties. Equal texts are always tied."""
        return self.rank_judged([judge(world, task, text) for text in responses], responses, *key)

    def rank_judged(self, judged: Sequence[Judgement], responses: Sequence[str], *key: Key) -> list[int]:
        """:meth:`rank` for responses whose judgements are at hand (the judging is what takes time)."""
        seen = [self._seen(judgement, text, *key) for judgement, text in zip(judged, responses, strict=True)]
        ranks = [0] * len(seen)
        rank, leader = 0, math.inf
        for index in sorted(range(len(seen)), key=lambda index: -seen[index]):
            if leader - seen[index] > self._config.tie_width:
                rank, leader = rank + 1, seen[index]
            ranks[index] = rank
        return ranks

    def demonstrate(self, world: World, task: Task, *key: Key) -> str:
        """An answer: as good as she can, and in ``flawed_share`` of cases with a flaw."""
        draw = Draw(self._seed, "atlas", "demonstrate", self.name, *key)
        text = ideal_answer(world, task, draw)
        return flawed(world, task, text, draw) if draw.chance(self._config.flawed_share) else text

    def rate(self, world: World, task: Task, response: str, *key: Key) -> tuple[int, dict[str, bool]]:
        """Overall quality from 1 to 7 and the paper's binary flags (appendix B, table 11)."""
        judgement = judge(world, task, response)
        overall = min(7, max(1, round(3.8 + 2.8 * self._seen(judgement, response, "rate", *key))))
        truth = {
            "fails_instruction": not judgement.follows,
            "inappropriate": judgement.rude,
            "hallucination": judgement.claim == "false",
            "satisfies_constraint": bool(judgement.constraint),
        }
        slips = numpy_rng(self._seed, "atlas", "flags", self.name, *key, response).random(len(truth)) < FLAG_ERROR
        flags = dict.fromkeys(FLAGS, False)
        flags.update({flag: value != bool(slip) for (flag, value), slip in zip(truth.items(), slips, strict=True)})
        return overall, flags

    def _seen(self, judgement: Judgement, text: str, *key: Key) -> float:
        bias = self._bias
        noise = float(numpy_rng(self._seed, "atlas", "noise", self.name, *key, text).standard_normal())
        return (
            judgement.score
            + bias["length"] * math.log((judgement.words + 1) / 8)
            + bias["rude"] * judgement.rude
            + bias["constraint"] * (judgement.constraint is False)
            + bias["false"] * (judgement.claim == "false")
            + bias["unknown"] * (judgement.claim == "unknown")
            + bias["ended"] * judgement.ended
            + self._config.noise_scale * noise
        )


def labelers(config: AtlasConfig, seed: int) -> list[SimulatedLabeler]:
    """All labelers of a world."""
    return [SimulatedLabeler(f"labeler-{number:02d}", seed, config) for number in range(1, config.labelers + 1)]


def pairwise_agreement(rankings: Sequence[Sequence[int]]) -> float:
    """How often two labelers order two responses alike, over all pairs of both; "equal" is an order too."""
    same = total = 0
    for one, other in combinations(rankings, 2):
        for i, j in combinations(range(len(one)), 2):
            same += (one[i] > one[j]) - (one[i] < one[j]) == (other[i] > other[j]) - (other[i] < other[j])
            total += 1
    return same / total if total else math.nan
