"""The figures of what a file holds, against counting by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback import agreement
from preceptor.feedback.inspection import figures, ranking_figures, read_contents, sample, spread
from preceptor.feedback.schema import Ranking, Response
from preceptor.text.conversation import Message
from preceptor.text.tokenizer import Tokenizer

ASK = [Message(role="user", content="Why?")]


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ranking(texts: str, ranks: list[int], labeler: str = "", prompt: str = "p") -> Ranking:
    responses = [Response(text=text) for text in texts.split()]
    return Ranking(prompt_id=prompt, messages=ASK, responses=responses, ranks=ranks, labeler=labeler)


def chat(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]}


def test_the_95th_percentile_is_a_length_that_occurs() -> None:
    assert spread(range(1, 101)) == {"median": 50.5, "p95": 95, "max": 100, "total": 5050}
    assert spread([7]) == {"median": 7, "p95": 7, "max": 7, "total": 7}


def test_rankings_are_counted_pair_by_pair() -> None:
    found = ranking_figures([ranking("aaa bb c", [1, 2, 2]), ranking("a bb", [1, 2]), ranking("a b", [1, 2])])
    assert found["responses"] == {"2": 2, "3": 1}
    assert found["pairs"] == 5
    assert found["ties"] == 1 / 5
    # aaa beats bb and c; a beats the longer bb; a and b are as long
    assert found["longer_wins"] == 2.5 / 4
    assert found["all_tied"] == 0
    assert found["labelers"] == {}
    assert "agreement" not in found


def test_ties_alone_have_no_longer_winner() -> None:
    found = ranking_figures([ranking("a bb", [1, 1])])
    assert found["longer_wins"] is None
    assert found["all_tied"] == 1


def test_agreement_is_shown_where_two_judged_the_same_pair() -> None:
    both = [ranking("a b", [1, 2], "ann"), ranking("b a", [2, 1], "bob"), ranking("a c", [1, 2], "ann")]
    found = ranking_figures([*both, ranking("x y", [1, 2], "cy", "q")])
    assert found["agreement"]["share"] == 1.0
    assert found["agreement"]["pairs"] == 1
    assert found["labelers"] == {"ann": 2, "bob": 1, "cy": 1}


def test_a_prompt_that_very_many_have_judged_costs_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "MAX_RANKINGS_OF_A_PROMPT", 3)
    found = ranking_figures([ranking("a b", [1, 2], f"labeler {n}") for n in range(10)])
    assert found["agreement"]["pairs"] == 3


def test_counts_and_characters(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f", chat("ab", "cde"), chat("ab", "c", "d", "e"), chat("abc"), {"messages": [{"role": "tool"}]}
    )
    contents = read_contents(path, None, 2000)
    found = figures(contents)
    assert found["readers"] == {"messages": 4}
    assert found["counts"] == {"prompts": 3, "demonstrations": 2, "rankings": 0, "documents": 0}
    assert found["characters"]["demonstrations"] == {"median": 5, "p95": 5, "max": 5, "total": 10}
    assert found["assistant_turns"]["total"] == 3
    assert sum(found["skipped"]["records"].values()) == 1
    assert sum(found["skipped"]["demonstrations"].values()) == 1
    assert "tokens" not in found and "rankings" not in found
    json.dumps(found)
    assert [len(messages) for messages, _ in sample(contents, 1)] == [2]


def test_tokens_and_what_a_context_cuts(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["abcde"], 263)  # a token a byte
    path = write(tmp_path / "f", chat("ab", "cde"), chat("ab", "c" * 20))
    found = figures(read_contents(path, None, 2000), tokenizer, 12)
    # <begin> <user> 2 <end> <assistant> 3 <end> is 10 tokens, of which 4 are learnt
    assert found["tokens"]["demonstrations"] == {"median": 18.5, "p95": 27, "max": 27, "total": 37}
    assert found["tokens"]["prompts"]["max"] == 6
    assert found["trained_share"] == (4 + 21) / 37
    assert found["longer_than_context"] == {"prompts": 0, "demonstrations": 1}


def test_rankings_are_measured_with_their_prompts(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["abcde"], 263)
    path = write(tmp_path / "f", {"prompt": "ab", "chosen": "cde", "rejected": "c" * 20})
    found = figures(read_contents(path, None, 2000), tokenizer, 12)
    assert found["tokens"]["ranked responses with their prompt"]["max"] == 27
    assert found["longer_than_context"]["ranked responses with their prompt"] == 1
    ((messages, responses),) = sample(read_contents(path, None, 2000), 3)
    assert (messages[0].content, [rank for rank, _ in responses]) == ("ab", ["1", "2"])


def test_text_is_documents(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("One.\n\nTwo.")
    assert figures(read_contents(tmp_path / "t", None, 5))["counts"]["documents"] == 2
    assert figures(read_contents(write(tmp_path / "c", {"text": "One."}), None, 5))["counts"]["documents"] == 1


def test_our_prompts_have_users(tmp_path: Path) -> None:
    rows = [{"id": str(n), "user": f"u{n // 2}", "messages": [{"role": "user", "content": str(n)}]} for n in range(4)]
    assert figures(read_contents(write(tmp_path / "f", *rows), None, 5))["users"] == 2


@pytest.mark.parametrize(("text", "message"), [("", "holds neither records nor text"), ("[]", "is empty; it needs")])
def test_an_empty_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "f").write_text(text)
    with pytest.raises(InputError, match=message):
        read_contents(tmp_path / "f", None, 5)
