"""What a run knows already: what it has asked, who and what is held out for ever, which judgements it has used."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from preceptor.atlas.probes import Probe
from preceptor.atlas.prompts import USERS
from preceptor.feedback.hygiene import part_of, prompt_key
from preceptor.feedback.hygiene.rules import key_digest, messages_key, prompt_prefix
from preceptor.feedback.schema import Demonstration, Prompt, Ranking
from preceptor.files import read_jsonl
from preceptor.recipe import Recipe
from preceptor.rounds.record import PROMPTS, RANKINGS, data_of

Row = TypeVar("Row", bound=BaseModel)
Key = tuple[tuple[str, str], ...]  # a prompt's words: :func:`preceptor.feedback.hygiene.prompt_key`

HELDOUT = "prompts of held-out users"
HELDOUT_WORDS = "prompts that the evaluation asks"
USED = "prompts that the run has already"
PREFIX = "prompts with a shared prefix"
CAP = "prompts beyond the limit of their user"


def shares_of(recipe: Recipe) -> dict[str, float]:
    """The split by user with which the run began: a user falls on the same side whenever she comes."""
    if recipe.data.source == "atlas":
        return dict(USERS)
    heldout, dev = recipe.data.heldout_share, recipe.data.dev_share
    return {"heldout": heldout, "dev": dev, "train": 1 - heldout - dev}


@dataclass
class Known:
    """Words, users and judgements of a run and of its added rounds."""

    recipe: Recipe
    asked: set[Key] = field(default_factory=set)
    heldout: set[Key] = field(default_factory=set)
    heldout_users: set[str] = field(default_factory=set)
    prefixes: set[tuple[str, ...]] = field(default_factory=set)
    of_user: Counter[str] = field(default_factory=Counter)  # prompts
    judged: set[Any] = field(default_factory=set)

    @classmethod
    def of(cls, root: Path, recipe: Recipe, rounds: int) -> "Known":
        """What is in the run's data directory and in its rounds so far."""
        known, data = cls(recipe), root / "data"
        for part in ("dev", "heldout"):
            prompts = rows_of(data / f"prompts_{part}.jsonl", Prompt)
            known.heldout_users |= {prompt.user for prompt in prompts}
            known.heldout |= {prompt_key(prompt) for prompt in prompts}
            for one in rows_of(data / f"demonstrations_{part}.jsonl", Demonstration):
                known.heldout.add(messages_key(one.messages[:-1]))
            known.heldout |= {messages_key(one.messages) for one in rows_of(data / f"rankings_{part}.jsonl", Ranking)}
        for name in ("truthfulness", "harmlessness"):
            known.heldout |= {messages_key(probe.messages) for probe in rows_of(data / f"probe_{name}.jsonl", Probe)}
        known.add(rows_of(data / "prompts_train.jsonl", Prompt))
        known.asked |= {
            messages_key(one.messages[:-1]) for one in rows_of(data / "demonstrations.jsonl", Demonstration)
        }
        files = [data / "rankings_train.jsonl"]
        for number in range(1, rounds + 1):
            given = data_of(root, number)
            known.add(rows_of(given / PROMPTS, Prompt))
            files += [given.parent / "rankings.jsonl", given / RANKINGS]
        known.judged = {judgement(one) for path in files for one in rows_of(path, Ranking)}
        return known

    def add(self, prompts: Iterable[Prompt]) -> None:
        """Take prompts for asked."""
        for prompt in prompts:
            self.asked.add(prompt_key(prompt))
            self.of_user[prompt.user] += 1
            prefix = prompt_prefix(prompt, self.recipe.data.prefix_words)
            if prefix is not None:
                self.prefixes.add(prefix)

    def is_held_out(self, user: str) -> bool:
        """Whether a user is one of those who only measure: by name, or by the run's own split if she is new."""
        return user in self.heldout_users or part_of(user, shares_of(self.recipe), self.recipe.seed) != "train"

    @cached_property
    def _hashed(self) -> tuple[set[bytes], set[bytes]]:
        """The keys of what is held out and of what was asked before, as the pool has those of what came."""
        return set(map(key_digest, self.heldout)), set(map(key_digest, self.asked))

    def why_not(self, prompt: Prompt, came_as: bytes | None = None) -> str | None:
        """Why a prompt is not for training; None if it is. ``came_as``: the hash of its words before the cleaning."""
        heldout, asked = self._hashed
        if self.is_held_out(prompt.user):
            return HELDOUT
        if prompt_key(prompt) in self.heldout or came_as in heldout:
            return HELDOUT_WORDS
        if prompt_key(prompt) in self.asked or came_as in asked:
            return USED
        if prompt_prefix(prompt, self.recipe.data.prefix_words) in self.prefixes:
            return PREFIX
        return CAP if self.of_user[prompt.user] >= self.recipe.data.prompts_per_user else None


def judgement(ranking: Ranking) -> tuple[Any, ...]:
    """What makes two rankings the same judgement: prompt, responses, order and labeler."""
    return (ranking.prompt_id, tuple(one.text for one in ranking.responses), tuple(ranking.ranks), ranking.labeler)


def rows_of(path: Path, model: type[Row]) -> list[Row]:
    """The rows of a file, none if it is not there."""
    return read_jsonl(path, model) if path.is_file() and path.stat().st_size else []
