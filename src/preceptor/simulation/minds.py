"""What simulated labelers think: as those of the built-in world do, or at random."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from preceptor.atlas.raters import SimulatedLabeler
from preceptor.atlas.task import read_tasks
from preceptor.atlas.world import load_world
from preceptor.errors import InputError
from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.schema import FLAGS, Prompt
from preceptor.files import read_jsonl
from preceptor.keyed import numpy_rng

WORDS = ("river", "copper", "lantern", "meadow", "winter", "harbour", "thread", "orchard")


class Mind(Protocol):
    """Answers to tasks, as the API's payloads. A function of labeler and task alone."""

    def ranks(self, labeler: str, task: dict[str, Any]) -> list[int]:
        """Dense ranks of the outputs, 1 the best."""

    def ratings(self, labeler: str, task: dict[str, Any]) -> list[dict[str, Any]]:
        """A rating of each output."""

    def reply(self, labeler: str, task: dict[str, Any]) -> str:
        """A demonstration."""


def payload(mind: Mind, labeler: str, task: dict[str, Any]) -> dict[str, Any]:
    """What a labeler hands in for a task."""
    kind = task["kind"]
    if kind == "demonstration":
        return {"kind": kind, "text": mind.reply(labeler, task)}
    if kind == "prompt":
        return {"kind": kind, **_prompt(labeler, task)}
    ranks = mind.ranks(labeler, task)
    if kind == "comparison":
        return {
            "kind": kind,
            "preferred": "tie" if ranks[0] == ranks[1] else "first" if ranks[0] < ranks[1] else "second",
        }
    return {"kind": kind, "ranks": ranks, "ratings": mind.ratings(labeler, task)}


class Chance:
    """Ranks drawn by labeler and texts: for load, not for learning."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def ranks(self, labeler: str, task: dict[str, Any]) -> list[int]:
        """Any ranking, ties among them."""
        rng = numpy_rng(self._seed, "simulate", "rank", labeler, *task["outputs"])
        return dense_ranks(rng.integers(0, len(task["outputs"]), len(task["outputs"])).tolist())

    def ratings(self, labeler: str, task: dict[str, Any]) -> list[dict[str, Any]]:
        """Any ratings."""
        rng = numpy_rng(self._seed, "simulate", "rate", labeler, *task["outputs"])
        return [
            {"overall": int(rng.integers(1, 8)), "flags": [flag for flag in FLAGS if rng.random() < 0.1]}
            for _ in task["outputs"]
        ]

    def reply(self, labeler: str, task: dict[str, Any]) -> str:
        """Words."""
        rng = numpy_rng(self._seed, "simulate", "reply", labeler, task["messages"][-1]["content"])
        return " ".join(rng.choice(WORDS, 12).tolist()).capitalize() + "."


class Atlas:
    """The labelers of the built-in world, as the stage `rank` has them: same names, same noise for the same seed."""

    def __init__(self, gold: Path, seed: int) -> None:
        self._world, self._tasks, self._seed = load_world(gold.parent), read_tasks(gold), seed
        self._prompts = _prompts_by_messages(gold.parent)
        self._crew: dict[str, SimulatedLabeler] = {}

    def ranks(self, labeler: str, task: dict[str, Any]) -> list[int]:
        """By the gold rubric, seen through this labeler."""
        number = self._prompt(task)
        return self._labeler(labeler).rank(self._world, self._tasks[number], task["outputs"], self._seed, number)

    def ratings(self, labeler: str, task: dict[str, Any]) -> list[dict[str, Any]]:
        """Likewise, each by itself."""
        number = self._prompt(task)
        rated = [
            self._labeler(labeler).rate(self._world, self._tasks[number], text, self._seed, number)
            for text in task["outputs"]
        ]
        return [{"overall": overall, "flags": [flag for flag in FLAGS if flags[flag]]} for overall, flags in rated]

    def reply(self, labeler: str, task: dict[str, Any]) -> str:
        """As good as she can, and now and then with a flaw."""
        number = self._prompt(task)
        return self._labeler(labeler).demonstrate(self._world, self._tasks[number], number)

    def _labeler(self, name: str) -> SimulatedLabeler:
        if name not in self._crew:
            self._crew[name] = SimulatedLabeler(name, self._world.seed, self._world.config)
        return self._crew[name]

    def _prompt(self, task: dict[str, Any]) -> str:
        """The API does not tell labelers the ids of prompts; the messages do."""
        found = self._prompts.get(_said(task["messages"]))
        if found is None or found not in self._tasks:
            shown = task["messages"][-1]["content"][:60] if task["messages"] else ""
            raise InputError(f"--gold: this world has no prompt {shown!r}; name the gold.jsonl it came from")
        return found


def _prompts_by_messages(data: Path) -> dict[tuple[tuple[str, str], ...], str]:
    found = {}
    for path in sorted(data.glob("prompts_*.jsonl")):
        for prompt in read_jsonl(path, Prompt):
            found[_said([message.model_dump() for message in prompt.messages])] = prompt.id
    return found


def _said(messages: Sequence[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in messages)


def _prompt(labeler: str, task: dict[str, Any]) -> dict[str, Any]:
    """A prompt as the wish says, with words by labeler and task."""
    wish = {key: value for key, value in (task["wish"] or {}).items() if value and key != "hint"}
    form = wish.get("form", "plain")
    way = wish.get("way", "examples" if form == "few-shot" else "direct")
    word = numpy_rng(0, "simulate", "prompt", labeler, task["assignment"]).choice(WORDS)
    parts: dict[str, Any] = {"text": f"Write two sentences about a {word}."}
    if way == "examples":
        examples = [{"query": one, "response": one.upper()} for one in WORDS[:2]]
        parts = {"text": "Write it in capitals.", "examples": examples, "query": str(word)}
    return {"use_case": "generation", **wish, "form": form, "way": way, **parts}
