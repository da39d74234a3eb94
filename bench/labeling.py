"""Fifty labelers at once on the store itself, without HTTP: how long handing out and handing in take.

Each is a thread that ranks as fast as it can, so the figures are those of a full house that never thinks.

    python bench/labeling.py                                       # SQLite in a temporary file
    python bench/labeling.py --database postgresql://USER@HOST/NAME   # an empty database
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

from preceptor.feedback.schema import Response, Sample
from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.people import create_person
from preceptor.feedback.tasks import OutputRating, RankingPayload, add_samples, create_queue, next_task, queue, submit
from preceptor.text.conversation import Message

OUTPUTS = 5


def fill(store: Store, items: int, overlap: int) -> None:
    """A queue of rankings with texts of a usual length."""
    create_queue(store, "bench", "ranking", overlap=overlap)
    asked = [Message(role="user", content="Explain the moon landing to a six year old in a few sentences. " * 3)]
    responses = [Response(text=f"Answer {k}. " * 40, model=f"m{k}") for k in range(OUTPUTS)]
    add_samples(store, "bench", (Sample(prompt_id=f"p{i}", messages=asked, responses=responses) for i in range(items)))


def work(store: Store, person: int, out: list[float], into: list[float]) -> None:
    """Rank until there is nothing left."""
    payload = RankingPayload(ranks=list(range(1, OUTPUTS + 1)), ratings=[OutputRating(overall=4)] * OUTPUTS)
    while True:
        began = time.perf_counter()
        task = next_task(store, person, "bench")
        out.append(time.perf_counter() - began)
        if task is None:
            return
        began = time.perf_counter()
        submit(store, person, task.assignment, payload, seconds=1.0, key="bench")
        into.append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="default: an SQLite file in a temporary directory")
    parser.add_argument("--labelers", type=int, default=50)
    parser.add_argument("--rankings", type=int, default=5000)
    parser.add_argument("--overlap", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(options.database or Path(directory) / "bench.db")
        fill(store, options.rankings // options.overlap, options.overlap)
        people = [create_person(store, f"labeler {number}").id for number in range(options.labelers)]
        out: list[float] = []
        into: list[float] = []
        threads = [threading.Thread(target=work, args=(store, person, out, into)) for person in people]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        info = queue(store, "bench")
        print(f"{info.done:,} of {info.slots:,} rankings in {took:.1f} s, {info.done / took:.0f} a second")
        for name, times in (("handing out", sorted(out)), ("handing in", sorted(into))):
            p50, p95 = times[len(times) // 2], times[int(0.95 * len(times))]
            print(f"{name}: median {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, worst {times[-1] * 1000:.0f} ms")
        store.close()


if __name__ == "__main__":
    main()
