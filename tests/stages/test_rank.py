"""`rank` by people in the labeling app: waits, can be stopped and taken up again, and a whole run over HTTP."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from preceptor.errors import InputError
from preceptor.feedback.schema import Ranking, Sample
from preceptor.feedback.store import open_store
from preceptor.feedback.store.people import create_person
from preceptor.feedback.tasks import OutputRating, RankingPayload, change_queue, next_task, queueing, queues, submit
from preceptor.files import read_jsonl, write_jsonl
from preceptor.recipe import Recipe
from preceptor.results import show_results
from preceptor.run import run
from preceptor.simulation import Simulation, simulate
from preceptor.stages import rank_people
from preceptor.stages.rank import RankConfig, rank
from preceptor.stages.rank_people import queue_name
from preceptor.training.progress import Progress
from preceptor.verbs import STAGES, stage_function

from ..live import PASSWORD, serving

QUIET = Progress(quiet=True)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rows = [
        {
            "prompt_id": f"p{number}",
            "messages": [{"role": "user", "content": f"What is {number}?"}],
            "responses": [{"text": f"{number}.{place}", "model": f"m{place}"} for place in range(3)],
        }
        for number in range(2)
    ]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    return tmp_path / "samples.jsonl"


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """meanwhile(call, ...): what happens while the stage waits, one call between two looks that it takes."""

    def happens(*calls: Callable[[], object]) -> None:
        left = iter(calls)
        monkeypatch.setattr(rank_people.time, "sleep", lambda seconds: next(left)())

    return happens


def by_app(samples: Path, out: Path, **more: Any) -> dict[str, Any]:
    config = RankConfig(source="app", labelers_per_prompt=2, **more)
    return rank(config, samples=samples, gold=None, out=out, seed=0, progress=QUIET)


def judge_all(database: Path, name: str) -> None:
    """One labeler does all there is for her."""
    with closing(open_store(database)) as store:
        who = create_person(store, name).id
        while (task := next_task(store, who)) is not None:
            order = sorted(task.outputs)
            ranks = [order.index(text) + 1 for text in task.outputs]
            payload = RankingPayload(ranks=ranks, ratings=[OutputRating(overall=4)] * 3)
            submit(store, who, task.assignment, payload, seconds=1.0, key="k")


def set_open(database: Path, is_open: bool) -> None:
    """Open or close the only queue."""
    with closing(open_store(database)) as store:
        (found,) = queues(store)
        change_queue(store, found.name, open=is_open)


def test_it_waits_until_the_overlap_is_met(samples: Path, tmp_path: Path, meanwhile: Callable[..., None]) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"
    written_early: list[bool] = []

    def nobody_comes() -> None:
        written_early.append(out.exists())

    meanwhile(partial(judge_all, database, "ann"), nobody_comes, partial(judge_all, database, "ben"))
    assert by_app(samples, out)["rankings"] == 4
    assert written_early == [False]
    rankings = read_jsonl(out, Ranking)
    assert [one.prompt_id for one in rankings] == ["p0", "p0", "p1", "p1"]
    assert {tuple(one.ranks) for one in rankings} == {(1, 2, 3)} and {one.source for one in rankings} == {"person"}
    labelers = {one.labeler for one in rankings}
    assert len(labelers) == 2 and not labelers & {"ann", "ben"}  # pseudonyms


def test_stopped_and_taken_up_again_it_goes_on(samples: Path, tmp_path: Path, meanwhile: Callable[..., None]) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"

    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile(interrupt)
    with pytest.raises(KeyboardInterrupt):
        by_app(samples, out)
    judge_all(database, "ann")
    judge_all(database, "ben")
    by_app(samples, out)
    first = out.read_bytes()
    by_app(samples, out)
    assert out.read_bytes() == first
    with closing(open_store(database)) as store:
        assert [one.items for one in queues(store)] == [2]


def test_a_database_that_is_away_for_a_while_is_waited_for(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[..., None]
) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"

    def broken() -> None:
        raise OperationalError("SELECT", {}, Exception("the server closed the connection"))

    with monkeypatch.context() as patch:

        def goes_away() -> None:
            patch.setattr(queueing, "_overview", broken)

        def comes_back() -> None:
            patch.undo()
            judge_all(database, "ann")

        meanwhile(goes_away, comes_back, partial(judge_all, database, "ben"))
        by_app(samples, out)
    assert len(read_jsonl(out, Ranking)) == 4


def test_a_closed_queue_ends_the_waiting(samples: Path, tmp_path: Path, meanwhile: Callable[..., None]) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"
    meanwhile(partial(set_open, database, False))
    with pytest.raises(InputError, match="nobody has ranked anything"):
        by_app(samples, out)
    set_open(database, True)
    judge_all(database, "ann")
    set_open(database, False)
    assert by_app(samples, out)["rankings"] == 2


def test_other_samples_get_a_queue_of_their_own(samples: Path) -> None:
    given = read_jsonl(samples, Sample)
    assert queue_name("q", given, 2) == queue_name("q", given, 2)
    assert len({queue_name("q", given, 2), queue_name("q", given[:1], 2), queue_name("q", given, 3)}) == 3


def test_a_judge_needs_an_address(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rank\.judge\.url"):
        rank(RankConfig(source="judge"), samples=samples, gold=None, out=tmp_path / "r", seed=0, progress=QUIET)
    with pytest.raises(InputError, match="needs samples"):
        rank(RankConfig(source="app"), samples=None, gold=None, out=tmp_path / "r", seed=0, progress=QUIET)


@pytest.mark.timeout(1200)
def test_the_whole_recipe_with_every_judgement_made_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of `smoke`: the stage queues and waits, simulated labelers come in through the REST API."""
    monkeypatch.setattr(rank_people, "POLL_SECONDS", 0.05)
    out = tmp_path / "run"
    out.mkdir()
    changes = ['rank.source="app"', "rank.labelers_per_prompt=3", "sample.prompts=24", "rounds=2"]
    recipe = Recipe.load("smoke", changes)
    finished = threading.Event()
    reports: list[Any] = []
    with serving(out / "feedback.db") as (url, token):

        def crew() -> None:
            plan = Simulation(
                url=url,
                admin="root",
                password=PASSWORD,
                invitation=token,
                labelers=4,
                gold=out / "data" / "gold.jsonl",
                wait=1000.0,
            )
            while not (out / "data" / "provenance.json").exists() and not finished.is_set():
                time.sleep(0.1)
            reports.append(simulate(plan, stop=finished.is_set))

        labelers = threading.Thread(target=crew)
        labelers.start()
        try:
            summary = run(recipe, out, QUIET, {name: stage_function(name) for name in STAGES})
        finally:
            finished.set()
            labelers.join(60)
    show_results(summary, out)
    (report,) = reports
    ranked = [read_jsonl(out / f"rounds/{number}/rankings.jsonl", Ranking) for number in (1, 2)]
    assert report.sound and report.judgements == len(ranked[0]) + len(ranked[1])
    for number, rankings in enumerate(ranked, start=1):
        asked = read_jsonl(out / f"rounds/{number}/samples.jsonl", Sample)
        assert len(rankings) == 3 * len(asked)
        assert {one.source for one in rankings} == {"simulated"}
    assert summary["ppo"] and (out / "report.html").exists()
