"""Clients of an OpenAI-compatible server, as a process of their own: chats side by side, each on its own connection.

It speaks HTTP by itself and looks into an answer only for what is measured, since it shares the machine with the
server. A job comes as one line of JSON, and its replies go back as one line.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

TEXT = re.compile(rb'"content":\s*"(?!")')  # the first event of a stream has empty text, and is not counted
TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')
LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
STUCK = 600  # seconds without a byte

Body = dict[str, Any]


class Client:
    """One connection, opened when it is needed."""

    def __init__(self, url: str):
        self.place = urlsplit(url)
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.answered = asyncio.Event()  # an answer has begun

    async def ask(self, body: Body, leave: float | None = None) -> dict[str, float]:
        """Have one reply: its status, its tokens, and the seconds to the first text and to the end.

        With ``leave`` the connection is cut after so many bytes of the answer (0: as soon as the request is out); the
        status is 0 then.
        """
        content = json.dumps(body).encode()
        head = f"POST {self.place.path}/chat/completions HTTP/1.1\r\nHost: {self.place.netloc}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        began = time.perf_counter()
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.place.hostname, self.place.port)
        reader, writer = self.streams
        writer.write(head.encode() + content)
        answer, first = bytearray(), 0.0
        while not _complete(answer):
            if leave is not None and len(answer) >= leave:
                self.cut()
                return {"status": 0}
            some = await asyncio.wait_for(reader.read(1 << 16), STUCK)
            if not some:
                raise ConnectionError("the server ended the connection within an answer")
            self.answered.set()
            seen = max(len(answer) - 20, 0)
            answer += some
            if not first and TEXT.search(answer, seen):
                first = time.perf_counter() - began
        tokens = TOKENS.findall(answer)
        return {
            "status": int(answer[9:12]),
            "first": first,
            "seconds": time.perf_counter() - began,
            "tokens": int(tokens[-1]) if tokens else 0,
        }

    def cut(self) -> None:
        """End the connection without a word."""
        if self.streams is not None:
            self.streams[1].transport.abort()
            self.streams = None


def _complete(answer: bytearray) -> bool:
    """Whether a whole answer is there; in a stream of events nothing but the last chunk ends so."""
    if answer.endswith(b"\r\n0\r\n\r\n"):
        return True
    end = answer.find(b"\r\n\r\n")
    length = LENGTH.search(answer, 0, end) if end >= 0 else None
    return length is not None and len(answer) >= end + 4 + int(length[1])


async def talk(url: str, clients: Sequence[Sequence[Body]]) -> dict[str, Any]:
    """Let each client have its chats one after the other, all clients at once."""

    async def one(bodies: Sequence[Body]) -> list[dict[str, float]]:
        client = Client(url)
        try:
            return [await client.ask(body) for body in bodies]
        finally:
            client.cut()

    began, used = time.perf_counter(), time.process_time()
    replies = await asyncio.gather(*map(one, clients))
    seconds = time.perf_counter() - began
    return {
        "replies": [reply for some in replies for reply in some],
        "seconds": seconds,
        "processor": time.process_time() - used,
    }


async def come_and_go(url: str, bodies: Sequence[Body], clients: int, seconds: float, seed: int) -> dict[str, Any]:
    """Let clients ask for so long: streams and whole replies, many of them cut at some point, with pauses between."""
    end = time.perf_counter() + seconds
    counts = {"complete": 0, "cut": 0, "refused": 0, "stuck": 0, "failed": 0}

    async def one(number: int) -> None:
        draw, client = random.Random(seed * 10_000 + number), Client(url)
        while time.perf_counter() < end:
            body = draw.choice(bodies) | {"stream": draw.random() < 0.7, "n": draw.choice([1, 1, 1, 3])}
            body |= {"seed": draw.randrange(2**31)} | ({"stop": ["e", "the"]} if draw.random() < 0.2 else {})
            leave = draw.choice([0, 1, 600, 5000]) if draw.random() < 0.4 else None
            pause, rest = draw.random() * 0.1, draw.random() < 0.02
            try:
                status = (await client.ask(body, leave))["status"]
                kind = {0: "cut", 200: "complete", 429: "refused"}.get(int(status), "failed")
            except TimeoutError:
                kind = "stuck"
                client.cut()
            except OSError:
                kind = "failed"
                client.cut()
            counts[kind] += 1
            if rest:  # gone for a while
                client.cut()
            await asyncio.sleep(pause * (50 if rest else 1))
        client.cut()

    await asyncio.gather(*(one(number) for number in range(clients)))
    return counts


async def fill(url: str, body: Body, slots: int, waiting: int, n: int) -> dict[str, int]:
    """Ask for as many samples as there are places, and for one more: how many were taken on and how many refused."""
    longest = body | {"stream": True, "n": n, "max_tokens": 90}
    clients = [Client(url) for _ in range((slots + waiting) // n)]
    asking = [asyncio.create_task(client.ask(longest)) for client in clients]
    await asyncio.gather(*(client.answered.wait() for client in clients))
    last = Client(url)
    replies = [await last.ask(body | {"n": 1, "max_tokens": 1}), *await asyncio.gather(*asking)]
    for client in (last, *clients):
        client.cut()
    refused = sum(reply["status"] == 429 for reply in replies)
    return {"taken": n * sum(reply["status"] == 200 for reply in replies[1:]), "refused": refused}


class Clients:
    """The process, from outside."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def do(self, job: str, **options: Any) -> dict[str, Any]:
        """Run :func:`talk`, :func:`come_and_go` or :func:`fill` there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"job": job, **options}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the clients ended")
        return json.loads(line)


def main() -> None:
    jobs = {"talk": talk, "come_and_go": come_and_go, "fill": fill}
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    for line in sys.stdin:
        options = json.loads(line)
        print(json.dumps(asyncio.run(jobs[options.pop("job")](**options))), flush=True)


if __name__ == "__main__":
    main()
