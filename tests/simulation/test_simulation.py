"""Simulated labelers over HTTP: everything there once, also when the server dies in between."""

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from preceptor.atlas.world import load_world, write_world
from preceptor.errors import InputError
from preceptor.feedback.schema import Prompt, Ranking, Response, Sample
from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.judged import count_judgements, read_demonstrations, read_prompts, read_rankings
from preceptor.feedback.store.load import load_prompts
from preceptor.feedback.tasks import PromptWish, add_prompts, add_samples, add_wishes, create_queue, queue
from preceptor.files import read_jsonl, write_jsonl
from preceptor.recipe import Recipe
from preceptor.simulation import Simulation, simulate
from preceptor.simulation.check import Ledger
from preceptor.simulation.client import Watch
from preceptor.simulation.report import Report
from preceptor.stages.rank import RankConfig, rank
from preceptor.text.conversation import Message
from preceptor.training.progress import Progress

from ..live import PASSWORD, Process, serving


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a small built-in world."""
    data = tmp_path_factory.mktemp("world")
    write_world(Recipe.load("smoke").data.atlas.model_copy(update={"labelers": 6}), 3, data)
    return data


def samples(count: int, outputs: int = 4) -> list[Sample]:
    return [
        Sample(
            prompt_id=f"p{number}",
            messages=[Message(role="user", content=f"What is {number}?")],
            responses=[Response(text=f"{number}.{place}", model=f"m{place}") for place in range(outputs)],
        )
        for number in range(count)
    ]


def plan(url: str, token: str | None, **more: Any) -> Simulation:
    return Simulation(url=url, admin="root", password=PASSWORD, invitation=token, **more)


def test_all_kinds_of_tasks_by_chance(tmp_path: Path) -> None:
    database = tmp_path / "feedback.db"
    with closing(open_store(database)) as store:
        for kind in ("ranking", "comparison", "demonstration", "prompt"):
            create_queue(store, kind, kind, overlap=2)  # type: ignore[arg-type]
        add_samples(store, "ranking", samples(6))
        add_samples(store, "comparison", samples(4, outputs=2))
        write_jsonl(tmp_path / "prompts.jsonl", [Prompt(id="d", user="u", messages=samples(1)[0].messages)])
        load_prompts(store, tmp_path / "prompts.jsonl")
        add_prompts(store, "demonstration", ["d"])
        add_wishes(store, "prompt", [PromptWish(form="few-shot"), PromptWish()])
        with serving(database) as (url, token):
            report = simulate(plan(url, token, labelers=3))
            again = simulate(plan(url, None, labelers=3))  # the same crew signs in, and finds nothing left to do
        assert report.sound and report.judgements == 2 * (6 + 4 + 1 + 2)
        assert again.sound and again.judgements == 0
        assert count_judgements(store) == {"ranking": 12, "comparison": 8, "demonstration": 2, "prompt": 4}
        assert {judged.ranking.source for judged in read_rankings(store)} == {"simulated"}
        assert len(list(read_demonstrations(store))) == 2 and len(list(read_prompts(store))) == 6 + 1 + 4
    routes = {route.name: route for route in report.routes}
    submitted = routes["POST /api/tasks/{assignment}/submit"]
    assert submitted.requests == report.judgements and 0 < submitted.p50 <= submitted.p95 <= submitted.longest


def test_atlas_labelers_judge_over_http_as_in_rank(tmp_path: Path, world: Path) -> None:
    database = tmp_path / "feedback.db"
    prompts = read_jsonl(world / "prompts_train.jsonl", Prompt)[:5]
    texts = ("I do not know.", "It is Paris.", "Go away.", "Helium is a gas")
    given = [
        Sample(prompt_id=one.id, messages=one.messages, responses=[Response(text=text, model="m") for text in texts])
        for one in prompts
    ]
    write_jsonl(tmp_path / "samples.jsonl", given)
    crew = load_world(world).config.labelers
    config = RankConfig(labelers_per_prompt=crew)
    arguments = {
        "samples": tmp_path / "samples.jsonl",
        "gold": world / "gold.jsonl",
        "out": tmp_path / "rankings.jsonl",
    }
    rank(config, **arguments, seed=7, progress=Progress(quiet=True))
    with closing(open_store(database)) as store:
        create_queue(store, "q", "ranking", overlap=crew)
        add_samples(store, "q", given)
        with serving(database) as (url, token):
            report = simulate(plan(url, token, labelers=crew, gold=world / "gold.jsonl", seed=7))
        assert report.sound and report.judgements == crew * 5
        over_http = {said(judged.ranking) for judged in read_rankings(store)}
    assert over_http == {said(ranking) for ranking in read_jsonl(tmp_path / "rankings.jsonl", Ranking)}


def said(ranking: Ranking) -> tuple[str, str, tuple[int, ...]]:
    return ranking.prompt_id, ranking.labeler, tuple(ranking.ranks)


@pytest.mark.timeout(600)
def test_a_server_killed_under_load_has_lost_nothing(tmp_path: Path) -> None:
    """SIGKILL in the middle, and a new start on the same port: labelers notice a pause, and the store nothing."""
    database = tmp_path / "feedback.db"
    with closing(open_store(database)) as store:
        create_queue(store, "q", "ranking", overlap=3)
        add_samples(store, "q", samples(40))
        server = Process(database)
        with ThreadPoolExecutor(1) as thread:
            crew = thread.submit(simulate, plan(server.url, server.token, labelers=8))
            for enough in (15, 50):
                wait_for(store, enough)
                server.end(signal.SIGKILL)
                server = Process(database, server.port)
            report = crew.result(300)
        assert server.end() == 0
        assert report.judgements == 120 and report.sound and report.away > 0
        assert count_judgements(store) == {"ranking": 120}
        assert queue(store, "q").finished
        raw = store.engine.raw_connection()
        assert raw.cursor().execute("PRAGMA integrity_check").fetchone() == ("ok",)  # type: ignore[union-attr]
        raw.close()


def wait_for(store: Store, count: int) -> None:
    until = time.monotonic() + 200
    while count_judgements(store).get("ranking", 0) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_check_sees_what_is_lost_and_what_is_there_twice() -> None:
    ledger, task = Ledger(), {"messages": [{"role": "user", "content": "a"}], "outputs": ["x", "y"]}
    for number, ranks in enumerate(([1, 2], [2, 1], [1, 1])):
        ledger.acknowledged(task, {"kind": "ranking", "ranks": ranks}, {"judgement": number, "repeated": False})
    first, second, third = ledger.contents
    assert report(ledger, Counter([first, second, third])).sound
    assert report(ledger, Counter([first, third])).lost == 1
    assert report(ledger, Counter([first, first, second, third])).twice == 1
    assert not report(ledger, Counter([first, second])).sound
    before = Counter([first])
    assert Report.of(Watch(), ledger, before, before + ledger.contents, 1.0, []).sound
    assert Report.of(Watch(), ledger, before, ledger.contents, 1.0, []).lost == 1


def report(ledger: Ledger, exported: Counter[str]) -> Report:
    return Report.of(Watch(), ledger, Counter(), exported, 1.0, [])


def test_what_cannot_work_is_said_in_one_line(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:9", "nonsense", "ftp://x", ""):
        with pytest.raises(InputError, match=r"no answer|is no address"):
            simulate(plan(url, None))
    with serving(tmp_path / "feedback.db") as (url, token):
        with pytest.raises(InputError, match="password is wrong"):
            simulate(plan(url, None))
        with pytest.raises(InputError, match="unknown, used or over"):
            simulate(plan(url, "forged"))
        with pytest.raises(InputError, match="no such file"):
            simulate(plan(url, token, gold=tmp_path / "gold.jsonl"))


def test_a_world_that_does_not_know_the_prompts_is_refused(tmp_path: Path, world: Path) -> None:
    database = tmp_path / "feedback.db"
    with closing(open_store(database)) as store:
        create_queue(store, "q", "ranking")
        add_samples(store, "q", samples(1))
    with serving(database) as (url, token), pytest.raises(InputError, match="has no prompt 'What is 0"):
        simulate(plan(url, token, labelers=1, gold=world / "gold.jsonl"))


def test_the_verb_prints_and_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from preceptor.cli import main

    with closing(open_store(tmp_path / "feedback.db")) as store:
        create_queue(store, "q", "ranking")
        add_samples(store, "q", samples(3))
    with serving(tmp_path / "feedback.db") as (url, token):
        words = ["simulate", "--url", url, "--labelers", "2", "--admin", "root"]
        monkeypatch.delenv("PRECEPTOR_PASSWORD", raising=False)
        assert main(words) == 2 and "PRECEPTOR_PASSWORD" in capsys.readouterr().err
        monkeypatch.setenv("PRECEPTOR_PASSWORD", PASSWORD)
        assert main([*words, "--invitation", token]) == 0
        out = capsys.readouterr().out
        assert "3 judgements acknowledged" in out and "0 lost, 0 twice" in out and "p95" in out
        assert main([*words, "--labelers", "0"]) == 2


def test_the_crew_has_passwords_of_its_own(tmp_path: Path) -> None:
    """Made from the admin's: who knows a name cannot sign in by it, and no labeler is taken for an admin."""
    with closing(open_store(tmp_path / "feedback.db")) as store:
        create_queue(store, "q", "ranking")
        add_samples(store, "q", samples(2))
        with serving(tmp_path / "feedback.db") as (url, token):
            assert simulate(plan(url, token, labelers=1, tasks=1)).judgements == 1
            with pytest.raises(InputError, match="password is wrong"):
                simulate(Simulation(url=url, admin="labeler-01", password=PASSWORD))
        assert count_judgements(store) == {"ranking": 1}
