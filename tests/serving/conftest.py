"""A server with a tiny random model and a tiny random reward model, and OpenAI's own client for it."""

import socket
from collections.abc import Callable, Iterator
from threading import Thread

import openai
import pytest

from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.serving.best_of import Judge
from preceptor.serving.serve import uvicorn_server
from preceptor.serving.worker import Worker
from preceptor.text.tokenizer import Tokenizer

from ..in_thread import ThreadWorker


@pytest.fixture
def worker(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer) -> Worker:
    return ThreadWorker(tiny_model(max_position_embeddings=512), tiny_tokenizer, slots=4, waiting=4)


@pytest.fixture
def judge(tiny_scalar: Callable[..., ScalarModel], tiny_tokenizer: Tokenizer) -> Iterator[Judge]:
    judge = Judge(tiny_scalar(seed=3, max_position_embeddings=512).eval(), tiny_tokenizer)
    yield judge
    judge.close()


@pytest.fixture
def url(worker: Worker, judge: Judge) -> Iterator[str]:
    server = uvicorn_server({"tiny": worker}, judge)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(30)
    worker.close()
    assert not thread.is_alive()


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        yield client
