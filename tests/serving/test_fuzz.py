"""Requests made up by schemathesis from the API's own description: whatever is sent, nothing breaks."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI

from preceptor.feedback.store import open_store
from preceptor.models.transformer import Transformer
from preceptor.serving.api import create_app
from preceptor.serving.best_of import Judge
from preceptor.serving.inspector import Inspector
from preceptor.text.tokenizer import Tokenizer

from ..fuzzing import check, fuzz
from ..in_thread import ThreadWorker

SECONDS = 4.0  # for all routes together
EXAMPLES = 4  # of a route at a time


@pytest.fixture
def app(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, judge: Judge, tmp_path: Path
) -> Iterator[FastAPI]:
    worker = ThreadWorker(tiny_model(max_position_embeddings=48), tiny_tokenizer)
    looked_into = Inspector(lambda: tiny_model(max_position_embeddings=48), tiny_tokenizer)
    with closing(open_store(tmp_path / "store.db")) as store:
        yield create_app({"tiny": worker}, judge, {"tiny": looked_into}, store)
    worker.close()


def test_no_request_breaks_the_server(app: FastAPI) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses: list[tuple[str, int]] = []

    def send(case: Any) -> None:
        if isinstance(case.body, dict) and "model" in case.body and len(statuses) % 4:
            case.body["model"] = "tiny"  # mostly the model that there is
            case.body.pop("max_tokens", None)  # most do not fit
        answer = case.call()
        statuses.append((case.path, answer.status_code))
        check(case, answer)

    fuzz(operations, send, seconds=SECONDS, examples=EXAMPLES)
    for path in ("/v1/chat/completions", "/v1/completions"):
        assert {200, 400} <= {status for where, status in statuses if where == path}


def test_the_description_says_what_bodies_may_be(app: FastAPI) -> None:
    description = app.openapi()
    for path, kind in {"/v1/chat/completions": "ChatRequest", "/v1/completions": "CompletionRequest"}.items():
        operation = description["paths"][path]["post"]
        assert operation["description"] and {"200", "400", "429"} <= set(operation["responses"])
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert reference == f"#/components/schemas/{kind}"
        body = description["components"]["schemas"][kind]
        assert {"model", "stream", "n", "seed"} <= set(body["properties"]) and body["additionalProperties"] is False
    assert "Message" in description["components"]["schemas"]
