"""A weight for every word, against what it must learn and what no weights can."""

import random

import pytest
import torch
from torch.nn import functional as F

from preceptor.evaluation import word_baseline
from preceptor.evaluation.word_baseline import fit_word_baseline, word_counts
from preceptor.feedback.schema import Ranking, Response
from preceptor.text.conversation import Message


def ranking(texts: list[str], ranks: list[int], prompt: str = "p") -> Ranking:
    responses = [Response(text=text) for text in texts]
    return Ranking(prompt_id=prompt, messages=[Message(role="user", content="?")], responses=responses, ranks=ranks)


def test_words_are_counted_without_regard_to_case() -> None:
    assert word_counts("Ann likes ANN, café!") == {"ann": 2, "likes": 1, "café": 1}


def test_what_words_can_tell_is_learnt() -> None:
    r = random.Random(0)

    def text(kind: str) -> str:
        return " ".join([*r.choices(["a", "b", "c", "d"], k=6), kind])

    rows = [ranking([text("thanks"), text("idiot"), text("thanks")], [1, 2, 1]) for _ in range(40)]
    fitted = fit_word_baseline(rows)
    assert fitted is not None
    assert fitted.score("thanks a") > fitted.score("idiot a") + 2
    assert fitted.score("never seen") == 0.0


@pytest.mark.parametrize("penalty", [1.0, 10.0])
def test_the_weights_are_at_the_minimum_that_is_stated(penalty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_baseline, "PENALTIES", (penalty,))
    rows = [ranking(["x y", "y y z", "z"], [1, 2, 3]), ranking(["z", "x"], [1, 2]), ranking(["x y", "z"], [1, 1])]
    fitted = fit_word_baseline(rows)
    assert fitted is not None
    w = torch.tensor([fitted.weights[word] for word in "xyz"], dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([[1, 1, 0], [0, 2, 1], [0, 0, 1], [1, 0, 0]], dtype=torch.float64)
    scores = counts @ w
    margins = [scores[0] - scores[1], scores[0] - scores[2], scores[1] - scores[2], scores[2] - scores[3]]
    (F.softplus(-torch.stack(margins)).sum() + penalty * w.square().sum() / 2).backward()
    assert w.grad is not None
    assert float(w.grad.abs().max()) < 1e-4


def test_the_same_rankings_give_the_same_weights() -> None:
    r = random.Random(1)
    rows = [ranking([" ".join(r.choices("abcdefgh", k=5)) for _ in range(4)], [1, 2, 2, 3]) for _ in range(30)]
    assert fit_word_baseline(rows) == fit_word_baseline(rows)


def test_what_cannot_be_foretold_is_not_learnt_by_heart() -> None:
    r = random.Random(2)
    noise = [ranking([" ".join(r.choices("abcdefghijkl", k=8)) for _ in range(2)], [1, 2], str(i)) for i in range(200)]
    fitted = fit_word_baseline(noise)
    assert fitted is not None
    assert max(abs(weight) for weight in fitted.weights.values()) < 0.1
    clear = [ranking([f"good {i}", f"bad {i}"], [1, 2], str(i)) for i in range(200)]
    fitted = fit_word_baseline(clear)
    assert fitted is not None
    assert fitted.weights["good"] > 1


def test_of_very_many_some_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ranking([f"good{i}", f"bad{i}"], [1, 2]) for i in range(20)]
    monkeypatch.setattr(word_baseline, "MAX_RANKINGS", 5)
    fitted = fit_word_baseline(rows)
    assert fitted is not None
    assert set(fitted.weights) == {f"{kind}{i}" for kind in ("good", "bad") for i in (0, 4, 8, 12, 16)}


def test_without_a_strict_pair_or_a_word_there_is_nothing_to_fit() -> None:
    assert fit_word_baseline([]) is None
    assert fit_word_baseline([ranking(["a", "b"], [1, 1])]) is None
    assert fit_word_baseline([ranking(["!", "?"], [1, 2])]) is None
