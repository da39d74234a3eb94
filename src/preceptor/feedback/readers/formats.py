"""Reading feedback: from files or datasets of the hub in any known format to what is wanted of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.known import Reader, Wanted, reader_for, reader_named
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.records import open_source
from preceptor.feedback.readers.turns import UnusableError
from preceptor.feedback.schema import Demonstration, Ranking
from preceptor.text.conversation import Message

Formats = Mapping[str, str]  # path -> the name of its format, where the content must not decide
BEST_TIED = "rankings without a single best response"


def read_demonstrations(
    paths: Sequence[Path], into: Collected | None = None, formats: Formats | None = None, best_ranked: bool = False
) -> Collected:
    """The demonstrations (and their prompts) of files in any known format; a file with none is an error.

    With ``best_ranked`` a file that only ranks gives the best response of each ranking as a demonstration.
    """
    return _read(paths, "demonstrations", into, formats, best_ranked)


def read_rankings(paths: Sequence[Path], into: Collected | None = None, formats: Formats | None = None) -> Collected:
    """The rankings (and their prompts) of files in any known format; a file with none is an error.

    Each says where it comes from: what it says itself, else the source of its prompt (which is the format, in
    the formats of others), else the file's name. Where two files would share a source, the file stands beside it.
    """
    into = Collected() if into is None else into
    found: list[tuple[Ranking, Path]] = []
    first = len(into.rankings)
    for path in paths:
        before = len(into.rankings)
        _read([path], "rankings", into, formats)
        found += [(ranking, Path(path)) for ranking in into.rankings[before:]]
    into.rankings[first:] = _with_sources(found, into)
    return into


def _with_sources(found: Sequence[tuple[Ranking, Path]], into: Collected) -> list[Ranking]:
    """The rankings, none without a source."""
    names = [into.prompts[ranking.prompt_id].source or path.name for ranking, path in found]
    files: dict[str, set[Path]] = {}
    for name, (_, path) in zip(names, found, strict=True):
        files.setdefault(name, set()).add(path)
    rows = []
    for name, (ranking, path) in zip(names, found, strict=True):
        apart = f"{name} ({path.name})" if len(files[name]) > 1 else name
        rows.append(ranking if ranking.source else ranking.model_copy(update={"source": apart}))
    return rows


def read_prompts(paths: Sequence[Path], into: Collected | None = None, formats: Formats | None = None) -> Collected:
    """The prompts of files in any known format; a file with none is an error."""
    return _read(paths, "prompts", into, formats)


def read_all(
    records: Iterable[tuple[Place, dict[str, Any]]], into: Collected, name: str | None = None
) -> dict[str, int]:
    """Add all that the records give, whatever it is; return how many records each reader took."""
    taken: dict[str, int] = {}
    for place, record in records:
        reader = reader_for(record, None, place) if name is None else reader_named(name)
        _take(reader, record, place, into)
        taken[reader.name] = taken.get(reader.name, 0) + 1
    return taken


def _read(
    paths: Sequence[Path], wanted: Wanted, into: Collected | None, formats: Formats | None, best_ranked: bool = False
) -> Collected:
    """Add what is wanted of each file to ``into``, with the prompts it belongs to.

    A record may hold more than is wanted (a tree has demonstrations and rankings): the rest is left.
    """
    into = Collected() if into is None else into
    named = {Path(path): name for path, name in (formats or {}).items()}
    for path in paths:
        # Ids are unique over all files, and so the prompts are shared.
        found = Collected(prompts=into.prompts, places=into.places, with_users=into.with_users)
        records = taken = 0
        for place, record in open_source(path).records():
            reader = reader_named(named[path]) if path in named else reader_for(record, wanted, place)
            if not (best_ranked and "rankings" in reader.gives):
                _check_gives(reader, wanted, place)
            taken += _take(reader, record, place, found)
            records += 1
        if not records:
            raise InputError(f"{path}: is empty; it needs at least one record with {wanted}")
        if best_ranked and not found.demonstrations:
            _best_ranked(found)
        if not (taken if wanted == "prompts" else getattr(found, wanted)):
            left_out = "".join(f"; left out: {count} {reason}" for _, reason, count in _skipped(found, wanted))
            raise InputError(f"{path}: none of its {records} records gives {wanted}{left_out}; leave the file out")
        if wanted == "demonstrations":
            into.demonstrations += found.demonstrations
        elif wanted == "rankings":
            into.rankings += found.rankings
        for of, reason, count in _skipped(found, wanted):
            into.skip(of, reason, count)
    return into


def _check_gives(reader: Reader, wanted: Wanted, place: Place) -> None:
    """A file under the wrong key is named at its first record."""
    if wanted == "prompts" or wanted in reader.gives:
        return
    right = reader.gives[0] if reader.gives else "prompts"
    best = ""
    if wanted == "demonstrations" and right == "rankings":
        best = ", or set data.best_ranked to learn its preferred responses"
    raise place.error(f"is {reader.title}, which gives no {wanted}; list the file under {right}{best}")


def _take(reader: Reader, record: dict[str, Any], place: Place, into: Collected) -> bool:
    """Read one record; False if it is left out as a whole."""
    try:
        reader.read(record, place, into)
    except UnusableError as unusable:
        into.skip("records", str(unusable))
        return False
    return True


def _best_ranked(found: Collected) -> None:
    """The best response of each ranking as a demonstration; where several share the first rank none is the best.

    What several labelers prefer, or one in several comparisons, is one demonstration.
    """
    seen: set[tuple[str, str]] = set()
    for ranking in found.rankings:
        best = [response for response, rank in zip(ranking.responses, ranking.ranks, strict=True) if rank == 1]
        if len(best) != 1:
            found.skip("demonstrations", BEST_TIED)
            continue
        if (ranking.prompt_id, best[0].text) not in seen:
            seen.add((ranking.prompt_id, best[0].text))
            messages = [*ranking.messages, Message(role="assistant", content=best[0].text)]
            found.demonstrations.append(Demonstration(prompt_id=ranking.prompt_id, messages=messages))


def _skipped(found: Collected, wanted: Wanted) -> list[tuple[str, str, int]]:
    """(wanted, reason, count) of what was left out of what is wanted, and of all records alike."""
    return [
        (wanted, reason, count) for of in ("records", wanted) for reason, count in found.skipped.get(of, {}).items()
    ]
