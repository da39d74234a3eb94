"""Whether what was acknowledged is in the server's export, each once. It knows no ids: contents are compared."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from preceptor.feedback.pairs import dense_ranks
from preceptor.simulation.client import Client

FILES = ("demonstrations", "rankings", "comparisons")


class Ledger:
    """What the server has acknowledged."""

    def __init__(self) -> None:
        self.contents: Counter[str] = Counter()
        self.prompts = 0  # prompts that were written: their text alone says nothing, so they are only counted
        self.repeated = 0  # acknowledged only when sent again: the first answer was lost
        self._judgements: set[int] = set()
        self.doubled = 0  # judgements acknowledged twice under one number, for different tasks

    def acknowledged(self, task: dict[str, Any], payload: dict[str, Any], receipt: dict[str, Any]) -> None:
        """A receipt came."""
        self.repeated += bool(receipt["repeated"])
        self.doubled += receipt["judgement"] in self._judgements
        self._judgements.add(receipt["judgement"])
        if payload["kind"] == "prompt":
            self.prompts += 1
        elif payload["kind"] == "demonstration":
            self.contents[_content("demonstration", task["messages"], [(payload["text"], 1)])] += 1
        else:
            ranks = payload.get("ranks") or {"first": [1, 2], "second": [2, 1], "tie": [1, 1]}[payload["preferred"]]
            ranked = zip(task["outputs"], dense_ranks([-rank for rank in ranks]), strict=True)
            self.contents[_content(payload["kind"], task["messages"], ranked)] += 1

    @property
    def judgements(self) -> int:
        """How many were acknowledged."""
        return self.contents.total() + self.prompts


async def exported(admin: Client) -> Counter[str]:
    """How often each content is in the export."""
    contents: Counter[str] = Counter()
    for name in FILES:
        async for line in admin.lines(f"/api/admin/export/{name}"):
            row = json.loads(line)
            if name == "demonstrations":
                *messages, reply = row["messages"]
                contents[_content("demonstration", messages, [(reply["content"], 1)])] += 1
            else:
                ranked = zip((one["text"] for one in row["responses"]), row["ranks"], strict=True)
                contents[_content(name.removesuffix("s"), row["messages"], ranked)] += 1
    return contents


def _content(kind: str, messages: list[dict[str, str]], marked: Iterable[tuple[str, int]]) -> str:
    """A hash of what was said. Texts that are the same but for outer spaces were one card."""
    said = [
        kind,
        [[one["role"], one["content"]] for one in messages],
        sorted({(text.strip(), rank) for text, rank in marked}),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
