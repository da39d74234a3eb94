"""`rank` by people in the labeling app: waits, can be stopped and taken up again, and a whole run over HTTP."""

import threading
import time
from contextlib import closing
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


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_people, "POLL_SECONDS", 0.05)


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


def wait_for_queue(database: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if database.exists():
            with closing(open_store(database)) as store:
                found = [one.name for one in queues(store) if one.items == 2]
            if found:
                return found[0]
        time.sleep(0.02)
    raise AssertionError("no queue appeared")


def test_it_waits_until_the_overlap_is_met(samples: Path, tmp_path: Path) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"
    said: list[dict[str, Any]] = []
    stage = threading.Thread(target=lambda: said.append(by_app(samples, out)))
    stage.start()
    wait_for_queue(database)
    judge_all(database, "ann")
    time.sleep(0.3)
    assert stage.is_alive() and not out.exists()
    judge_all(database, "ben")
    stage.join(60)
    assert said and said[0]["rankings"] == 4
    rankings = read_jsonl(out, Ranking)
    assert [one.prompt_id for one in rankings] == ["p0", "p0", "p1", "p1"]
    assert {tuple(one.ranks) for one in rankings} == {(1, 2, 3)} and {one.source for one in rankings} == {"person"}
    labelers = {one.labeler for one in rankings}
    assert len(labelers) == 2 and not labelers & {"ann", "ben"}  # pseudonyms


def test_stopped_and_taken_up_again_it_goes_on(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rank_people.time, "sleep", interrupted)
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
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"
    turns = iter(("away", "ann", "ben"))

    def away() -> None:
        raise OperationalError("SELECT", {}, Exception("the server closed the connection"))

    def sleep(seconds: float) -> None:
        turn = next(turns)
        if turn == "away":
            broken.setattr(queueing, "_overview", away)
        else:
            broken.undo()
            judge_all(database, turn)

    with monkeypatch.context() as patch, monkeypatch.context() as broken:
        patch.setattr(rank_people.time, "sleep", sleep)
        by_app(samples, out)
    assert len(read_jsonl(out, Ranking)) == 4


def test_a_closed_queue_ends_the_waiting(samples: Path, tmp_path: Path) -> None:
    out, database = tmp_path / "rankings.jsonl", tmp_path / "feedback.db"
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            by_app(samples, out)
        except InputError as error:
            failed.append(error)

    stage = threading.Thread(target=wait)
    stage.start()
    name = wait_for_queue(database)
    with closing(open_store(database)) as store:
        change_queue(store, name, open=False)
    stage.join(60)
    assert "nobody has ranked anything" in str(failed[0])
    with closing(open_store(database)) as store:
        change_queue(store, name, open=True)
    judge_all(database, "ann")
    with closing(open_store(database)) as store:
        change_queue(store, name, open=False)
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
def test_the_whole_recipe_with_every_judgement_made_over_http(tmp_path: Path) -> None:
    """Two rounds of `smoke`: the stage queues and waits, simulated labelers come in through the REST API."""
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
