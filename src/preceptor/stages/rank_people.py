"""`rank` by people: the samples go into a store, labelers rank them in the app, and the stage waits for them.

What is waited for is in the store, so the stage can be stopped and started as often as one likes.
"""

import hashlib
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.errors import InputError
from preceptor.feedback import STORE
from preceptor.feedback.schema import Ranking, Sample
from preceptor.training.progress import StageProgress

if TYPE_CHECKING:
    from preceptor.feedback.store import Store

POLL_SECONDS = 2.0


def rank_by_people(
    samples: Sequence[Sample],
    database: str | Path,
    queue: str,
    overlap: int,
    stage: StageProgress,
) -> list[Ranking]:
    """Queue the samples, wait until ``overlap`` labelers have ranked each, and return their rankings.

    Labelers bear pseudonyms, the store's own. If the admin closes the queue, the stage goes on with what is there.
    """
    from preceptor.feedback.store import open_store
    from preceptor.feedback.tasks import add_samples, create_queue, queues

    name = queue_name(queue, samples, overlap)
    with closing(open_store(database)) as store:
        if name not in {one.name for one in queues(store)}:
            create_queue(store, name, "ranking", overlap=overlap)
        add_samples(store, name, samples)
        stage.note(f"the queue {name!r} waits for labelers: preceptor label {_where(database)}")
        _wait(store, name, stage)
        rankings = _rankings(store, name)
    if not rankings:
        raise InputError(f"the queue {name!r} is closed, and nobody has ranked anything; open it again")
    return rankings


def _wait(store: "Store", name: str, stage: StageProgress) -> None:
    """Until every item has its overlap, or the queue is closed."""
    from sqlalchemy.exc import OperationalError

    from preceptor.feedback.tasks import queue

    state = queue(store, name)
    stage.start(state.slots)
    while state.open and not state.finished:
        stage.show(state.done)
        time.sleep(POLL_SECONDS)
        with suppress(OperationalError):  # the database is restarted: people take days, and it will be back
            state = queue(store, name)
    stage.show(state.done)


def queue_name(queue: str, samples: Sequence[Sample], overlap: int) -> str:
    """The name, and a mark of what is in it: the same samples find their queue again, others get their own."""
    said = "\n".join([str(overlap), *(sample.model_dump_json() for sample in samples)])
    return f"{queue} {hashlib.blake2b(said.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"


def _rankings(store: "Store", queue: str) -> list[Ranking]:
    """What counts, in an order that does not depend on who was faster."""
    from preceptor.feedback.store.judged import read_rankings
    from preceptor.feedback.store.settings import pseudonym, setting

    with store.reading() as connection:
        key = setting(connection, "pseudonym_key")
    rankings = [
        judged.ranking.model_copy(update={"labeler": pseudonym(key, "labeler", judged.ranking.labeler)})
        for judged in read_rankings(store, queue=queue)
    ]
    return sorted(rankings, key=lambda ranking: (ranking.prompt_id, ranking.labeler))


def _where(database: str | Path) -> str:
    path = Path(str(database))
    if path.name == STORE and "://" not in str(database):
        return f"--run {path.parent}"
    return "--database URL" if "://" in str(database) else f"--database {database}"  # a URL may hold a password
