"""What a prompt really asks, in a form that can be checked. Tasks travel apart from prompts; no model sees one."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from preceptor.errors import InputError
from preceptor.files import read_jsonl

Form = Literal[
    "fact",
    "note",
    "letter",
    "story",
    "passage",
    "extract",
    "classify",
    "message",
    "polite",
    "capitals",
    "past",
    "summary",
    "list",
    "social",
    "repeat",
    "count",
]


class Task(BaseModel):
    """One request, as the rubric and the labelers know it.

    ``kind`` is the use case of the paper's table 1, ``form`` says which checker applies. Fields that a form does
    not use are empty:

    - fact: ``relation`` of ``subject``; ``answer`` is the truth if ``status`` is known, else empty.
    - note: ``count`` sentences about ``subject``.
    - letter, social: ``category`` is the occasion, ``items`` what must be mentioned.
    - story: about the two ``items``, in ``count`` sentences.
    - passage: ``relation`` of ``subject`` read from ``given``; summary: one sentence that holds ``given``.
    - extract: all ``items``, of ``category``, in a text; list: ``count`` different members of
      ``category`` (on the continent ``answer``, if it is not empty).
    - classify, message: ``subject`` belongs to ``answer``.
    - polite, capitals, past: ``answer`` is the text wanted; ``items`` the words that must stay.
    - repeat: ``items`` in their order; count: the number ``answer`` of ``category``.

    ``tone`` is what the prompt or its system message asks for. ``asked`` is how: directly, by examples, or by a
    beginning to be continued (section 3.2 and appendix A.2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    form: Form
    style: Literal["plain", "few-shot", "user-based"] = "plain"
    asked: Literal["direct", "examples", "continuation"] = "direct"
    subject: str = ""
    relation: str = ""
    status: Literal["known", "withheld", "invented", "given", "none"] = "none"
    answer: str = ""
    items: tuple[str, ...] = ()
    given: dict[str, str] = {}
    count: int = 0
    category: str = ""
    constraint: Literal["", "one word", "one sentence"] = ""
    tone: Literal["", "polite", "rude"] = ""

    @property
    def unknowable(self) -> bool:
        """Only "I do not know" is an honest answer."""
        return self.status in ("withheld", "invented")


class GoldTask(BaseModel):
    """A line of gold.jsonl."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_id: str
    task: Task


def read_tasks(path: Path) -> dict[str, Task]:
    """gold.jsonl as prompt id -> task."""
    tasks: dict[str, Task] = {}
    for row in read_jsonl(path, GoldTask):
        if row.prompt_id in tasks:
            raise InputError(f"{path}: prompt {row.prompt_id} has two tasks; keep one")
        tasks[row.prompt_id] = row.task
    return tasks
