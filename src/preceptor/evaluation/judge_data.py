"""TruthfulQA's published judgements of answers, which judges of other answers are trained on.

Two files of JSON lines, ``finetune_truth.jsonl`` and ``finetune_info.jsonl``: ``{"prompt": "Q: ...\\nA: ...\\nTrue:",
"completion": " yes"}``, with ``Helpful:`` in the place of ``True:`` for what is informative (Lin et al., arXiv
2109.07958, section 4.1 and appendix B). Their answers are those of models and people; read are the last question and
answer of a prompt.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, field_validator

from preceptor.errors import InputError
from preceptor.files import read_jsonl

Asked = Literal["True", "Helpful"]
_PUBLISHED = {"True": "data/finetune_truth.jsonl", "Helpful": "data/finetune_info.jsonl"}
_FORM = re.compile(r"(?:^|\n)Q: *([^\n]+)\nA:([^\n]*)\n(True|Helpful):\s*$")


@dataclass(frozen=True)
class Judged:
    """An answer to a question, and whether it is what was asked of the judge: true, or informative."""

    question: str
    answer: str
    yes: bool


class Judgement(BaseModel):
    """A line as it is published."""

    prompt: str
    completion: Literal["yes", "no"]

    @field_validator("completion", mode="before")
    @classmethod
    def _said(cls, value: object) -> object:
        return value.strip().casefold() if isinstance(value, str) else value

    @field_validator("prompt")
    @classmethod
    def _is_asked(cls, value: str) -> str:
        if _FORM.search(value) is None:
            raise ValueError('must be lines "Q: ...", "A: ..." and "True:" or "Helpful:"')
        return value


def read_judged(path: Path, asked: Asked) -> list[Judged]:
    """The judgements of a file. Raises InputError with the line and the mend for what is no such file."""
    published = f"{_PUBLISHED[asked]} of github.com/sylinrl/TruthfulQA"
    if not path.exists():
        raise InputError(f"{path}: no such file; get {published}")
    judged = []
    for row in read_jsonl(path, Judgement):
        question, answer, of = _FORM.findall(row.prompt)[-1]
        if of != asked:
            raise InputError(f"{path}: a prompt ends with {of}:, and here {asked}: is needed; get {published}")
        judged.append(Judged(question.strip(), answer.strip(), row.completion == "yes"))
    _check(path, judged)
    return judged


def _check(path: Path, judged: Sequence[Judged]) -> None:
    if len({one.yes for one in judged}) < 2:
        said = "yes" if judged[0].yes else "no"
        raise InputError(f"{path}: every answer is judged {said}; a judge learns from both")
    if len({one.question for one in judged}) < 2:
        raise InputError(f"{path}: holds one question only; how right a judge is shows on others")
