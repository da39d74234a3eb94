"""`preceptor serve` under load: many streams, a few against one at a time, against `transformers serve`, and a soak.

The server is a process and the clients are another (load.py), on loopback and on the same cores: what both take of
the processor stands beside the figures. The sides of a comparison alternate, because a machine's speed drifts; the
ratio of the medians is the figure. max_tokens sets the lengths; a reply that ends sooner counts with what it has.

    python bench/serving.py many                     # 64 chats at once; the quickstart's shape, random weights
    python bench/serving.py few --model MODEL        # 8 at once, against the same one after the other
    python bench/serving.py peer --model MODEL       # 8 at once, against `transformers serve`
    python bench/serving.py soak --minutes 30        # 32 clients that come, go and cut the line

The floors are what the matrix products take at the speed of large ones, and what reading every weight once a step of
all rows takes at the speed of reading one large array.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from preceptor.allocation import settle

settle()

from generate import product_flops, quickstart_size  # noqa: E402
from load import Body, Clients  # noqa: E402
from machine import Clock, Peak, add_options, head_flops, matrices, reading_speed  # noqa: E402

from preceptor.atlas.corpus import documents  # noqa: E402
from preceptor.atlas.facts import build_world  # noqa: E402
from preceptor.atlas.settings import AtlasConfig  # noqa: E402
from preceptor.generation.engine import Engine  # noqa: E402
from preceptor.generation.sampling import SamplingConfig  # noqa: E402
from preceptor.models.checkpoint import load_language_model, open_language_model  # noqa: E402
from preceptor.models.sources import find_model  # noqa: E402
from preceptor.text.conversation import Message, render_prompt  # noqa: E402
from preceptor.text.tokenizer import Tokenizer  # noqa: E402

PRECEPTOR = "from preceptor.cli import main; raise SystemExit(main())"
TRANSFORMERS = "from transformers.cli.transformers import main; main()"
ASKED = (
    "What is the capital of Peru?", "Write a story about a boat.", "Name three metals and what each is used for.",
    "Explain how rain is made.", "Write a letter to a friend.", "What can one do on a rainy day?",
)  # fmt: skip
CONTINUOUS = ("--continuous-batching", "--cb-max-memory-percent", "0.1")  # by itself it takes half of the memory
START_SECONDS = 300
IDLE_SECONDS = 60
HELD = {"slots": 64, "waiting": 64, "n": 16}  # what a model of `preceptor serve` takes on, and one chat at most


def quickstart_model(directory: Path) -> None:
    """Save a model of the quickstart's shape: random weights, and a tokenizer of the built-in world."""
    quickstart_size(directory)
    Tokenizer.train(documents(build_world(AtlasConfig(), 0), 3000, 0), 1536).save(directory)


def chats(count: int, longest: int, **more: Any) -> list[Body]:
    """Streamed chats that differ. Lengths lie between half of the longest and it, so that they do not keep step."""
    return [
        {
            "messages": [{"role": "user", "content": f"{ASKED[i % len(ASKED)]} My name is Ann {i}."}],
            "max_tokens": longest - i * 7 % (longest // 2),
            "stream": True,
            "seed": i,
            **more,
        }
        for i in range(count)
    ]


def _fields(stat: Path) -> list[str]:
    """What /proc says of a process, from its state on."""
    return stat.read_text().rpartition(")")[2].split()


class Server:
    """A server in a process of its own."""

    def __init__(self, code: str, words: Sequence[str], threads: int):
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Without a share in the machine."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            os.kill(pid, number)

    def _pids(self) -> list[int]:
        """The server and the processes that it has started (Linux)."""
        parents = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended
                parents[int(place.parent.name)] = int(_fields(place)[1])
        found = [self.process.pid]
        for one in found:  # which grows
            found += [pid for pid, parent in parents.items() if parent == one]
        return found

    @property
    def processor(self) -> float:
        """Processor seconds so far, of all its processes."""
        ticks = 0
        for pid in self._pids():
            ticks += sum(map(int, _fields(Path(f"/proc/{pid}/stat"))[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def resident(self) -> float:
        """The memory that its processes hold of their own, in MiB: not what files and other processes share."""
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in self._pids()]
        return sum(int(text.split("RssAnon:")[1].split()[0]) for text in texts) / 1024


def preceptor(model: Path, threads: int) -> Server:
    """`preceptor serve`, once it listens."""
    server = Server(PRECEPTOR, ["serve", "--model", str(model), "--port", "0", "--threads", str(threads)], threads)
    assert server.process.stdout is not None
    for line in server.process.stdout:
        if line.startswith("serving "):
            server.url = line.rpartition(" at ")[2].split(";")[0]
            return server
    sys.exit("preceptor serve did not start")


def transformers(model: Path, threads: int, port: int, *options: str) -> Server:
    """`transformers serve`, once it answers."""
    words = ["serve", str(model), "--device", "cpu", "--dtype", "float32", "--port", str(port), *options]
    words += ["--log-level", "error"]
    server, end = Server(TRANSFORMERS, words, threads), time.monotonic() + START_SECONDS
    server.url = f"http://localhost:{port}/v1"
    while time.monotonic() < end and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/health", timeout=5):
                return server
        except OSError:
            time.sleep(1)
    sys.exit("transformers serve did not start")


class Side:
    """What one side of a comparison has shown, turn by turn."""

    def __init__(self, server: Server, clients: Clients):
        self.server, self.clients = server, clients
        self.rates: list[float] = []
        self.firsts: list[float] = []
        self.used: list[float] = []
        self.clients_used: list[float] = []

    def turn(self, asked: Sequence[Body], at_once: int, *, count: bool) -> None:
        """Have all chats, so many at once. All must be complete."""
        before = self.server.processor
        split = [asked[i::at_once] for i in range(at_once)]
        report = self.clients.do("talk", url=self.server.url, clients=split)
        replies = report["replies"]
        bad = [reply for reply in replies if reply["status"] != 200 or not reply["tokens"]]
        if bad or len(replies) != len(asked):
            sys.exit(f"{len(bad)} of {len(asked)} chats are not complete: {bad[:3]}")
        if count:
            tokens = sum(reply["tokens"] for reply in replies)
            self.rates.append(tokens / report["seconds"])
            self.firsts += [reply["first"] for reply in replies if reply["first"]]
            self.used.append((self.server.processor - before) / tokens)
            self.clients_used.append(report["processor"] / tokens)

    @property
    def rate(self) -> float:
        """Tokens a second, the median of the turns."""
        return statistics.median(self.rates)

    def figures(self, name: str) -> dict[str, float]:
        """For the line that is printed."""
        if len(self.firsts) < 2:
            sys.exit("hardly a reply has any text; use a model that was trained, or more chats")
        cuts = statistics.quantiles(self.firsts, n=20)
        return {
            f"{name}_tokens_per_second": round(self.rate, 1),
            f"{name}_first_text_ms_p50": round(1000 * cuts[9]),
            f"{name}_first_text_ms_p95": round(1000 * cuts[18]),
            f"{name}_processor_us_per_token": round(1e6 * statistics.median(self.used), 1),
            f"{name}_clients_processor_us_per_token": round(1e6 * statistics.median(self.clients_used), 1),
        }


class Offline:
    """The engine without a server, which has all chats from the start."""

    def __init__(self, model: Path, slots: int):
        self.model, self.tokenizer = open_language_model(model)
        self.engine = Engine(self.model, eos_id=self.tokenizer.eos_ids, pad_id=self.tokenizer.pad_id, max_slots=slots)

    def run(self, asked: Sequence[Body]) -> int:
        """The tokens of all replies, which are those that the server gives."""
        for body in asked:
            prompt = render_prompt(self.tokenizer, [Message(**one) for one in body["messages"]]).ids
            sampling = SamplingConfig(max_new_tokens=body["max_tokens"], seed=body["seed"])
            self.engine.submit(prompt, sampling, key=("serve",))
        tokens = 0
        while self.engine.busy:
            tokens += sum(len(one.ids) for one in self.engine.step().values())
        return tokens


def floors(model: Path, asked: Sequence[Body], at_once: int, clock: Clock) -> dict[str, float]:
    """Tokens a second that the arithmetic and the memory would allow, for chats of the middle length."""
    peak, decoder, tokenizer = Peak(clock), load_language_model(model), Tokenizer.load(model)
    peak.measure()
    new = int(statistics.mean(body["max_tokens"] for body in asked))
    prompt = len(render_prompt(tokenizer, [Message(**one) for one in asked[0]["messages"]]).ids)
    arithmetic = product_flops(decoder, at_once, prompt, new) / peak.flops
    reading = new * (4 * matrices(decoder) + 2 * head_flops(decoder)) / reading_speed(clock)
    return {
        "arithmetic_floor_tokens_per_second": round(at_once * new / arithmetic, 1),
        "memory_floor_tokens_per_second": round(at_once * new / reading, 1),
    }


def many(args: argparse.Namespace, model: Path, clock: Clock) -> dict[str, Any]:
    """Chats over HTTP, against the engine alone with as many slots and threads."""
    offline = Offline(model, args.at_once)
    asked = chats(args.chats, args.new, model=model.name, stream_options={"include_usage": True})
    alone: list[float] = []
    with preceptor(model, clock.threads) as server, Clients() as clients:
        side = Side(server, clients)
        for turn in range(args.repeats + 1):
            began = time.perf_counter()
            tokens = offline.run(asked)
            if turn:  # the first warms up
                alone.append(tokens / (time.perf_counter() - began))
            side.turn(asked, args.at_once, count=turn > 0)
    engine = statistics.median(alone)
    ratios = [round(ours / theirs, 2) for ours, theirs in zip(side.rates, alone, strict=True)]
    return {
        **side.figures("preceptor"), "engine_tokens_per_second": round(engine, 1),
        "ratio": round(side.rate / engine, 2), "ratios": ratios,
    }  # fmt: skip


def few(args: argparse.Namespace, model: Path, clock: Clock) -> dict[str, Any]:
    """Chats at once, against the same chats one after the other."""
    asked = chats(args.chats, args.new, model=model.name, stream_options={"include_usage": True}, temperature=0)
    with preceptor(model, clock.threads) as server, Clients() as clients:
        together, apart = Side(server, clients), Side(server, clients)
        for turn in range(args.repeats + 1):
            together.turn(asked, args.at_once, count=turn > 0)
            apart.turn(asked, 1, count=turn > 0)
    ratios = [round(a / b, 2) for a, b in zip(together.rates, apart.rates, strict=True)]
    return {
        **together.figures("together"), **apart.figures("apart"),
        "ratio": round(together.rate / apart.rate, 2), "ratios": ratios,
    }  # fmt: skip


def peer(args: argparse.Namespace, model: Path, clock: Clock) -> dict[str, Any]:
    """The same greedy chats, against `transformers serve` (--continuous: with its continuous batching)."""
    model, batching = model.resolve(), CONTINUOUS if args.continuous else ()
    asked = chats(args.chats, args.new, temperature=0)
    for_ours = [body | {"model": model.name, "stream_options": {"include_usage": True}} for body in asked]
    for_theirs = [body | {"model": str(model)} for body in asked]
    with (
        preceptor(model, clock.threads) as server,
        transformers(model, clock.threads, args.port, *batching) as other,
        Clients() as clients,
    ):
        ours, theirs = Side(server, clients), Side(other, clients)
        for turn in range(args.repeats + 1):
            with server.stopped():
                theirs.turn(for_theirs, args.at_once, count=turn > 0)
            with other.stopped():
                ours.turn(for_ours, args.at_once, count=turn > 0)
    ratios = [round(a / b, 2) for a, b in zip(ours.rates, theirs.rates, strict=True)]
    return {
        **ours.figures("preceptor"), **theirs.figures("transformers"), "continuous": args.continuous,
        "ratio": round(ours.rate / theirs.rate, 2), "ratios": ratios,
    }  # fmt: skip


def soak(args: argparse.Namespace, model: Path, clock: Clock) -> dict[str, Any]:
    """Clients that come, go and cut the line: memory, requests that are stuck, places that are lost.

    Places are counted from outside: when the clients are gone the server must fall idle, and then take on exactly as
    many samples as it has places, and not one more.
    """
    seconds, asked = 60 * args.minutes, chats(args.chats, args.new, model=model.name)
    load = {"bodies": asked, "clients": args.at_once, "seconds": seconds, "seed": args.seed}
    settled = min(300.0, seconds / 2)
    memory: list[tuple[float, float]] = []
    with preceptor(model, clock.threads) as server, Clients() as clients, ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        going = pool.submit(clients.do, "come_and_go", url=server.url, **load)
        while not going.done():
            memory.append((time.monotonic() - began, server.resident))
            time.sleep(min(5.0, seconds / 50))
        counts = going.result()
        idle = seconds_to_idle(server)
        full = clients.do("fill", url=server.url, body=asked[0], **HELD)
        idle = max(idle, seconds_to_idle(server))
    late = [mebibytes for at, mebibytes in memory if settled <= at <= seconds]
    return {
        "minutes": args.minutes, **counts, "taken_when_empty": full["taken"], "refused_when_full": full["refused"],
        "places": HELD["slots"] + HELD["waiting"], "seconds_to_idle": round(idle, 1),
        "resident_mib_settled": round(late[0], 1), "resident_mib_least": round(min(late), 1),
        "resident_mib_most": round(max(late), 1), "ratio": round(max(late) / min(late), 3),
    }  # fmt: skip


def seconds_to_idle(server: Server) -> float:
    """How long the server goes on computing when nobody asks any more."""
    began = time.monotonic()
    while time.monotonic() - began < IDLE_SECONDS:
        before = server.processor
        time.sleep(1)
        if server.processor - before < 0.02:
            return time.monotonic() - began - 1
    sys.exit(f"the server still computes {IDLE_SECONDS} seconds after the last client has gone")


DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "many": {"at_once": 64, "chats": 512, "new": 80},
    "few": {"at_once": 8, "chats": 16, "new": 64},
    "peer": {"at_once": 8, "chats": 16, "new": 64},
    "soak": {"at_once": 32, "chats": 64, "new": 80},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=tuple(DEFAULTS))
    parser.add_argument("--model", help="default: the quickstart's shape, random weights")
    parser.add_argument("--at-once", type=int, help="chats at a time, or clients that come and go")
    parser.add_argument("--chats", type=int, help="in all, each turn")
    parser.add_argument("--new", type=int, help="tokens of the longest reply")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=30, help="of the soak")
    parser.add_argument("--seed", type=int, default=0, help="of the clients that come and go")
    parser.add_argument("--continuous", action="store_true", help="let transformers batch")
    parser.add_argument("--port", type=int, default=8127, help="of transformers serve")
    add_options(parser)
    args = parser.parse_args()
    for name, value in DEFAULTS[args.work].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    clock, run = Clock(args), {"many": many, "few": few, "peer": peer, "soak": soak}[args.work]
    with tempfile.TemporaryDirectory() as scratch:
        model = find_model(args.model) if args.model else Path(scratch) / "quickstart"
        if not args.model:
            model.mkdir()
            quickstart_model(model)
        what = {"work": args.work, "at_once": args.at_once, "chats": args.chats, "longest": args.new}
        figures = run(args, model, clock)
        if args.work != "soak":
            figures |= floors(model, chats(args.chats, args.new), args.at_once, clock)
        print(json.dumps({**what, "threads": clock.threads, **figures}), flush=True)


if __name__ == "__main__":
    main()
