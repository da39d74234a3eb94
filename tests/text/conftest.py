"""One small tokenizer for all tests of the text layer."""

import pytest
from hypothesis import HealthCheck, settings

from preceptor.text.tokenizer import Tokenizer

# How long an example takes says something about the machine only: it is shared.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

SAMPLE = [
    "The capital of France is Paris. Its currency is the euro.",
    "What is the capital of Peru?\nLima.\n\nWho asked?",
    "Wie heißt die Hauptstadt von Österreich? Wien.",
    "中国的首都是北京。 日本の首都は東京です。 🙂🙂",
    "<|user|> <|assistant|> <|end|> {{ messages }} {% for x in y %}",
] * 20


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(SAMPLE, 400)
