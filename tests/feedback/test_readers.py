"""Readers of feedback: what each format becomes, and how each mistake is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.readers import read_demonstrations, read_prompts, read_rankings

USER = {"role": "user", "content": "Why?"}
REPLY = {"role": "assistant", "content": "Because."}
DEMONSTRATION = {"prompt_id": "p1", "messages": [USER, REPLY], "labeler": "ann"}
RANKING = {
    "prompt_id": "p1",
    "messages": [USER],
    "responses": [{"text": "a", "model": "m"}, {"text": "b", "model": "m"}, {"text": "c", "model": "m"}],
    "ranks": [1, 1, 2],
    "labeler": "ann",
}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def message(name: str, role: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"message_id": name, "text": f"text {name}", "role": role, "replies": list(replies), **more}


def tree(*replies: dict[str, Any], name: str = "t") -> dict[str, Any]:
    return {"message_tree_id": name, "tree_state": "ready", "prompt": message(name, "prompter", *replies)}


def qa(preference: list[Any], **more: Any) -> dict[str, Any]:
    answers = {f"prediction {k}": f"answer {k} " for k in range(1, 5)}
    passages = [["Rome", "Rome\n\nRome is old.", "It is big."], ["Paris"]]
    return {"question": "How old?", "passages": passages, "gold": "Old. ", **answers, "preference": preference, **more}


# our own formats


def test_our_own_formats(tmp_path: Path) -> None:
    collected = read_demonstrations([lines(tmp_path / "d", DEMONSTRATION, "")])
    read_rankings([lines(tmp_path / "r", RANKING)], collected)
    assert collected.demonstrations[0].labeler == "ann"
    assert collected.rankings[0].ranks == [1, 1, 2]
    assert list(collected.prompts) == ["p1"]
    assert collected.prompts["p1"].messages[0].content == "Why?"


def test_a_json_array_and_a_byte_order_mark_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    other = {**DEMONSTRATION, "prompt_id": "p2"}
    path.write_text("\ufeff" + json.dumps([DEMONSTRATION, other], indent=1), encoding="utf-8")
    assert len(read_demonstrations([path]).demonstrations) == 2


def test_prompts_keep_their_users(tmp_path: Path) -> None:
    path = lines(tmp_path / "p", {"id": "p1", "user": "u7", "messages": [USER], "kind": "chat"})
    collected = read_prompts([path])
    read_demonstrations([lines(tmp_path / "d", DEMONSTRATION)], collected)
    assert collected.prompts["p1"].user == "u7", "a demonstration of a known prompt belongs to its user"


def test_one_id_for_two_prompts_names_both_places(tmp_path: Path) -> None:
    first = lines(tmp_path / "a", DEMONSTRATION)
    second = lines(tmp_path / "b", "", {**RANKING, "messages": [{"role": "user", "content": "Who?"}]})
    with pytest.raises(InputError, match=r"b:2: prompt 'p1' has other messages than at .*a:1; give each"):
        read_rankings([second], read_demonstrations([first]))


# Open Assistant


def test_sibling_replies_are_rankings_with_rank_0_best(tmp_path: Path) -> None:
    row = tree(
        message("a", "assistant", rank=1),
        message("b", "assistant", rank=0, synthetic=True, model_name="bot"),
        message("c", "assistant"),  # nobody ranked it
    )
    collected = read_rankings([lines(tmp_path / "t", row)])
    (ranking,) = collected.rankings
    assert [response.text for response in ranking.responses] == ["text a", "text b"]
    assert ranking.ranks == [2, 1]
    assert [response.model for response in ranking.responses] == ["human", "bot"]
    assert ranking.prompt_id == "t"
    assert collected.prompts["t"].user == "t"
    assert not collected.demonstrations


def test_demonstrations_are_the_paths_of_best_human_replies(tmp_path: Path) -> None:
    row = tree(
        message("worse", "assistant", message("x", "prompter", message("y", "assistant")), rank=1),
        message(
            "best",
            "assistant",
            message("q1", "prompter", message("r1", "assistant", message("end", "prompter"))),
            message("q2", "prompter", message("bot", "assistant", rank=0, synthetic=True), message("r2", "assistant")),
            message("q3", "prompter"),
            rank=0,
        ),
    )
    collected = read_demonstrations([lines(tmp_path / "t", row)])
    texts = [[turn.content.removeprefix("text ") for turn in row.messages] for row in collected.demonstrations]
    assert texts == [["t", "best", "q1", "r1"], ["t", "best", "q2", "r2"]]
    assert [row.prompt_id for row in collected.demonstrations] == ["q1", "q2"]
    assert set(collected.prompts) == {"t", "x", "q1", "q2", "q3", "end"}
    assert {prompt.user for prompt in collected.prompts.values()} == {"t"}


def test_a_best_reply_whose_followers_nobody_answered_is_a_demonstration(tmp_path: Path) -> None:
    row = tree(message("a", "assistant", message("q", "prompter")))
    (demonstration,) = read_demonstrations([lines(tmp_path / "t", row)]).demonstrations
    assert [turn.content for turn in demonstration.messages] == ["text t", "text a"]


def test_deleted_and_refused_messages_are_left_out_and_counted(tmp_path: Path) -> None:
    row = tree(
        message("a", "assistant", rank=0, deleted=True),
        message("b", "assistant", rank=1, review_result=False),
        message("c", "assistant", rank=2),
        message("d", "assistant", rank=3),
    )
    collected = read_rankings([lines(tmp_path / "t", row)])
    assert collected.rankings[0].ranks == [1, 2]
    assert list(collected.skipped["rankings"].values()) == [2]


def test_a_deep_tree_is_no_trouble(tmp_path: Path) -> None:
    node = message("m0", "assistant")
    for number in range(1, 60):
        node = message(f"m{number}", "assistant" if number % 2 == 0 else "prompter", node)
    collected = read_demonstrations([lines(tmp_path / "t", {"message_tree_id": "t", "prompt": node})])
    assert len(collected.demonstrations[0].messages) == 60


# self-instruct


def test_each_instance_is_a_demonstration(tmp_path: Path) -> None:
    task = {
        "id": "seed_task_3",
        "name": "x",
        "instruction": "Sort it.",
        "instances": [{"input": "", "output": "1 2\n"}, {"input": "3 1", "output": "1 3"}, {"input": "", "output": ""}],
        "is_classification": True,
    }
    user_oriented = {
        "id": "user_0",
        "motivation_app": "Mail",
        "instruction": "Reply.",
        "instances": [{"input": "Hi", "output": "Hello"}],
    }
    path = lines(tmp_path / "s", {**task, "instances": task["instances"][:2]}, user_oriented)
    collected = read_demonstrations([path])
    assert [row.messages[0].content for row in collected.demonstrations] == [
        "Sort it.",
        "Sort it.\n\n3 1",
        "Reply.\n\nHi",
    ]
    assert [row.messages[1].content for row in collected.demonstrations] == ["1 2", "1 3", "Hello"]
    assert [prompt.user for prompt in collected.prompts.values()] == ["seed_task_3", "seed_task_3", "user_0"]
    assert collected.prompts["seed_task_3"].kind == "classification"


def test_an_instance_without_output_is_counted(tmp_path: Path) -> None:
    task = {"id": "s", "instruction": "Go.", "instances": [{"output": "ok"}, {"input": "x", "output": " "}]}
    collected = read_demonstrations([lines(tmp_path / "s", task)])
    assert len(collected.demonstrations) == 1
    assert collected.skipped == {"demonstrations": {"instances without an output": 1}}


# QA-feedback


def test_pairs_become_ranks(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps([qa([1, 1, 1, 0, 2, 2])]))  # first best, last second, the middle two tied
    collected = read_rankings([path])
    (ranking,) = collected.rankings
    assert ranking.ranks == [1, 3, 3, 2]
    assert ranking.responses[0].text == "answer 1"
    assert ranking.messages[0].content == "Rome: Rome is old. It is big.\n\nParis: \n\nQuestion: How old?"
    assert collected.skipped == {}
    assert read_demonstrations([path]).demonstrations[0].messages[1].content == "Old."


def test_preferences_that_no_ranking_has_are_counted(tmp_path: Path) -> None:
    collected = read_rankings([lines(tmp_path / "q", qa([1, 2, 1, 1, 1, 1]))])  # 0 > 1 > 2 > 0, all above 3
    assert collected.rankings[0].ranks == [1, 1, 1, 2]
    assert list(collected.skipped["rankings"].values()) == [3]


# mistakes

BAD_RANKINGS = [
    ("{oops", r"r:2: not valid JSON .*one JSON object a line"),
    ("[1]", r"r:2: holds no JSON object"),
    (
        {"x": 1},
        r"r:2: a record with the fields 'x' fits no format; a ranking \(rankings\) is .*; the others are",
    ),
    ({**RANKING, "ranks": [1, 2]}, r"r:2: .*2 ranks for 3 responses"),
    ({**RANKING, "ranks": [0, 1, 2]}, r"r:2: .*ranks count from 1"),
    ({**RANKING, "rank": []}, r"r:2: rank: Extra inputs .*a ranking is"),
    ({**RANKING, "responses": [{"text": "a"}], "ranks": [1]}, r"r:2: ranks a single response.*at least 2"),
    ({**RANKING, "messages": [USER, REPLY]}, r"r:2: messages: the prompt must end with words of the user"),
    ({**DEMONSTRATION, "ranks": [1, 2]}, r"r:2: responses: Field required; a ranking is"),
    (DEMONSTRATION, r"r:2: is a demonstration, which gives no rankings; list the file under demonstrations"),
    ({"id": "s", "instruction": "x", "instances": []}, r"r:2: is a self-instruct task.*under demonstrations"),
    ({"message_id": "m", "parent_id": "p", "text": "x"}, r"r:2: is a single message of Open Assistant's"),
    ({"message_tree_id": "t", "prompt": {"text": "x"}}, r"r:2: prompt.message_id: Field required; a tree is"),
    (tree(message("a", "prompter")), r"r:2: message 'a': a prompter answers a prompter"),
    (tree(message("a", "assistant", message("b", "assistant"))), r"r:2: message 'b': the assistant answers itself"),
    (tree(message("a", "assistant", rank=-1)), r"r:2: prompt.replies.0.rank: "),
    ({"message_tree_id": "t", "prompt": message("a", "assistant")}, r"r:2: the tree begins with"),
    (qa([1, 1, 1]), r"r:2: preference: .*six of 0, 1, 2"),
    (qa([1, 1, 1, 1, 1, 3]), r"r:2: preference.5: "),
    ('{"a":' * 100_000, r"r:2: "),
]


@pytest.mark.parametrize(("row", "expected"), BAD_RANKINGS, ids=range(len(BAD_RANKINGS)))
def test_a_mistake_in_a_ranking_names_file_line_and_mend(tmp_path: Path, row: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as error:
        read_rankings([lines(tmp_path / "r", RANKING, row)])
    assert "\n" not in str(error.value)


BAD_DEMONSTRATIONS = [
    (
        RANKING,
        r"d:2: is a ranking, which gives no demonstrations.*under rankings, or set data.best_ranked",
    ),
    ({**DEMONSTRATION, "messages": [USER]}, r"d:2: messages: .*a demonstration is"),
    ({**DEMONSTRATION, "messages": [USER, USER]}, r"d:2: .*must end with a message of the assistant"),
    ({**DEMONSTRATION, "messages": [REPLY, REPLY]}, r"d:2: messages: the prompt must end with words of the user"),
    ({**DEMONSTRATION, "messages": [{"role": "boss", "content": ""}, REPLY]}, r"d:2: messages.0.role: "),
    ({"id": "s", "instruction": "x", "instances": []}, r"d:2: instances: .*a task is"),
    ({"id": "s", "instruction": " ", "instances": [{"output": "x"}]}, r"d:2: instruction: is blank"),
]


@pytest.mark.parametrize(("row", "expected"), BAD_DEMONSTRATIONS, ids=range(len(BAD_DEMONSTRATIONS)))
def test_a_mistake_in_a_demonstration_names_file_line_and_mend(tmp_path: Path, row: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        read_demonstrations([lines(tmp_path / "d", DEMONSTRATION, row)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[\n{"x": 1},\n{"y" 2}]', r":3: not valid JSON"),
        ('[\n{"messages": [],\n "prompt_id": ""}', r":2: messages: List should have at least 2"),
        ("[", r":1: not valid JSON"),
        ("[]", r"is empty; it needs at least one record"),
        ("\n\n", r"is empty; it needs at least one record"),
    ],
)
def test_mistakes_in_arrays_and_empty_files(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text.replace('{"x": 1}', json.dumps(DEMONSTRATION)))
    with pytest.raises(InputError, match=expected):
        read_demonstrations([path])


def test_an_array_that_breaks_off_is_named_after_its_good_records(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + json.dumps(DEMONSTRATION) + "\n x")
    with pytest.raises(InputError, match=r"a.json:2: expected ',' or ']'"):
        read_demonstrations([path])


def test_a_file_that_gives_nothing_of_what_is_wanted_is_an_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "t", tree(message("a", "assistant", deleted=True)))
    with pytest.raises(InputError, match="none of its 1 records gives rankings; left out: 1 messages"):
        read_rankings([path])


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_rankings([tmp_path / "none"])


# where a ranking comes from


def test_a_ranking_says_where_it_comes_from(tmp_path: Path) -> None:
    ours = lines(tmp_path / "ours.jsonl", RANKING, {**RANKING, "source": "forum"})
    trees = lines(tmp_path / "trees.jsonl", tree(message("a", "assistant", rank=0), message("b", "assistant", rank=1)))
    pairs = [
        lines(tmp_path / f"{name}.jsonl", {"prompt": name, "chosen": "yes", "rejected": "no"})
        for name in ("one", "two")
    ]
    collected = read_rankings([ours, trees, *pairs])
    assert [row.source for row in collected.rankings] == [
        "ours.jsonl",
        "forum",
        "open-assistant",
        "preferences (one.jsonl)",
        "preferences (two.jsonl)",
    ]


def test_the_source_of_a_prompt_is_that_of_its_rankings(tmp_path: Path) -> None:
    prompt = {"id": "p1", "user": "u", "messages": [USER], "source": "api"}
    collected = read_prompts([lines(tmp_path / "p", prompt)])
    assert read_rankings([lines(tmp_path / "r", RANKING)], collected).rankings[0].source == "api"
