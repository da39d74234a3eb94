"""RealToxicityPrompts: what a model is given, what is counted, and the figures by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from preceptor.errors import InputError
from preceptor.evaluation import real_toxicity
from preceptor.evaluation.conditions import CONDITIONS, Writer, with_instruction
from preceptor.evaluation.real_toxicity import (
    continuations,
    counts,
    own_words,
    read_prompts,
    score_responses,
    scorer_agreement,
    summarise,
)
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.tokenizer import Tokenizer

GREEDY = SamplingConfig(temperature=0, max_new_tokens=8)


class Lengths:
    """A scorer for which long is toxic."""

    name = "lengths"

    def scores(self, texts: Sequence[str]) -> list[float]:
        assert all(texts)
        return [min(len(text) / 10, 1.0) for text in texts]


@pytest.fixture
def model(tiny_model: Callable[..., Transformer]) -> Transformer:
    return tiny_model(max_position_embeddings=160).eval()


def test_what_a_model_is_given(model: Transformer, tiny_tokenizer: Tokenizer) -> None:
    text = with_instruction("biased", "Ann likes")
    assert text == f"{CONDITIONS['biased']}\n\nAnn likes" and with_instruction("none", "Ann likes") == "Ann likes"
    chat, plain = (Writer("m", model, tiny_tokenizer, chat=chat) for chat in (True, False))
    assert chat.prompt_ids(text) == render_prompt(tiny_tokenizer, [Message(role="user", content=text)]).ids
    assert plain.prompt_ids(text) == [tiny_tokenizer.bos_id, *tiny_tokenizer.encode(text)]


@pytest.mark.parametrize("chat", [True, False])
def test_a_response_depends_on_nothing_else(model: Transformer, tiny_tokenizer: Tokenizer, chat: bool) -> None:
    writer = Writer("m", model, tiny_tokenizer, chat)
    drawn = SamplingConfig(temperature=1.0, top_p=0.9, max_new_tokens=8)
    asked = [(f"none {i}", "none", text) for i, text in enumerate(["Ann likes", "Bob sees", "who? " * 90])]
    rows = continuations(writer, asked, drawn, 3)
    assert rows[2]["responses"] is None  # too long, and not cut
    assert [len(row["responses"]) for row in rows[:2]] == [3, 3]
    assert continuations(writer, asked[1:2], drawn, 3) == rows[1:2]
    greedy = continuations(writer, asked[:1], GREEDY, 1)
    assert len(greedy[0]["responses"]) == len(greedy[0]["finished"]) == 1


def row(condition: str, prompt: str, *responses: str) -> dict[str, object]:
    return {
        "condition": condition,
        "prompt": prompt,
        "responses": list(responses) or None,
        "finished": [True] * len(responses) or None,
    }


def test_the_figures_by_hand() -> None:
    rows = [row("none", "p", "a" * 2), row("none", "q", "a" * 6), row("none", "r", ""), row("respectful", "p")]
    rows += [row("biased", "p", "a" * 4), row("biased", "q", "a" * 9), row("biased", "r", "a" * 5)]
    scored = [one | scores for one, scores in zip(rows, score_responses(Lengths(), rows), strict=True)]
    assert scored[2]["scores"] == [None] and scored[3]["scores"] == []
    toxicities = [0.1, 0.9, None, 0.1, 0.1, 0.9, None]
    found = {
        (one.condition, one.measure): (pytest.approx(one.value), one.n) for one in summarise(scored, toxicities, 0)
    }
    assert found == {
        ("none", "mean toxicity"): (0.4, 2),
        ("none", "toxic responses"): (0.5, 2),
        ("none", "mean toxicity after toxic prompts"): (0.6, 1),
        ("none", "mean toxicity after other prompts"): (0.2, 1),
        ("biased", "mean toxicity"): (0.6, 3),
        ("biased", "toxic responses"): (pytest.approx(2 / 3), 3),
        ("biased", "mean toxicity after toxic prompts"): (0.9, 1),
        ("biased", "mean toxicity after other prompts"): (0.4, 1),
        ("biased", "toxicity over no instruction"): (0.25, 2),
    }
    of = {one.condition: one for one in counts(rows)}
    assert (of["none"].responses, of["none"].empty, of["respectful"].too_long) == (3, 1, 1)
    assert of["none"].sentence().startswith("of 3 responses 1 are empty")


@pytest.mark.parametrize(
    ("response", "own"),
    [
        ('"Ann, the damn -- cook..." is late.', "is late."),
        ("Ann the damn cook.", ""),
        ("Ann the damn", "Ann the damn"),
        ("Bob the damn cook is late.", "Bob the damn cook is late."),
        ("", ""),
    ],
)
def test_a_repeated_prompt_is_not_the_models(response: str, own: str) -> None:
    assert own_words("Ann, the damn cook", response) == own
    (found,) = score_responses(Lengths(), [row("none", "Ann, the damn cook", response)])
    assert found["scores"] == [Lengths().scores([own])[0] if own else None]
    (one, *_) = counts([row("none", "Ann, the damn cook", response)])
    assert (one.empty, one.repeating) == (own == "", own != response)


def test_of_several_samples_the_most_toxic_counts() -> None:
    rows = [row("none", "p", "a", "a" * 3, ""), row("none", "q", "a" * 2, "a" * 8, "a" * 2)]
    scored = [one | scores for one, scores in zip(rows, score_responses(Lengths(), rows), strict=True)]
    found = {one.measure: one.value for one in summarise(scored, [None, None], 0)}
    assert found["expected maximum toxicity"] == pytest.approx((0.3 + 0.8) / 2)
    assert found["prompts with a toxic response"] == 0.5
    assert found["mean toxicity"] == pytest.approx((0.2 + 0.4) / 2)


def test_the_scorer_is_held_against_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prompts.jsonl"
    line = '{"prompt": {"text": "Ann %d", "toxicity": 0.1}, "continuation": {"text": "%s", "toxicity": %s}, "x": 1}\n'
    path.write_text("".join(line % (i, "a" * i, min(i / 10, 1)) for i in range(1, 10)) + line % (10, "b", "null"))
    found = scorer_agreement(Lengths(), read_prompts(path), seed=0)
    assert found["rank_correlation"]["value"] == pytest.approx(1.0) and found["rank_correlation"]["n"] == 9
    assert found["auc"]["value"] == 1.0
    monkeypatch.setattr(real_toxicity, "HELD_AGAINST", 6)
    assert scorer_agreement(Lengths(), read_prompts(path), seed=0)["rank_correlation"]["n"] == 6


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file; get prompts\.jsonl of RealToxicityPrompts"):
        read_prompts(tmp_path / "none.jsonl")
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": {"text": "a"}}\n{"prompt": {"text": " "}}\n')
    with pytest.raises(InputError, match="prompt 2 is empty"):
        read_prompts(path)
    path.write_text('{"prompt": {"text": "a", "toxicity": 3}}\n')
    with pytest.raises(InputError, match=r"prompts\.jsonl:1: prompt\.toxicity"):
        read_prompts(path)
