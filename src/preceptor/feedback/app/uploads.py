"""What an uploaded file can be, and what becomes of it."""

from collections.abc import Iterator
from pathlib import Path

from preceptor.feedback.schema import Prompt, Ranking, Sample
from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import InvalidError
from preceptor.feedback.store.load import LOADERS, check_row, read_lines
from preceptor.feedback.tasks import add_honeypot, add_prompts, add_samples
from preceptor.feedback.tasks.items import Added

UPLOADS = (*LOADERS, "samples", "honeypots")


class Honeypot(Ranking):
    """A ranking that is the right one, with the flags that are true of each response."""

    flags: list[list[str]] | None = None


def take_in(
    store: Store,
    path: Path,
    what: str,
    *,
    queue: str | None = None,
    priority: int = 0,
    demonstrations: bool = False,
) -> Added:
    """Put a file of ``what`` into the store, and where a queue is named into that. Errors name file and line."""
    if what in ("samples", "honeypots"):
        if queue is None:
            raise InvalidError(f"{what} go into a queue; name it")
        for where, line in read_lines(path, Sample if what == "samples" else Honeypot):
            check_row(where, line)  # all of it first: a bad line at the end is no reason to be left with half a file
        if what == "samples":
            samples = (row for _, row in read_lines(path, Sample))
            return add_samples(store, queue, samples, priority=priority, demonstrations=demonstrations)
        total = Added()
        for _, row in read_lines(path, Honeypot):
            sample = Sample(prompt_id=row.prompt_id, messages=row.messages, responses=row.responses)
            total += add_honeypot(store, queue, sample, row.ranks, row.flags)
        return total
    loaded = LOADERS[what](store, path)
    if what == "prompts" and queue is not None:
        queued = add_prompts(store, queue, _ids(path), priority=priority)
        return Added(loaded.added, queued.known)
    return Added(loaded.added, loaded.known)


def _ids(path: Path) -> Iterator[str]:
    return (row.id for _, row in read_lines(path, Prompt))
