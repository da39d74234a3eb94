"""An engine in a process of its own: it writes the same, and neither side outlives the other."""

import asyncio
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preceptor.errors import InputError
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import save_model
from preceptor.models.transformer import Transformer
from preceptor.serving import worker as module
from preceptor.serving.beside import Ready
from preceptor.serving.serve import open_workers
from preceptor.serving.worker import BrokenError, Job, Worker
from preceptor.serving.writer import Order
from preceptor.text.tokenizer import Tokenizer

from ..in_thread import ThreadWorker


@pytest.fixture
def saved(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save_model(tiny_model(max_position_embeddings=512), tmp_path / "tiny", tiny_tokenizer)
    return tmp_path / "tiny"


@pytest.fixture
def worker(saved: Path) -> Iterator[Worker]:
    worker = open_workers({"tiny": saved})["tiny"]
    yield worker
    worker.close()


def written(worker: Worker, longest: int = 30) -> list[str | BrokenError]:
    """The texts of three samples, or that the engine broke."""

    async def listen() -> list[str | BrokenError]:
        sampling = SamplingConfig(max_new_tokens=longest, seed=3)
        job = Job(Order([worker.tokenizer.encode("hello")], sampling, each=3, alternatives=2))
        assert worker.submit(job)
        texts, left = ["", "", ""], 3
        while left:
            piece = await asyncio.wait_for(job.pieces.get(), 60)
            if isinstance(piece, BrokenError):
                return [piece]
            texts[piece.sample] += piece.text
            left -= piece.finish_reason is not None
        return list(texts)

    return asyncio.run(listen())


def gone(pid: int) -> bool:
    """Whether a process has ended within ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_it_writes_what_an_engine_here_writes_and_a_kill_is_told(
    worker: Worker, tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    pid = worker._other.pid  # type: ignore[union-attr]
    for number in (signal.SIGINT, signal.SIGTERM):  # as a terminal or a service manager sends them, to all processes
        os.kill(pid, number)
    here = ThreadWorker(tiny_model(max_position_embeddings=512), tiny_tokenizer)
    assert written(worker) == written(here)
    assert (worker.context, worker.slots, worker.vocab_size) == (here.context, here.slots, here.vocab_size)
    here.close()
    assert worker.load == 0 and not worker.broken

    os.kill(pid, signal.SIGSTOP)

    async def ask_and_kill() -> object:
        job = Job(Order([[5, 6]], SamplingConfig(max_new_tokens=400)))
        worker.submit(job)
        os.kill(pid, signal.SIGKILL)
        return await asyncio.wait_for(job.pieces.get(), 60)

    assert isinstance(asyncio.run(ask_and_kill()), BrokenError)
    assert worker.broken and "killed" in caplog.text
    with pytest.raises(BrokenError):
        written(worker)


def test_an_engine_that_does_not_hear_is_ended(tiny_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_SECONDS", 0.2)
    ours, theirs = multiprocessing.Pipe()
    theirs.send(Ready(context=32, slots=4, vocab_size=99))
    deaf = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,), daemon=True)
    deaf.start()
    Worker(ours, deaf, tiny_tokenizer).close()
    deaf.join(10)
    assert deaf.exitcode == -signal.SIGKILL


def test_where_one_cannot_be_opened_none_is(saved: Path) -> None:
    damaged = saved.parent / "damaged"
    shutil.copytree(saved, damaged)
    (damaged / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"damaged.*model\.safetensors"):
        open_workers({"tiny": saved, "damaged": damaged})
    assert not [one for one in multiprocessing.active_children() if one.name.startswith("engine of")]


def test_an_engine_ends_with_its_server_however_that_ends(saved: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from preceptor.serving.serve import open_workers\n"
        "worker = open_workers({'tiny': Path(sys.argv[1])})['tiny']\n"
        "print(worker._other.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(saved)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        server.kill()
        assert gone(pid)
