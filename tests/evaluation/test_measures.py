"""Helpfulness, truthfulness, harmlessness, perplexity and snapshots, each on input whose figures are known."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from preceptor.evaluation.answers import Answer, Policy, Question
from preceptor.evaluation.harmlessness import rude_shares
from preceptor.evaluation.helpfulness import best_base_format, best_of, comparisons, win_rates
from preceptor.evaluation.judges import GoldJudge
from preceptor.evaluation.perplexity import perplexities
from preceptor.evaluation.reward_measures import on_rankings
from preceptor.evaluation.snapshots import snapshots_of
from preceptor.evaluation.truthfulness import claim_shares
from preceptor.feedback.schema import Ranking, Response
from preceptor.files import write_json, write_jsonl
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render
from preceptor.text.tokenizer import Tokenizer


def question(number: int, kind: str = "open_qa") -> Question:
    return Question(f"p{number}", kind, (Message(role="user", content=f"Question {number}?"),))


def answer(text: str) -> Answer:
    return Answer(text, [1], [2], True)


@dataclass
class Said:
    """What the stand-in for the rubric says: it takes the answer's text for the claim, "rude" for rude."""

    claim: str
    rude: bool
    score: float


class Rubric:
    name = "gold"

    def judgement(self, prompt_id: str, text: str) -> Said:
        return Said(text, text == "rude", float(len(text)))

    def scores(self, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
        return [self.judgement(q.id, a.text).score for q, a in zip(questions, answers, strict=True)]


RUBRIC = cast(GoldJudge, Rubric())


def test_who_is_compared_with_whom() -> None:
    assert comparisons(["base", "sft"]) == [("sft", "base")]
    assert comparisons(["base", "sft", "ppo_round_1", "ppo"]) == [
        ("sft", "base"),
        ("ppo", "sft"),
        ("ppo", "base"),
        ("ppo_round_1", "sft"),
        ("ppo", "ppo_round_1"),
    ]


def test_win_rates_count_ties_half() -> None:
    table = win_rates({"base": [0.0, 0, 0, 1], "sft": [1.0, 0, 0, 0]}, 0, 200)
    assert list(table) == ["sft_vs_base"]
    assert table["sft_vs_base"]["win_rate"] == 0.5
    assert table["sft_vs_base"]["n"] == 4


def test_best_of_takes_the_highest_reward_and_the_first_of_equals() -> None:
    groups = [[answer("a"), answer("b")], [answer("c"), answer("d"), answer("e")]]
    assert [one.text for one in best_of(groups, [0.0, 1.0, 2.0, 2.0, 1.0])] == ["b", "c"]


def test_the_base_is_asked_in_the_format_that_the_judge_likes_best() -> None:
    class Base(Policy):
        def answer(self, questions: Sequence[Question], **_: Any) -> list[list[Answer]]:
            return [[answer("long answer" if self.base_format == "b" else "no")] for _ in questions]

    # best_base_format builds policies of its own, so the class is put in its place.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("preceptor.evaluation.helpfulness.Policy", Base)
        base = Base("base", cast(Transformer, None), cast(Tokenizer, None), 8)
        chosen, means = best_base_format(base, ("a", "b"), [question(0)], RUBRIC, temperature=1.0, seed=0)
    assert chosen == "b"
    assert means == {"a": 2.0, "b": 11.0}


def test_claims_are_counted_by_group() -> None:
    questions = [question(i, "known") for i in range(4)] + [question(9, "invented")]
    said = ["true", "true", "false", "none", "unknown"]
    shares = claim_shares(questions, [answer(text) for text in said], RUBRIC)
    assert {key: shares["known"][key] for key in ("true", "false", "unknown", "none")} == {
        "true": 0.5,
        "false": 0.25,
        "unknown": 0.0,
        "none": 0.25,
    }
    assert shares["known"]["n"] == 4
    assert shares["invented"]["unknown"] == 1.0
    assert "withheld" not in shares
    low, high = shares["known"]["intervals"]["unknown"]
    assert low == 0.0
    assert 0 < high < 1  # four answers do not prove that it never happens


def test_rude_answers_by_instruction_and_model() -> None:
    questions = [question(0, "none"), question(1, "none"), question(2, "rude")]
    table = rude_shares(
        questions,
        {"base": [answer("rude")] * 3, "sft": [answer("kind"), answer("rude"), answer("kind")]},
        RUBRIC,
        0,
        100,
    )
    assert (table["none"]["base"], table["none"]["sft"], table["rude"]["sft"]) == (1.0, 0.5, 0.0)
    assert table["none"]["n"] == 2
    assert set(table["none"]["intervals"]) == {"base", "sft"}
    assert {name: one["over_base"]["sft"]["mean"] for name, one in table.items()} == {"none": -0.5, "rude": -1.0}


def test_a_model_that_knows_nothing_has_the_vocabulary_as_perplexity(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer
) -> None:
    model = tiny_model(tie_word_embeddings=False).eval()
    with torch.no_grad():
        model.head.weight.zero_()
    texts = ["ann likes bob.", "dan sees eve and bob and ann."]
    found = perplexities({"base": model}, tiny_tokenizer, texts, seed=0)
    assert found["base"] == pytest.approx(tiny_tokenizer.vocab_size, rel=1e-5)


def test_perplexity_counts_the_end_but_not_the_begin(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer
) -> None:
    model = tiny_model().eval()
    text = "ann likes bob."
    ids = torch.tensor([[tiny_tokenizer.bos_id, *tiny_tokenizer.encode(text), tiny_tokenizer.eos_id]])
    with torch.no_grad():
        logprobs = model(ids)[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    found = perplexities({"sft": model}, tiny_tokenizer, [text], seed=0)
    assert found["tokens"] == ids.shape[1] - 1
    assert found["sft"] == pytest.approx(math.exp(-float(logprobs.mean())), rel=1e-4)


def test_accuracy_on_given_rankings_beside_the_rules_and_by_source(
    tiny_scalar: Callable[..., ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    model = tiny_scalar(max_position_embeddings=64).eval()

    def ranking(prompt: str, ranks: list[int], labeler: str, source: str = "api") -> Ranking:
        responses = [Response(text=text) for text in ("short", "a longer one", "the longest of all three")]
        ask = [Message(role="user", content="Say something.")]
        return Ranking(prompt_id=prompt, messages=ask, responses=responses, ranks=ranks, labeler=labeler, source=source)

    unseen = [ranking("h1", [3, 2, 1], "a"), ranking("h1", [3, 1, 1], "b", "forum")]
    trained = [ranking("t1", [1, 2, 3], "a"), ranking("t1", [1, 2, 3], "b")]
    arguments: dict[str, Any] = {"trained": trained, "seed": 0, "resamples": 100}
    found = on_rankings(model, tiny_tokenizer, unseen, **arguments)
    assert (found["longer_wins"], found["bag_of_words"]) == (1.0, 0.0), "those trained on say the opposite"
    assert found["over_longer"] == pytest.approx(found["heldout_accuracy"] - 1)
    assert found["labeler_agreement"] == pytest.approx((2 + 3) / 6), "of all labelers, those of training rankings too"
    assert found["labeler_agreement_strict"] == 1.0
    assert found["details"]["heldout_accuracy"]["pairs"] == 5
    assert found["calibration"]["pairs"] == 5
    assert 0 <= found["heldout_accuracy"] <= 1
    assert {name: one["details"]["heldout_accuracy"]["pairs"] for name, one in found["sources"].items()} == {
        "api": 3,
        "forum": 2,
    }
    assert "labeler_agreement" not in found["sources"]["forum"]
    assert on_rankings(model, tiny_tokenizer, [], **arguments) == {}


def test_responses_are_scored_as_if_each_were_alone(
    tiny_scalar: Callable[..., ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    """Whoever ranked them, in whatever order, and however often a text comes."""
    model = tiny_scalar(max_position_embeddings=64).eval()
    texts, ask = ["no", "not at all", "no", "never", "not"], [Message(role="user", content="May I?")]
    alone = {}
    for text in texts:
        whole = render(tiny_tokenizer, [*ask, Message(role="assistant", content=text)])
        with torch.no_grad():
            alone[text] = float(model(torch.tensor([whole.ids]))[0, -1])
    best_first = sorted(set(texts), key=lambda text: -alone[text])

    def ranking(prompt: str, order: list[str]) -> Ranking:
        ranks = [best_first.index(text) + 1 for text in order]
        return Ranking(prompt_id=prompt, messages=ask, responses=[Response(text=text) for text in order], ranks=ranks)

    rankings = [ranking("x", texts), ranking("x", texts[::-1]), ranking("y", texts[1:4])]
    found = on_rankings(model, tiny_tokenizer, rankings, trained=[], seed=0, resamples=10)
    assert found["heldout_accuracy"] == 1.0
    assert found["details"]["heldout_accuracy"]["pairs"] == 9 + 9 + 3


def test_the_words_of_a_source_are_weighed_by_its_own_rankings(
    tiny_scalar: Callable[..., ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    def ranking(prompt: str, source: str, ranks: list[int]) -> Ranking:
        responses = [Response(text="yes"), Response(text="no")]
        ask = [Message(role="user", content="Say something.")]
        return Ranking(prompt_id=prompt, messages=ask, responses=responses, ranks=ranks, source=source)

    trained = [ranking(f"a{i}", "a", [1, 2]) for i in range(5)] + [ranking(f"b{i}", "b", [2, 1]) for i in range(3)]
    unseen = [ranking("x", "a", [1, 2]), ranking("y", "b", [2, 1]), ranking("z", "c", [1, 2])]
    model = tiny_scalar(max_position_embeddings=64).eval()
    found = on_rankings(model, tiny_tokenizer, unseen, trained=trained, seed=0, resamples=100)
    assert {name: one["bag_of_words"] for name, one in found["sources"].items()} == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_snapshots_get_their_gold_afterwards(tmp_path: Path) -> None:
    for iteration, text in ((0, "ab"), (8, "abcd")):
        row = {"prompt_id": "p0", "response": text, "score": iteration / 8, "check_score": 0.5, "kl": iteration / 4}
        write_jsonl(tmp_path / "snapshots" / f"{iteration:06d}.jsonl", [row, row | {"response": "abcdef"}])
    write_json(tmp_path / "provenance.json", {"kept_step": 8})
    found = snapshots_of(tmp_path, RUBRIC, 0, 100)
    assert found is not None
    assert found["kept"] == 8
    assert [(one["iteration"], one["gold"], one["score"], one["kl"]) for one in found["points"]] == [
        (0, 4.0, 0.0, 0.0),
        (8, 5.0, 1.0, 2.0),
    ]
    without = snapshots_of(tmp_path, None, 0, 100)
    assert without is not None
    assert not {"gold", "length"} & set(without["points"][0])
    assert snapshots_of(tmp_path / "none", RUBRIC, 0, 100) is None
