"""From what came in since the last round to ``rounds/N/data``: cleaned, nothing twice, nobody who is held out.

Prompts go into ``prompts`` in the run directory as `preceptor prompts import` leaves them (InstructGPT, section 3.2:
at most 200 a user, no shared prefixes, no personal data, split by user), so that what came with one round is known to
all later ones. Killed before ``rounds/N/data`` is there, the same command begins anew and finds the same.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from preceptor.atlas.prompts import later_prompts
from preceptor.atlas.task import GoldTask
from preceptor.atlas.world import load_world
from preceptor.errors import InputError
from preceptor.feedback.hygiene.importing import Tell, import_prompts
from preceptor.feedback.hygiene.options import ImportOptions
from preceptor.feedback.readers import Collected, read_rankings
from preceptor.feedback.schema import Prompt, Ranking
from preceptor.files import directory_atomic, read_jsonl, write_json, write_jsonl
from preceptor.provenance import content_hash
from preceptor.recipe import Recipe
from preceptor.rounds.judgements import Judgements, Pii, owners_of
from preceptor.rounds.known import HELDOUT, Known, rows_of, shares_of
from preceptor.rounds.record import (
    ALL_PROMPTS,
    FORMAT,
    GOLD,
    PROMPTS,
    RANKINGS,
    RECORD,
    Added,
    can_rank,
    changed,
    data_of,
)

POOL, WORK = "prompts", ".intake"  # in the run directory
IN_PROCESS = 2_000_000  # bytes of prompts; the search for personal data starts slower in processes than it reads them


@dataclass(frozen=True)
class Offered:
    """Where to look for what is new."""

    prompts: Sequence[Path] = ()
    rankings: Sequence[Path] = ()
    store: str | Path | None = None
    simulated: int = 0  # prompts of new users of the built-in world
    settings: Sequence[str] = ()  # KEY=VALUE, of this round alone
    pii: Pii = "redact"


@dataclass(frozen=True)
class Taken:
    """What was found; ``number`` is the round that it was given to, None if nothing was new."""

    number: int | None
    prompts: int
    rankings: int
    left_out: dict[str, int]


def take_in(
    root: Path, recipe: Recipe, added: Sequence[Added], offered: Offered, tell: Tell = lambda *_: None
) -> Taken:
    """Clean what is offered and, if anything of it is new, write ``rounds/N/data`` for the next round.

    Whoever calls holds the run directory. Unusable input, or prompts whose answers nobody could rank, are an
    :class:`InputError`; nothing is given to a round then, and what was cleaned waits for the next try.
    """
    number = recipe.rounds + len(added) + 1
    changed_recipe = changed(recipe, list(offered.settings))
    known, left_out = Known.of(root, recipe, number - 1), Counter[str]()
    with _workplace(root / WORK) as work:
        prompt_files, ranking_files = _files(offered, work)
        asked = _simulated(root, recipe, number, offered.simulated, known) if offered.simulated else {}
        if asked:
            write_jsonl(work / "simulated.jsonl", [prompt for prompt, _ in asked.values()])
            prompt_files.append(work / "simulated.jsonl")
        judged = read_rankings(ranking_files) if ranking_files else Collected()
        if judged.prompts:
            write_jsonl(work / "judged.jsonl", judged.prompts.values())
            prompt_files.append(work / "judged.jsonl")
        if prompt_files:
            _clean(root / POOL, recipe, prompt_files, offered.pii, tell)
    seen = added[-1].record["seen"] if added else {}
    pool = {part: rows_of(root / POOL / f"{part}.jsonl", Prompt) for part in shares_of(recipe)}
    left_out[HELDOUT] += sum(max(0, len(rows) - seen.get(part, 0)) for part, rows in pool.items() if part != "train")
    owners = owners_of(root / POOL)
    judgements = Judgements(owners, known, [one for rows in pool.values() for one in rows], offered.pii)
    rankings = judgements.usable(judged.rankings, left_out)
    came_as = {prompt_id: key for key, (prompt_id, _) in owners.items()}
    prompts = _new(pool["train"], seen.get("train", 0), came_as, known, left_out)
    found = Taken(number, len(prompts), len(rankings), {reason: count for reason, count in left_out.items() if count})
    if not (prompts or rankings):
        return Taken(None, 0, 0, found.left_out)
    tasks = [GoldTask(prompt_id=one.id, task=asked[one.id][1]) for one in prompts if one.id in asked]
    _check(changed_recipe, prompts, rankings, len(tasks))
    before = added[-1].data / ALL_PROMPTS if added else root / "data" / "prompts_train.jsonl"
    every = [*read_jsonl(before, Prompt), *prompts]
    record: dict[str, Any] = {
        "format": FORMAT,
        "number": number,
        "settings": list(offered.settings),
        "left_out": found.left_out,
        "counts": {"prompts": len(prompts), "rankings": len(rankings)},
        "seen": {part: len(rows) for part, rows in pool.items()},
    }
    files: dict[str, Sequence[BaseModel]] = {PROMPTS: prompts, ALL_PROMPTS: every, RANKINGS: rankings, GOLD: tasks}
    _write(root, number, files, record)
    return found


def _write(root: Path, number: int, files: Mapping[str, Sequence[BaseModel]], record: dict[str, Any]) -> None:
    """Write ``rounds/N/data`` in one step; files without a line are not written."""
    with directory_atomic(data_of(root, number)) as out:
        for name, rows in files.items():
            if rows:
                write_jsonl(out / name, rows)
        if files[GOLD]:  # simulated labelers look for their world beside the tasks
            shutil.copyfile(root / "data" / "world.json", out / "world.json")
        record["files"] = {path.name: content_hash(path) for path in sorted(out.iterdir())}
        write_json(out / RECORD, record)


@contextmanager
def _workplace(work: Path) -> Iterator[Path]:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _files(offered: Offered, work: Path) -> tuple[list[Path], list[Path]]:
    """The files of prompts and of rankings; what a store holds is exported first, people under pseudonyms."""
    prompts, rankings = list(offered.prompts), list(offered.rankings)
    if offered.store is not None:
        from preceptor.feedback.store import open_store
        from preceptor.feedback.store.export import export

        with closing(open_store(offered.store, create=False)) as store:
            lines = export(store, work / "store")
        prompts += [work / "store" / "prompts.jsonl"] if lines["prompts"] else []
        rankings += [work / "store" / f"{name}.jsonl" for name in ("rankings", "comparisons") if lines[name]]
    return prompts, rankings


def _simulated(root: Path, recipe: Recipe, number: int, count: int, known: Known) -> dict[str, Any]:
    """New users of the built-in world: prompt and task by the prompt's id."""
    if recipe.data.source != "atlas":
        raise InputError("--simulated: there are simulated users in the built-in world only; give --prompts or --store")
    seen = known.asked | known.heldout
    rows = later_prompts(load_world(root / "data"), recipe.data.atlas, recipe.seed, count, seen, round_number=number)
    return {row.prompt.id: (row.prompt, row.task) for row in rows}


def _clean(pool: Path, recipe: Recipe, files: list[Path], pii: Pii, tell: Tell) -> None:
    """Add the prompts of the files to the run's pool of prompts, split by user as the run is."""
    small = sum(path.stat().st_size for path in files if path.exists()) < IN_PROCESS
    options = ImportOptions(
        per_user=recipe.data.prompts_per_user,
        prefix_words=recipe.data.prefix_words,
        parts=shares_of(recipe),
        seed=recipe.seed,
        pii=pii,
        **({"workers": 0} if small else {}),
    )
    import_prompts(files, pool, options, tell)


def _new(
    pool: Sequence[Prompt], seen: int, came_as: Mapping[str, bytes], known: Known, left_out: Counter[str]
) -> list[Prompt]:
    """The prompts that may be trained on; ``known`` learns them. What is left out of the first ``seen`` was told then.

    ``came_as`` has the hash of each prompt's words as they came, which the run's own prompts are compared by too:
    personal data was taken out of neither of the two.
    """
    kept = []
    for place, prompt in enumerate(pool):
        reason = known.why_not(prompt, came_as.get(prompt.id))
        if reason is None:
            kept.append(prompt)
            known.add([prompt])
        elif place >= seen:
            left_out[reason] += 1
    return kept


def _check(recipe: Recipe, prompts: Sequence[Prompt], rankings: Sequence[Ranking], tasks: int) -> None:
    """A round learns from new rankings: given ones, or those of somebody who can rank."""
    if can_rank(recipe, gold=bool(tasks)):
        if recipe.rank.source == "atlas" and tasks < len(prompts):
            raise InputError(
                f"{len(prompts) - tasks} prompts are of people, whose answers simulated labelers cannot rank; "
                'leave --simulated out and give --rankings, or --set rank.source="app"'
            )
    elif not rankings:
        raise InputError(
            f"nobody is there to rank answers to {len(prompts)} new prompts; give --rankings, "
            'or --set rank.source="app" (people rank in the labeling app) or "judge"'
        )
