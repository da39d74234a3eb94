"""Files into a store and out of it: nothing lost, nothing twice, no name leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.feedback.schema import Demonstration, Prompt, Ranking, Rating, Sample
from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.errors import StaleError
from preceptor.feedback.store.export import export
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings, read_ratings
from preceptor.feedback.store.load import (
    Loaded,
    load_demonstrations,
    load_prompts,
    load_rankings,
    load_ratings,
)
from preceptor.feedback.store.people import create_person
from preceptor.feedback.tasks import (
    ComparisonPayload,
    DemonstrationPayload,
    OutputRating,
    RankingPayload,
    add_prompts,
    add_samples,
    create_queue,
    next_task,
    submit,
)
from preceptor.files import read_jsonl, write_jsonl

from ..conftest import ask

Rows = list[dict[str, Any]]


def prompt_row(number: int, user: str = "alice@example.org") -> dict[str, Any]:
    return {"id": f"p{number}", "user": user, "messages": [{"role": "user", "content": f"What is p{number}?"}]}


def ranking_row(number: int, labeler: str, ranks: list[int]) -> dict[str, Any]:
    responses = [{"text": f"text {k}", "model": f"m{k}"} for k in range(len(ranks))]
    messages = prompt_row(number)["messages"]
    return {
        "prompt_id": f"p{number}", "messages": messages, "responses": responses, "ranks": ranks, "labeler": labeler,
    }  # fmt: skip


@pytest.fixture
def worked(store: Store, sample: Callable[..., Sample], tmp_path: Path) -> Store:
    """A store with something of everything, all of it by Ann and Ben."""
    write_jsonl(tmp_path / "in.jsonl", [prompt_row(0), prompt_row(1)])
    load_prompts(store, tmp_path / "in.jsonl")
    create_queue(store, "d", "demonstration")
    create_queue(store, "r", "ranking", overlap=2)
    create_queue(store, "c", "comparison")
    add_prompts(store, "d", ["p0"])
    add_samples(store, "r", [sample("p0", "a", "b", "a")])
    add_samples(store, "c", [sample("p1", "x", "y")])
    for name in ("ann", "ben"):
        person = create_person(store, name).id
        while (mine := next_task(store, person)) is not None:
            payload: Any = DemonstrationPayload(text="It is p0.")
            if mine.kind == "ranking":
                ratings = [OutputRating(overall=6, flags=["opinion"])] * 2
                payload = RankingPayload(ranks=[1 if one == "a" else 2 for one in mine.outputs], ratings=ratings)
            if mine.kind == "comparison":
                payload = ComparisonPayload(preferred="tie")
            submit(store, person, mine.assignment, payload, seconds=1)
    return store


def test_an_export_holds_what_was_said_in_our_formats(worked: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = export(worked, out)
    assert counts == {"prompts": 2, "demonstrations": 1, "rankings": 2, "comparisons": 1, "ratings": 6}
    prompts = read_jsonl(out / "prompts.jsonl", Prompt)
    demonstrations = read_jsonl(out / "demonstrations.jsonl", Demonstration)
    rankings = read_jsonl(out / "rankings.jsonl", Ranking)
    comparisons = read_jsonl(out / "comparisons.jsonl", Ranking)
    ratings = read_jsonl(out / "ratings.jsonl", Rating)
    assert [row.id for row in prompts] == ["p0", "p1"]
    assert demonstrations[0].messages[-1].content == "It is p0."
    assert [row.ranks for row in rankings] == [[1, 2, 1], [1, 2, 1]]
    assert comparisons[0].ranks == [1, 1]
    assert {row.overall for row in ratings} == {6}
    assert all(row.flags["opinion"] and not row.flags["violent"] for row in ratings)


def test_no_name_leaves_and_a_person_is_called_the_same_everywhere(worked: Store, tmp_path: Path) -> None:
    export(worked, tmp_path / "one")
    export(worked, tmp_path / "two")
    export(worked, tmp_path / "other", key="another key")
    texts = {path.name: path.read_text() for path in (tmp_path / "one").iterdir()}
    assert not any(name in text for text in texts.values() for name in ("ann", "ben", "alice", "example.org"))
    assert texts == {path.name: path.read_text() for path in (tmp_path / "two").iterdir()}
    assert texts["rankings.jsonl"] != (tmp_path / "other" / "rankings.jsonl").read_text()
    labelers = {row.labeler for row in read_jsonl(tmp_path / "one" / "rankings.jsonl", Ranking)}
    assert len(labelers) == 2
    assert {row.labeler for row in read_jsonl(tmp_path / "one" / "ratings.jsonl", Rating)} == labelers
    assert len({row.user for row in read_jsonl(tmp_path / "one" / "prompts.jsonl", Prompt)}) == 1


def test_what_is_exported_comes_back(worked: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(worked, out)
    other = open_store(tmp_path / "other.db")
    assert load_prompts(other, out / "prompts.jsonl") == Loaded(added=2)
    assert load_demonstrations(other, out / "demonstrations.jsonl") == Loaded(added=1)
    assert load_rankings(other, out / "rankings.jsonl") == Loaded(added=2)
    assert load_ratings(other, out / "ratings.jsonl") == Loaded(added=6)
    assert [row.id for row in read_prompts(other)] == ["p0", "p1"]
    assert [one.messages for one, _ in read_demonstrations(other)] == [
        one.messages for one, _ in read_demonstrations(worked)
    ]
    assert [(one.ranking.responses, one.ranking.ranks) for one in read_rankings(other)] == [
        (one.ranking.responses, one.ranking.ranks) for one in read_rankings(worked)
    ]
    assert {(one.response, one.model, one.overall) for one, _ in read_ratings(other)} == {
        (one.response, one.model, one.overall) for one, _ in read_ratings(worked)
    }
    other.close()


def test_an_earlier_export_is_replaced_and_anything_else_left_alone(worked: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(worked, out)
    export(worked, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "novel.txt").write_text("Once")
    for path in (tmp_path / "mine", tmp_path / "mine" / "novel.txt"):
        with pytest.raises(InputError, match="holds no export"):
            export(worked, path)
    assert (tmp_path / "mine" / "novel.txt").read_text() == "Once"


def test_reading_twice_adds_nothing(store: Store, tmp_path: Path) -> None:
    files: dict[str, Rows] = {
        "prompts": [prompt_row(number) for number in range(300)],
        "rankings": [ranking_row(number, "ann", [1, 2, 2]) for number in range(300)] + [ranking_row(0, "ben", [1, 1])],
    }
    for name, rows in files.items():
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    for turn in range(2):
        assert load_prompts(store, tmp_path / "prompts.jsonl") == (Loaded(300, 0), Loaded(0, 300))[turn]
        assert load_rankings(store, tmp_path / "rankings.jsonl") == (Loaded(301, 0), Loaded(0, 301))[turn]
    assert len(list(read_prompts(store))) == 300
    labelers = {one.ranking.labeler for one in read_rankings(store)}
    assert labelers == {"file/ann", "file/ben"}


def test_a_ranking_brings_its_prompt_which_is_its_own_user_s(store: Store, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rankings.jsonl", [ranking_row(7, "", [2, 1])])
    load_rankings(store, tmp_path / "rankings.jsonl")
    (found,) = read_prompts(store)
    assert (found.id, found.user) == ("p7", "p7")
    assert found.messages == ask("p7")


def test_two_prompts_under_one_id_are_refused(store: Store, tmp_path: Path) -> None:
    other = prompt_row(0) | {"messages": [{"role": "user", "content": "Something else?"}]}
    write_jsonl(tmp_path / "one.jsonl", [prompt_row(0)])
    write_jsonl(tmp_path / "two.jsonl", [other])
    load_prompts(store, tmp_path / "one.jsonl")
    with pytest.raises(StaleError, match=r"two.jsonl:1: the store has another prompt under the id 'p0'"):
        load_prompts(store, tmp_path / "two.jsonl")


BAD = [
    ('{"id": "p1"}', "user: Field required"),
    ("{", "Invalid JSON"),
    (json.dumps(prompt_row(1) | {"admin": 1}), "admin: Extra inputs"),
    (json.dumps(prompt_row(1) | {"messages": []}), "messages"),
    (json.dumps(prompt_row(1) | {"messages": [{"role": "user", "content": "\x00"}]}), "U[+]0000"),
    (json.dumps(prompt_row(1) | {"messages": [{"role": "user", "content": "safe \u202e live"}]}), "U[+]202E"),
    (json.dumps(prompt_row(1) | {"messages": [{"role": "user", "content": "x" * 10_000_000}]}), "10,000,000 char"),
    (json.dumps(prompt_row(1) | {"messages": [{"role": "user", "content": " "}]}), "the prompt is empty"),
    (json.dumps(prompt_row(1) | {"id": "x" * 501}), "id: 501 characters"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_line_is_named_and_nothing_is_added(store: Store, tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(prompt_row(number)) + "\n" for number in range(10, 310)) + "\n" + line + "\n")
    with pytest.raises(InputError, match=rf"bad.jsonl:302: .*{said}"):
        load_prompts(store, path)
    assert list(read_prompts(store)) == []


# the command line --------------------------------------------------------------------------------


@pytest.fixture
def command(database: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """command("export", ...): exit code, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["feedback", *map(str, words), "--database", database])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def test_import_and_export_by_command(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "some.jsonl", [prompt_row(0)])
    write_jsonl(tmp_path / "more.jsonl", [ranking_row(0, "ann", [1, 2])])
    code, said, _ = command("import", tmp_path / "more.jsonl", tmp_path / "some.jsonl")
    assert code == 0
    assert said.splitlines() == [
        f"{tmp_path}/some.jsonl: 1 prompts added, 0 there already",
        f"{tmp_path}/more.jsonl: 1 rankings added, 0 there already",
    ]
    code, said, _ = command("export", "--out", tmp_path / "out")
    assert (code, json.loads(said)["rankings"]) == (0, 1)
    code, said, _ = command("import", tmp_path / "out")
    assert code == 0
    assert said.splitlines()[0] == f"{tmp_path}/out/prompts.jsonl: 0 prompts added, 1 there already"


def test_commands_that_cannot_be_obeyed(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, store: Store
) -> None:
    (tmp_path / "song.jsonl").write_text('{"title": "la"}\n')
    (tmp_path / "empty key").write_text("\n")
    for words, said in [
        (("import", tmp_path / "song.jsonl"), "holds none of our formats"),
        (("import", tmp_path / "none.jsonl"), "no such file"),
        (("import", tmp_path), "holds none of prompts.jsonl"),
        (("export", "--out", tmp_path / "out", "--queue", "q"), "there is no queue 'q'"),
        (("export", "--out", tmp_path / "out", "--key-file", tmp_path / "empty key"), "the key is empty"),
        (("forget", "nobody"), "neither prompts of such a user nor such a labeler"),
    ]:
        code, out, error = command(*words)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert said in error
    assert not (tmp_path / "out").exists()
