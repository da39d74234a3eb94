"""Forgetting: all of one person goes, nothing of another does, and the models that learnt from it are named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.feedback.schema import Prompt, Sample
from preceptor.feedback.store import Store
from preceptor.feedback.store.forget import forget, prompts_of
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings
from preceptor.feedback.store.load import Loaded, load_prompts
from preceptor.feedback.store.people import create_person, find_person, person
from preceptor.feedback.store.sessions import open_session, session_and_terms
from preceptor.feedback.store.tables import Base, Forgetting
from preceptor.feedback.tasks import (
    DemonstrationPayload,
    OutputRating,
    PromptPayload,
    PromptWish,
    RankingPayload,
    add_prompts,
    add_samples,
    add_wishes,
    correct,
    create_queue,
    next_task,
    queue,
    submit,
)
from preceptor.files import write_json, write_jsonl
from preceptor.provenance import content_hash
from preceptor.traces import find_traces


@pytest.fixture
def worked(store: Store, sample: Callable[..., Sample], prompt: Callable[..., Prompt], tmp_path: Path) -> Store:
    """Prompts of Xaver and Yvonne, each with a demonstration (corrected once) and a ranking."""
    write_jsonl(tmp_path / "prompts.jsonl", [prompt("p0", "xaver"), prompt("p1", "yvonne"), prompt("p2", "xaver")])
    load_prompts(store, tmp_path / "prompts.jsonl")
    create_queue(store, "d", "demonstration")
    create_queue(store, "r", "ranking")
    add_prompts(store, "d", ["p0", "p1"])
    ann = create_person(store, "ann", password_hash="$hash").id
    ben = create_person(store, "ben").id
    while (mine := next_task(store, ann, "d")) is not None:
        submit(
            store, ann, mine.assignment, DemonstrationPayload(text=f"secret of {mine.messages[0].content}"), seconds=1
        )
        correct(store, ann, mine.assignment, DemonstrationPayload(text="better"), seconds=1)
    add_samples(store, "r", [sample(name, "a", "b") for name in ("p0", "p1")], demonstrations=True)
    while (mine := next_task(store, ben, "r")) is not None:
        payload = RankingPayload(ranks=[1, 2, 3], ratings=[OutputRating(overall=4)] * 3)
        submit(store, ben, mine.assignment, payload, seconds=1)
    return store


def count(store: Store, name: str) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(Base.metadata.tables[name])).scalar_one()


def test_a_user_s_prompts_go_with_all_that_was_made_from_them(worked: Store, tmp_path: Path) -> None:
    assert prompts_of(worked, "xaver") == ["p0", "p2"]
    removed = forget(worked, "xaver")
    assert (removed.prompts, removed.responses, removed.judgements, removed.labeler) == (2, 4, 3, False)
    assert [one.id for one in read_prompts(worked)] == ["p1"]
    assert [one.prompt_id for one, _ in read_demonstrations(worked)] == ["p1"]
    assert [one.ranking.prompt_id for one in read_rankings(worked)] == ["p1"]
    counts = {name: count(worked, name) for name in ("items", "assignments", "responses", "judgements", "rankings")}
    assert counts == {"items": 2, "assignments": 2, "responses": 4, "judgements": 3, "rankings": 3}
    assert queue(worked, "r").finished
    if worked.engine.dialect.name == "sqlite":
        everything = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
        assert b"secret of What is p1" in everything
        assert b"secret of What is p0" not in everything
        assert b"xaver" not in everything


def test_the_guard_is_shut_again(worked: Store) -> None:
    forget(worked, "xaver")
    with worked.reading() as connection:
        assert connection.execute(select(func.count()).select_from(Forgetting)).scalar() == 0
    with pytest.raises(Exception, match="is only ever added to"), worked.writing() as connection:
        connection.execute(text("DELETE FROM judgements"))


def test_a_forgotten_user_does_not_come_back(worked: Store, sample: Callable[..., Sample], tmp_path: Path) -> None:
    forget(worked, "xaver")
    assert load_prompts(worked, tmp_path / "prompts.jsonl") == Loaded(added=0, known=3)
    found = add_samples(worked, "r", [sample("p0", "c", "d"), sample("p1", "c", "d")])
    assert (found.added, found.forgotten) == (1, 1)
    assert [one.id for one in read_prompts(worked)] == ["p1"]


def test_a_labeler_goes_with_the_prompts_she_wrote_and_leaves_her_judgements_nameless(worked: Store) -> None:
    create_queue(worked, "w", "prompt")
    add_wishes(worked, "w", [PromptWish()])
    ann = find_person(worked, "Ann")
    assert ann is not None
    mine = next_task(worked, ann.id, "w")
    assert mine is not None
    submit(worked, ann.id, mine.assignment, PromptPayload(use_case="chat", text="Hello?"), seconds=1)
    token = open_session(worked, ann.id)
    removed = forget(worked, "Ann")
    assert (removed.prompts, removed.labeler) == (1, True)
    assert session_and_terms(worked, token)[0] is None
    assert find_person(worked, "ann") is None
    assert person(worked, ann.id).status == "forgotten"
    assert {one.labeler for one, _ in read_demonstrations(worked)} == {f"forgotten/{ann.id}"}
    assert len(list(read_rankings(worked))) == 2
    with pytest.raises(InputError, match="neither prompts"):
        forget(worked, "ann")


# what runs have made of it -----------------------------------------------------------------------


def model(directory: Path, weights: str, data: list[Path], parents: list[Path]) -> Path:
    """A model as a stage leaves it, for all that its provenance says."""
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_text(weights)
    record = {
        "data": {str(number): {"path": str(path), "sha256": content_hash(path)} for number, path in enumerate(data)},
        "parents": {str(number): {"path": "", "sha256": content_hash(path)} for number, path in enumerate(parents)},
    }
    write_json(directory / "provenance.json", record)
    return directory


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    ask = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
    write_jsonl(root / "data" / "demonstrations.jsonl", [{"prompt_id": f"p{i}"} | ask for i in (0, 1, 2)])
    write_jsonl(root / "data" / "corpus.jsonl", [{"text": "p0 is here by chance"}])
    write_jsonl(root / "rankings.jsonl", [{"prompt_id": "p1"}])
    base = model(root / "base", "base", [root / "data" / "corpus.jsonl"], [])
    sft = model(root / "sft", "sft", [root / "data" / "demonstrations.jsonl"], [base])
    model(root / "reward", "reward", [root / "rankings.jsonl"], [base])
    model(root / "ppo", "ppo", [], [sft])
    return root


def test_files_models_and_their_children_are_named_and_no_others(run: Path) -> None:
    traces = find_traces([run, run], {"p0", "p2"}, {"xaver"})
    found = [(trace.kind, str(trace.path.relative_to(run))) for trace in traces]
    assert found == [("file", "data/demonstrations.jsonl"), ("model", "ppo"), ("model", "sft")]
    assert traces[0].why == "2 lines of theirs"
    assert find_traces([run], {"p9"}, {"zoe"}) == []


def test_a_copy_of_a_file_counts_as_the_file(run: Path, tmp_path: Path) -> None:
    """Provenance names what is in a file, not where it lies."""
    copy = tmp_path / "elsewhere" / "copy.jsonl"
    copy.parent.mkdir()
    copy.write_bytes((run / "data" / "demonstrations.jsonl").read_bytes())
    (run / "data" / "demonstrations.jsonl").unlink()
    found = find_traces([run, copy.parent], {"p0"}, set())
    assert [trace.path.name for trace in found] == ["copy.jsonl", "ppo", "sft"]


def test_by_command(worked: Store, database: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feedback", "forget", "xaver", "--database", database, "--run", str(run)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "removed 2 prompts, 4 responses, 3 judgements"
    assert f"model {run}/sft: trained on {run}/data/demonstrations.jsonl" in said


def test_an_unreadable_run_stops_it_before_anything_is_removed(
    worked: Store, database: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "sft" / "provenance.json").write_text("{")
    assert main(["feedback", "forget", "xaver", "--database", database, "--run", str(run)]) == 2
    assert "is no provenance" in capsys.readouterr().err
    assert main(["feedback", "forget", "xaver", "--database", database, "--run", str(run / "none")]) == 2
    assert len(list(read_prompts(worked))) == 3
    assert json.loads((run / "reward" / "provenance.json").read_text())["parents"]
