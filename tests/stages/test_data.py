"""The data stage: what is written, and that nothing stands on two sides."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.schema import Demonstration, Prompt, Ranking
from preceptor.feedback.splitting import assign_parts, group_prompts
from preceptor.files import read_jsonl
from preceptor.stages import data as stage
from preceptor.stages.data import DataConfig, data
from preceptor.training.progress import Progress


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tree(number: int) -> dict[str, Any]:
    """A tree with a ranking at its root and one further turn."""

    def message(name: str, role: str, *replies: Any, **more: Any) -> dict[str, Any]:
        return {"message_id": f"{number}{name}", "text": f"{name} {number}", "role": role, "replies": replies, **more}

    good = message("good", "assistant", message("next", "prompter", message("last", "assistant")), rank=0)
    root = message("root", "prompter", good, message("bad", "assistant", rank=1))
    return {"message_tree_id": f"tree {number}", "prompt": root}


def task(number: int) -> dict[str, Any]:
    return {"id": f"task {number}", "instruction": f"Do {number}.", "instances": [{"input": "", "output": "Done."}]}


def prompt(name: str, text: str, user: str) -> dict[str, Any]:
    return {"id": name, "user": user, "messages": [{"role": "user", "content": text}]}


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    text = tmp_path / "book.txt"
    text.write_text("\n\n".join(f"Paragraph {number} tells of {number * 7}. " * 4 for number in range(200)))
    trees = lines(tmp_path / "trees.jsonl", [tree(number) for number in range(40)])
    tasks = lines(tmp_path / "tasks.jsonl", [task(number) for number in range(40)])
    return DataConfig(
        source="files",
        text=[text],
        demonstrations=[trees, tasks],
        rankings=[trees],
        document_characters=200,
        heldout_share=0.2,
        dev_share=0.1,
        heldout_text_share=0.1,
    )


def run(config: DataConfig, out: Path, seed: int = 0) -> dict[str, Any]:
    return data(config, out=out, seed=seed, progress=Progress(quiet=True))


def test_files_are_written_in_the_documented_formats_and_counted(config: DataConfig, tmp_path: Path) -> None:
    out = tmp_path / "data"
    summary = run(config, out)
    names = {path.stem for path in out.glob("*.jsonl")} - {"metrics"}
    assert names == set(summary["counts"])
    assert {"corpus", "corpus_heldout", "demonstrations", "demonstrations_heldout"} < names
    assert {"prompts_train", "prompts_dev", "prompts_heldout", "rankings_train", "rankings_heldout"} < names
    for name, count in summary["counts"].items():
        shape = next((s for k, s in SHAPES.items() if name.startswith(k)), None)
        assert len((out / f"{name}.jsonl").read_text().splitlines()) == count
        if shape:
            assert len(read_jsonl(out / f"{name}.jsonl", shape)) == count
    total = summary["counts"]
    assert sum(total[f"rankings_{part}"] for part in ("train", "dev", "heldout") if f"rankings_{part}" in total) == 40
    assert len(summary["inputs"]) == 3
    assert all(len(digest) == 64 for digest in summary["inputs"].values())
    assert json.loads((out / "metrics.jsonl").read_text())["step"] == 1
    json.dumps(summary)


SHAPES: dict[str, Any] = {"prompts": Prompt, "demonstrations": Demonstration, "rankings": Ranking}


def test_no_tree_or_prompt_is_on_two_sides(config: DataConfig, tmp_path: Path) -> None:
    run(config, tmp_path / "data")
    beginnings: dict[str, set[str]] = {"train": set(), "dev": set(), "heldout": set()}
    for path in (tmp_path / "data").glob("[pdr]*.jsonl"):
        part = next((part for part in beginnings if path.stem.endswith(part)), "train")
        beginnings[part] |= {json.loads(row)["messages"][0]["content"] for row in path.read_text().splitlines()}
    assert all(beginnings.values())
    assert not beginnings["train"] & beginnings["heldout"]
    assert not beginnings["dev"] & (beginnings["train"] | beginnings["heldout"])


def test_documents_are_on_one_side_with_their_repetitions(config: DataConfig, tmp_path: Path) -> None:
    again = tmp_path / "again.txt"
    again.write_bytes(config.text[0].read_bytes())
    run(config.model_copy(update={"text": [*config.text, again]}), tmp_path / "data")
    train = (tmp_path / "data/corpus.jsonl").read_text().splitlines()
    heldout = (tmp_path / "data/corpus_heldout.jsonl").read_text().splitlines()
    assert train
    assert heldout
    assert not set(train) & set(heldout)
    assert len(set(train)) * 2 == len(train)
    assert len(set(heldout)) * 2 == len(heldout)


def test_the_same_seed_gives_the_same_files_and_another_does_not(config: DataConfig, tmp_path: Path) -> None:
    def content(name: str, seed: int) -> dict[str, str]:
        run(config, tmp_path / name, seed)
        return {path.name: path.read_text() for path in (tmp_path / name).glob("*.jsonl")}

    assert content("a", 1) == content("b", 1)
    assert content("c", 2) != content("a", 1)


def test_a_tree_stays_on_its_side_when_more_come(config: DataConfig, tmp_path: Path) -> None:
    run(config, tmp_path / "few")
    more = lines(tmp_path / "more.jsonl", [tree(number) for number in range(40, 90)])
    run(config.model_copy(update={"rankings": [*config.rankings, more]}), tmp_path / "many")
    few, many = (
        {row.prompt_id for row in read_jsonl(tmp_path / name / "rankings_heldout.jsonl", Ranking)}
        for name in ("few", "many")
    )
    assert few < many


def test_three_trees_are_enough_and_two_are_not(config: DataConfig, tmp_path: Path) -> None:
    for count in (3, 4, 5):
        few = lines(tmp_path / f"few{count}.jsonl", [tree(number) for number in range(count)])
        small = config.model_copy(update={"demonstrations": [few], "rankings": [few]})
        for seed in range(8):
            counts = run(small, tmp_path / f"{count}-{seed}", seed)["counts"]
            assert {"rankings_train", "rankings_heldout", "demonstrations_heldout", "prompts_dev"} < set(counts)
    two = lines(tmp_path / "two.jsonl", [tree(0), tree(1)])
    with pytest.raises(InputError, match=r"prompts: 2 trees or prompts are too few.*give at least 3"):
        run(config.model_copy(update={"demonstrations": [two], "rankings": [two]}), tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_one_conversation_in_two_files_is_one_group() -> None:
    def row(name: str, user: str, *texts: str) -> Prompt:
        roles = ["user", "assistant"] * len(texts)
        return Prompt.model_validate(
            {
                "id": name,
                "user": user,
                "messages": [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)],
            }
        )

    rows = [row("a", "a", "Hi"), row("b", "b", "hi ", "Yes?", "Go"), row("c", "c", "Hi"), row("d", "d", "Bye")]
    group = group_prompts(rows)
    assert group["a"] == group["b"] == group["c"] != group["d"]
    assert group_prompts(rows[::-1]) == group
    alone = group_prompts(rows, {"a", "b", "c", "d"})
    assert len(set(alone.values())) == 4, "real users may all say Hi"


def test_parts_are_mended_from_the_fullest_part_only() -> None:
    kinds = {f"g{number}": {"prompts"} for number in range(10)}
    parts = assign_parts(kinds, {"a": 1.0, "b": 0.0}, 0, {"prompts": ["a", "b"]})
    assert sorted(parts.values()) == ["a"] * 9 + ["b"]
    assert assign_parts({}, {"a": 1.0}, 0, {"prompts": ["a"]}) == {}


def test_prompts_of_users_obey_the_rules_of_hygiene(config: DataConfig, tmp_path: Path) -> None:
    rows = [prompt(f"busy {n}", f"ask {n}", "busy") for n in range(30)]
    rows += [prompt(f"u{n} {k}", f"user {n} asks {k}", f"u{n}") for n in range(30) for k in range(2)]
    rows += [prompt(f"same {n}", "Same question to all", f"u{n}") for n in range(30)]
    rows += [prompt("x1", "one two three four five six", "u1"), prompt("x2", "one two three four five seven", "u2")]
    path = lines(tmp_path / "prompts.jsonl", rows)
    wanted = config.model_copy(
        update={"prompts": [path], "prompts_per_user": 5, "prefix_words": 5, "demonstrations": [], "rankings": []}
    )
    summary = run(wanted, tmp_path / "data")
    found = {part: read_jsonl(tmp_path / f"data/prompts_{part}.jsonl", Prompt) for part in ("train", "dev", "heldout")}
    users = {part: {row.user for row in rows} for part, rows in found.items()}
    assert not users["train"] & users["heldout"]
    assert not users["dev"] & (users["train"] | users["heldout"])
    every = [row for rows in found.values() for row in rows]
    assert sum(row.user == "busy" for row in every) == 5
    assert sum("Same question" in row.messages[0].content for row in every) == 1
    assert sum(row.id in ("x1", "x2") for row in every) == 1
    assert summary["dropped"]["repeated prompts"] == 29
    assert "demonstrations" not in summary["counts"]


def test_long_prompts_are_not_asked_and_their_feedback_stays(config: DataConfig, tmp_path: Path) -> None:
    whole = run(config, tmp_path / "whole")["counts"]
    short = run(config.model_copy(update={"max_prompt_words": 5}), tmp_path / "short")
    every = [
        row
        for part in ("train", "dev", "heldout")
        for row in read_jsonl(tmp_path / f"short/prompts_{part}.jsonl", Prompt)
    ]
    assert len(every) == 80, "the roots of 40 trees and 40 tasks"
    assert all(len(row.messages) == 1 for row in every), "a second turn has six words"
    assert short["dropped"]["prompts of too many words"] == 40
    feedback = {name: count for name, count in whole.items() if not name.startswith("prompts")}
    assert feedback == {name: count for name, count in short["counts"].items() if not name.startswith("prompts")}
    with pytest.raises(InputError, match="max_prompt_words 1: the shortest prompt has 2; raise it"):
        run(config.model_copy(update={"max_prompt_words": 1}), tmp_path / "none")


def test_a_held_out_question_of_one_user_is_not_trained_on_as_anothers(config: DataConfig, tmp_path: Path) -> None:
    rows = [prompt(f"p{n}", "Same question" if n % 2 else f"own {n}", f"u{n}") for n in range(60)]
    demonstrations = [
        {"prompt_id": row["id"], "messages": [*row["messages"], {"role": "assistant", "content": f"A {row['id']}"}]}
        for row in rows
    ]
    both = config.model_copy(
        update={
            "prompts": [lines(tmp_path / "p.jsonl", rows)],
            "demonstrations": [lines(tmp_path / "d.jsonl", demonstrations)],
            "rankings": [],
        }
    )
    summary = run(both, tmp_path / "data")
    sides = [
        name
        for name in ("demonstrations", "demonstrations_dev", "demonstrations_heldout")
        if "Same question" in (tmp_path / f"data/{name}.jsonl").read_text()
    ]
    assert sides == ["demonstrations_heldout"]
    assert summary["dropped"]["rows whose prompt is held out"] > 0


def test_repetitions_and_rankings_of_ties_alone_are_dropped_and_counted(config: DataConfig, tmp_path: Path) -> None:
    def ranking(number: int, ranks: list[int], labeler: str = "") -> dict[str, Any]:
        ask = [{"role": "user", "content": f"Ask {number}"}]
        two = [{"text": "a"}, {"text": "b"}]
        return {"prompt_id": f"r{number}", "messages": ask, "responses": two, "ranks": ranks, "labeler": labeler}

    rows = [ranking(number, [1, 2]) for number in range(10)]
    twice = [
        ranking(11, [1, 1], "ann"),
        ranking(11, [1, 2], "ben"),
        ranking(12, [1, 1], "ann"),
        ranking(12, [1, 1], "ben"),
    ]
    path = lines(tmp_path / "r.jsonl", [*rows, rows[0], ranking(10, [1, 1]), *twice])
    summary = run(config.model_copy(update={"rankings": [path]}), tmp_path / "data")
    assert summary["dropped"]["repeated rankings"] == 1
    assert summary["dropped"]["rankings in which all are tied"] == 1, (
        "those that two have judged tell how far they agree"
    )
    assert sum(count for name, count in summary["counts"].items() if name.startswith("rankings")) == 14
    tied = lines(tmp_path / "tied.jsonl", [ranking(number, [1, 1]) for number in range(10)])
    with pytest.raises(InputError, match="every response is tied"):
        run(config.model_copy(update={"rankings": [tied]}), tmp_path / "none")


def test_nothing_is_written_if_any_input_is_at_fault(config: DataConfig, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n")
    with pytest.raises(InputError, match=r"bad.jsonl:1"):
        run(config.model_copy(update={"rankings": [*config.rankings, bad]}), tmp_path / "data")
    with pytest.raises(InputError, match=r"none is named; set data\.text"):
        run(DataConfig(source="files"), tmp_path / "data")
    short = tmp_path / "short.txt"
    short.write_text("One sentence.")
    with pytest.raises(InputError, match="single document"):
        run(config.model_copy(update={"text": [short]}), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_built_in_world_is_written_by_its_own_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def writer(config: Any, seed: int, out: Path) -> dict[str, Any]:
        calls.append((config, seed, out))
        return {"corpus": 3}

    monkeypatch.setattr(stage, "write_world", writer)
    config = DataConfig()
    assert run(config, tmp_path / "data", seed=5) == {"source": "atlas", "counts": {"corpus": 3}}
    assert calls == [(config.atlas, 5, tmp_path / "data")]


def test_every_key_says_what_it_is() -> None:
    assert all(field.description for field in DataConfig.model_fields.values())


def pair(number: int) -> dict[str, Any]:
    return {"prompt": f"Which, {number}?", "chosen": f"This {number}.", "rejected": "That."}


def test_comparisons_alone_give_all_three_if_the_best_are_to_be_learnt(tmp_path: Path) -> None:
    path = lines(tmp_path / "pairs.jsonl", [pair(number) for number in range(60)])
    config = DataConfig(source="files", demonstrations=[path], rankings=[path], heldout_share=0.2, dev_share=0.1)
    with pytest.raises(
        InputError, match=r"gives no demonstrations; list the file under rankings, or set data.best_ranked"
    ):
        run(config, tmp_path / "refused")
    counts = run(config.model_copy(update={"best_ranked": True}), tmp_path / "data")["counts"]
    total = [sum(count for name, count in counts.items() if name.startswith(kind)) for kind in ("demo", "rank", "prom")]
    assert total == [60, 60, 60]
    (first, *_) = read_jsonl(tmp_path / "data" / "demonstrations.jsonl", Demonstration)
    assert first.messages[-1].content.startswith("This")


def test_prompts_of_other_formats_are_kept_together_by_their_beginning(tmp_path: Path) -> None:
    """They name no users, so that two turns of one conversation would else be two strangers."""
    turns = [{"role": "assistant", "content": "So."}, {"role": "user", "content": "And then?"}]
    begun = [{"messages": [{"role": "user", "content": f"Hello {number}."}]} for number in range(60)]
    rows = [*begun, *({"messages": [*row["messages"], *turns]} for row in begun)]
    path = lines(tmp_path / "chats.jsonl", rows)
    config = DataConfig(source="files", prompts=[path], heldout_share=0.3, dev_share=0.2)
    run(config, tmp_path / "data")
    parts: dict[str, set[str]] = {}
    for part in ("train", "dev", "heldout"):
        for row in read_jsonl(tmp_path / "data" / f"prompts_{part}.jsonl", Prompt):
            parts.setdefault(row.messages[0].content, set()).add(part)
    assert len(parts) == 60
    assert all(len(names) == 1 for names in parts.values())


def test_a_format_that_is_named_for_no_file_is_refused(config: DataConfig, tmp_path: Path) -> None:
    wrong = config.model_copy(update={"formats": {"tree.jsonl": "alpaca"}})
    with pytest.raises(InputError, match=r"data.formats names tree.jsonl, which no other key of data does"):
        run(wrong, tmp_path / "data")
    named = config.model_copy(update={"formats": {str(config.rankings[0]): "hh-rlhf"}})
    with pytest.raises(InputError, match=r"trees.jsonl:1: .*transcripts"):
        run(named, tmp_path / "data")
