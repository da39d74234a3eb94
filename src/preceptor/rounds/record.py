"""What an added round was given: ``rounds/N/data`` in the run directory.

``round.json`` says what is there by the hash of each file. It appears together with the files, in one step, and is
never written again: from then on the round is a part of the run's plan, whoever starts it.
"""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.files import read_json
from preceptor.provenance import content_hash
from preceptor.recipe import Recipe

FORMAT = 1
RECORD = "round.json"
PROMPTS, ALL_PROMPTS, RANKINGS, GOLD = "prompts.jsonl", "prompts_train.jsonl", "rankings.jsonl", "gold.jsonl"
TABLES = ("sample", "rank", "reward", "ppo")  # of the recipe, that one round may change


@dataclass(frozen=True)
class Added:
    """One added round.

    ``data`` holds ``prompts.jsonl`` (the new prompts), ``prompts_train.jsonl`` (all that PPO asks: those of the run and
    of the added rounds so far), and what there is of ``rankings.jsonl`` (given ones) and ``gold.jsonl`` (for simulated
    labelers).
    """

    number: int
    data: Path
    digest: str  # of what this round and the added ones before it were given
    recipe: Recipe  # the run's, with the settings of this round
    record: dict[str, Any]

    @property
    def given(self) -> bool:
        """Whether it was given rankings."""
        return RANKINGS in self.record["files"]

    @property
    def ranks(self) -> bool:
        """Whether the policies answer the new prompts and somebody ranks the answers."""
        return bool(self.record["counts"]["prompts"]) and can_rank(self.recipe, GOLD in self.record["files"])


def can_rank(recipe: Recipe, gold: bool) -> bool:
    """Whether there is anybody to rank answers to new prompts; simulated labelers know only prompts with ``gold``."""
    return recipe.rank.source in ("app", "judge") or (recipe.rank.source == "atlas" and gold)


def data_of(root: Path, number: int) -> Path:
    """Where an added round keeps what it was given."""
    return root / "rounds" / str(number) / "data"


def read_added(root: Path, recipe: Recipe) -> list[Added]:
    """The rounds added to a run of ``recipe``, in order. A file that was changed since is an :class:`InputError`."""
    found: list[Added] = []
    digest = ""
    while (data := data_of(root, number := recipe.rounds + len(found) + 1)).is_dir():
        record = read_json(data / RECORD)
        if record.get("format") != FORMAT:
            raise InputError(f"{data / RECORD}: written by another version of Preceptor; add rounds with that one")
        for name, sha256 in record["files"].items():
            if not (data / name).is_file() or content_hash(data / name) != sha256:
                raise InputError(f"{data / name}: has changed since round {number} began; bring the old file back")
        said = json.dumps([digest, record["files"], record["settings"]], sort_keys=True)
        digest = hashlib.sha256(said.encode()).hexdigest()
        found.append(Added(number, data, digest, changed(recipe, record["settings"]), record))
    return found


def changed(recipe: Recipe, settings: list[str]) -> Recipe:
    """The recipe with the settings of one round; only the tables that a round's stages read may change."""
    for setting in settings:
        if setting.partition(".")[0] not in TABLES:
            raise InputError(f"--set {setting}: a round may change {', '.join(TABLES)} only; the rest is the run's")
    return Recipe.from_table(tomllib.loads(recipe.to_toml()), "the run's recipe", settings)
