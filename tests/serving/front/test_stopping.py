"""The end of a real process: what is under way gets its time, and nothing else begins."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from preceptor.serving.front.keys import new_key

from .world import CHAT, FakeBackend, running


@pytest.fixture
def fake() -> Iterator[str]:
    """A backend's address."""
    config = uvicorn.Config(FakeBackend().app, log_config=None, log_level="critical", timeout_graceful_shutdown=1)
    with running(uvicorn.Server(config)) as url:
        yield url


def test_sigterm_ends_the_server_in_order(fake: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    key = new_key(keys, "ann")
    code = "from preceptor.cli import main; raise SystemExit(main())"
    words = ["serve", "--backend", fake, "--keys", str(keys), "--port", "0", "--grace", "3"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(" at ")[1].split("/v1;")[0]
        with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            assert client.get("/ready").status_code == 200
            with (
                client.stream("POST", CHAT, json={"model": "steady", "stream": True}) as steady,
                client.stream("POST", CHAT, json={"model": "slow", "stream": True}) as slow,
            ):
                texts = steady.iter_text(), slow.iter_text()
                firsts = [next(text) for text in texts]
                process.send_signal(signal.SIGTERM)
                while (ready := client.get("/ready")).status_code == 200:  # the signal is on its way
                    pass
                refused = client.post(CHAT, json={"model": "steady"})
                ends = [first + "".join(text) for first, text in zip(firsts, texts, strict=True)]
        out, err = process.communicate(timeout=60)
    assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "draining"
    assert ends[0].count("Li") == 15 and ends[0].endswith("data: [DONE]\n\n")
    assert json.loads(ends[1].split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "stopping"
    assert (process.returncode, out) == (0, "stopped\n")
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["under_way"] for line in lines if line["event"] == "stopping"] == [2]
    requests = [
        (line.get("key"), line.get("model"), line["status"], line["ended"]) for line in lines if "route" in line
    ]
    assert ("ann", "other", 200, "complete") in requests and ("ann", "other", 200, "cut") in requests
