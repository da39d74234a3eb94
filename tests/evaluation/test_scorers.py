"""Scorers of toxicity: the embedded one is its package's arithmetic, and what fails is never a score."""

import json
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.evaluation import perspective
from preceptor.evaluation.joblib_data import Named, read_joblib
from preceptor.evaluation.perspective import Perspective
from preceptor.evaluation.profanity import installed
from preceptor.evaluation.scorers import scorer_of

# Probabilities of the package itself, alt-profanity-check 1.9.1 under scikit-learn 1.9.1.
THEIRS = {
    "Go to hell, you scum, scum!": 0.998264,
    "Thank you, what a lovely idiot of a dog.": 0.995117,
    "The weather in Oslo is fine.": 0.011754,
    "": 0.036376,
}


def test_the_embedded_scorer_is_the_packages_model() -> None:
    scorer = scorer_of("profanity")
    assert scorer.name.startswith("alt-profanity-check ")
    assert scorer.scores(list(THEIRS)) == pytest.approx(list(THEIRS.values()), abs=2e-6)
    assert installed().scores(["A DAMN fool"]) == installed().scores(["a damn  fool?"])


def test_nothing_that_a_file_names_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "evil.joblib"
    path.write_bytes(pickle.dumps({"weights": Evil()}))
    found = read_joblib(path)["weights"]
    assert isinstance(found, Named) and len(found.args) == 1
    assert not (tmp_path / "ran").exists()
    path.write_bytes(b"\x80\x05no")
    with pytest.raises(InputError, match=r"evil\.joblib: cannot be read"):
        read_joblib(path)


class Service(HTTPServer):
    """Answers as Perspective does, after as many failures as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/analyze"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.add(self.headers["X-Goog-Api-Key"])
        self.server.asked.append(body)
        text = body["comment"]["text"]
        status = self.server.failures.pop(0) if self.server.failures else 200
        answer: dict[str, Any] = {"error": {"message": "because"}}
        if status == 200:
            value = 7 if text == "seven" else len(text) / 10
            answer = {"attributeScores": {"TOXICITY": {"summaryScore": {"value": value}}}}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_perspective_is_asked_again_until_it_answers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "secret")
    monkeypatch.setenv("PERSPECTIVE_API_URL", service.url)
    found = scorer_of("perspective")
    assert isinstance(found, Perspective)
    assert found.interval == 1.0 and "secret" not in found.name
    service.failures = [429, 503]
    quick = Perspective(found.url, found.key, interval=0.01)
    assert quick.scores(["abc", "a", "abc"]) == [0.3, 0.1, 0.3]
    assert service.keys == {"secret"}
    assert len(service.asked) == 4  # two refused, two distinct texts
    assert service.asked[0]["doNotStore"] is True


def test_perspective_that_fails_gives_no_score(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Perspective(service.url, "secret", interval=0.001)
    service.failures = [400]
    with pytest.raises(InputError, match="refuses the text 'abc', status 400: because"):
        quick.scores(["abc"])
    with pytest.raises(InputError, match="without a TOXICITY between 0 and 1"):
        quick.scores(["seven"])
    monkeypatch.setattr(perspective, "PATIENCE", 3)
    service.failures = [500] * 3
    with pytest.raises(InputError, match=r"gives no answer \(status 500\); start again"):
        quick.scores(["abc"])
    monkeypatch.delenv("PERSPECTIVE_API_KEY", raising=False)
    with pytest.raises(InputError, match="set PERSPECTIVE_API_KEY"):
        scorer_of("perspective")


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A tiny BERT whose word ids are its tokenizer's."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "bad", "good", "dog"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=8
    ).save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
        id2label={0: "fine", 1: "Toxic"},
        label2id={"fine": 0, "Toxic": 1},
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    return tmp_path


def test_a_classifier_gives_the_probability_of_its_label(classifier: Path) -> None:
    toxic, fine = (scorer_of(f"{label}={classifier}") for label in ("toxic", "FINE"))
    texts = ["bad dog", "good", "good dog " * 4 + "bad bad"]
    assert [a + b for a, b in zip(toxic.scores(texts[:2]), fine.scores(texts[:2]), strict=True)] == pytest.approx(
        [1, 1]
    )
    whole, first, rest = toxic.scores([texts[2], "good dog " * 4, "bad bad"])
    assert whole == pytest.approx(max(first, rest), abs=1e-6)  # nothing of a long text is left out
    with pytest.raises(InputError, match="has no label rude; take one of those it has: fine, Toxic"):
        scorer_of(f"rude={classifier}")
    with pytest.raises(InputError, match="take profanity, perspective, or LABEL=MODEL"):
        scorer_of("detoxify")


def test_a_classifier_whose_labels_are_independent(classifier: Path) -> None:
    config = json.loads((classifier / "config.json").read_text())
    (classifier / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    toxic, fine = (scorer_of(f"{label}={classifier}") for label in ("toxic", "fine"))
    assert abs(toxic.scores(["bad"])[0] + fine.scores(["bad"])[0] - 1) > 1e-4
