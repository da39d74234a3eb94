"""Comparisons and rankings of others: the order of the responses, the prompt, what is left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.agreement import agreement
from preceptor.feedback.readers import read_demonstrations, read_rankings
from preceptor.feedback.readers.many_answers import UNRATED
from preceptor.feedback.readers.turns import BLANK, NOT_ENDED, OTHER_PROMPTS, SAME, TOO_FEW, TURNS

Write = Callable[..., Path]
USER, GOOD, BAD = (
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Good."},
    {"role": "assistant", "content": "Bad."},
)
ASKED = [("user", "Why?")]
PAIR = (ASKED, ["Good.", "Bad."], [1, 2])
TRANSCRIPT = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant:"
LONG = [("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")]


def rated(*ratings: Any, overall: float | None = None, text: str = "x", model: str = "m") -> dict[str, Any]:
    aspects = {f"aspect {k}": {"Rating": rating, "Rationale": "..."} for k, rating in enumerate(ratings)}
    return {"response": text, "model": model, "annotations": aspects, "overall_score": overall}


SHP = {"post_id": "p", "history": "Why?", "human_ref_A": "Good.", "human_ref_B": "Bad.", "score_A": 9, "labels": 1}
SUMMARIES = {
    "info": {"id": "i", "post": "I fell. ", "title": "Help", "subreddit": "legal", "site": None, "article": None},
    "summaries": [{"text": " Bad.", "policy": "ref", "note": None}, {"text": " Good.", "policy": "sup", "note": ""}],
    "choice": 1,
    "worker": "w1",
    "extra": {"confidence": 3},
}
POST = [("user", "SUBREDDIT: r/legal\n\nTITLE: Help\n\nPOST: I fell.\n\nTL;DR:")]
PANDALM = {
    "instruction": "Why?",
    "input": "",
    "response1": "Bad.",
    "response2": True,
    "cmp_key": "bloom-7b_opt-7b",
    "annotator1": 2,
}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Why? ", "chosen": " Good.", "rejected": "Bad.\n"}, PAIR),
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, PAIR),
        (  # UltraFeedback's binarized form: whole conversations, and "messages" besides
            {"prompt": "Why?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "messages": [USER, GOOD]},
            PAIR,
        ),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, PAIR),
        (
            {
                "conversations": [{"from": "human", "value": "Why?"}],
                "chosen": {"from": "gpt", "value": "Good."},
                "rejected": {"from": "gpt", "value": "Bad."},
            },
            PAIR,
        ),
        (
            {"system": "S", "question": "Why?", "chosen": "Good.", "rejected": "Bad."},
            ([("system", "S"), *ASKED], *PAIR[1:]),
        ),
        ({"prompt": TRANSCRIPT, "chosen": "Good.", "rejected": "Bad."}, (LONG, *PAIR[1:])),
        ({"chosen": TRANSCRIPT + " Good.", "rejected": TRANSCRIPT + " Bad."}, (LONG, *PAIR[1:])),
        (
            {
                "prompt": TRANSCRIPT + " ",
                "answers": [
                    {"answer": "c", "model": "x", "rank": 3.0},
                    {"answer": "a", "model": "y", "rank": 1.0},
                    {"answer": "b", "model": None, "rank": 1.0},
                ],
            },
            (LONG, ["c", "a", "b"], [2, 1, 1]),
        ),
        (  # the wrong overall score is not looked at where every aspect is rated
            {"instruction": "Why?", "completions": [rated("1", "2", overall=10, text="b"), rated("5", "4", text="a")]},
            (ASKED, ["b", "a"], [2, 1]),
        ),
        (
            {
                "instruction": "Why?",
                "completions": [
                    rated("1", "N/A", overall=7, text="a"),
                    rated("5", "4", overall=7, text="b"),
                    rated("5", "5", overall=6.5, text="c"),
                ],
            },
            (ASKED, ["a", "b", "c"], [1, 1, 2]),
        ),
        (SHP, PAIR),
        ({**SHP, "labels": 0}, (ASKED, ["Good.", "Bad."], [2, 1])),
        ({**SHP, "labels": "0"}, (ASKED, ["Good.", "Bad."], [2, 1])),  # as CSV has it
        (SUMMARIES, (POST, ["Bad.", "Good."], [2, 1])),
        ({**SUMMARIES, "info": {"article": "News."}}, ([("user", "News.\n\nTL;DR:")], ["Bad.", "Good."], [2, 1])),
        (PANDALM, (ASKED, ["Bad.", "True"], [2, 1])),
        ({**PANDALM, "annotator1": 0}, (ASKED, ["Bad.", "True"], [1, 1])),
    ],
)
def test_each_shape_becomes_a_ranking(write: Write, record: dict[str, Any], expected: Any) -> None:
    collected = read_rankings([write(record)])
    (ranking,) = collected.rankings
    messages = [(turn.role, turn.content) for turn in ranking.messages]
    assert (messages, [one.text for one in ranking.responses], ranking.ranks) == expected
    assert collected.prompts[ranking.prompt_id].messages == ranking.messages
    assert collected.skipped == {}


def test_who_judged_and_what_wrote_is_kept(write: Write) -> None:
    (ranking,) = read_rankings([write(SUMMARIES)]).rankings
    assert (ranking.labeler, [one.model for one in ranking.responses]) == ("w1", ["ref", "sup"])
    three = {**PANDALM, "annotator2": 1, "annotator3": 2}
    rankings = read_rankings([write(three)]).rankings
    assert [one.labeler for one in rankings] == ["annotator1", "annotator2", "annotator3"]
    assert rankings[0].responses[1].model == "opt-7b"
    assert agreement(rankings).share == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        (SAME, {"prompt": "p", "chosen": "x", "rejected": " x"}),
        (TOO_FEW, {"prompt": "p", "chosen": "x", "rejected": " "}),
        (TOO_FEW, {"prompt": "p", "answers": [{"answer": "x", "rank": 1}]}),
        (OTHER_PROMPTS, {"chosen": TRANSCRIPT + " Good.", "rejected": "\n\nHuman: Why?\n\nAssistant: Bad."}),
        (NOT_ENDED, {"chosen": TRANSCRIPT + " Good.", "rejected": TRANSCRIPT}),
        (NOT_ENDED, {"prompt": "p", "chosen": [USER], "rejected": [USER]}),
        (TURNS, {"chosen": TRANSCRIPT + " a\n\nAssistant: b", "rejected": TRANSCRIPT + " a\n\nAssistant: c"}),
        (BLANK, {**SHP, "history": " "}),
        (BLANK, {**SUMMARIES, "info": {}}),
        (UNRATED, {"instruction": "Why?", "completions": [rated("1"), rated("N/A")]}),
    ],
)
def test_what_compares_nothing_is_left_out_and_counted(write: Write, reason: str, record: dict[str, Any]) -> None:
    good = {"prompt": "Good?", "chosen": "yes", "rejected": "no"}
    collected = read_rankings([write(good, record)])
    assert len(collected.rankings) == 1
    assert collected.skipped == {"rankings": {reason: 1}}


def test_a_blank_answer_leaves_ranks_without_a_gap(write: Write) -> None:
    answers = [{"answer": text, "rank": rank} for text, rank in (("a", 1), (" ", 2), ("c", 3))]
    (ranking,) = read_rankings([write({"prompt": "p", "answers": answers})]).rankings
    assert ranking.ranks == [1, 2]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"chosen": "a", "rejected": "b"}, r"file1:1: chosen: is a text and the record has no prompt; a record is"),
        ({"prompt": "p", "chosen": 3, "rejected": "b"}, r":1: chosen: must be a list of messages"),
        ({**SHP, "labels": 2}, r":1: labels: Input should be 0 or 1; a record is"),
        ({**SUMMARIES, "choice": 2}, r":1: choice: "),
        ({**SUMMARIES, "summaries": []}, r":1: summaries: "),
        ({**PANDALM, "annotator1": 3}, r":1: annotator1: must be 0 for a tie, 1 or 2"),
        ({"prompt": "p", "answers": [{"answer": "x"}]}, r":1: answers.0.rank: Field required; a record is"),
        ({"instruction": "x", "completions": [{}]}, r":1: completions.0.response: Field required"),
        (
            {"messages": [USER, GOOD]},
            r":1: is a conversation in messages, which gives no rankings; list the file under",
        ),
        ({"info": {}, "summary": {}}, r"'info', 'summary' fits no format; a comparison of summaries \(summaries\) is"),
    ],
)
def test_a_malformed_record_is_refused_by_place(write: Write, record: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_rankings([write(record)])


def test_a_named_format_refuses_what_it_is_not(write: Write) -> None:
    path = write({"prompt": "p", "chosen": "a", "rejected": "b"})
    with pytest.raises(InputError, match=r":1: chosen: is no transcript"):
        read_rankings([path], formats={str(path): "hh-rlhf"})


def test_the_best_response_becomes_a_demonstration_only_when_asked(write: Write) -> None:
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        {"prompt": "p", "chosen": "a", "rejected": "c"},
        {
            "prompt": "q",
            "answers": [{"answer": "x", "rank": 1}, {"answer": "y", "rank": 1}, {"answer": "z", "rank": 2}],
        },
    ]
    path = write(*rows)
    with pytest.raises(InputError, match=r":1: is a preferred.*under rankings, or set data.best_ranked"):
        read_demonstrations([path])
    collected = read_demonstrations([path], best_ranked=True)
    assert [row.messages[-1].content for row in collected.demonstrations] == ["a"]
    assert collected.skipped == {"demonstrations": {"rankings without a single best response": 1}}
    assert not collected.rankings
