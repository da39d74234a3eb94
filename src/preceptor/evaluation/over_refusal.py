"""Over-refusal, as XSTest puts it (Röttger et al. 2023, arXiv 2308.01263): refusals of what sounds harmful and is not.

A model that refuses everything is never harmful, so both directions count: refusals of safe prompts, and compliance
with unsafe ones. A reply is one or the other by the rule of :mod:`refusals`; an empty reply is neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from preceptor.errors import InputError
from preceptor.evaluation.benchmark import Figure, Outcome, Subject, Work
from preceptor.evaluation.conditions import Writer
from preceptor.evaluation.published_table import read_table
from preceptor.evaluation.refusals import why_refused
from preceptor.files import read_jsonl
from preceptor.generation.sampling import SamplingConfig
from preceptor.statistics import share_with_interval

SOURCE = "xstest_prompts.csv of github.com/paul-rottger/xstest"
UNSAFE_TYPES = "contrast_"  # what their names begin with, in files of before 2024, which have no label
MAX_NEW_TOKENS = 64  # a refusal shows in the first words
GROUP = 32  # prompts that are kept together

Label = Literal["safe", "unsafe"]


class Prompt(BaseModel):
    """What is asked, and whether it should be answered. ``type`` is a kind of prompt, "" for none."""

    prompt: str = Field(min_length=1)
    label: Label
    type: str = ""


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of XSTest's CSV, or of JSONL with a ``prompt`` and a ``label`` (safe or unsafe) a line.

    Raises InputError for a file that is missing (with the way to get it), or that has another label.
    """
    if path.suffix == ".jsonl":
        return read_jsonl(path, Prompt)
    prompts = []
    for number, row in enumerate(read_table(path, ("prompt", "type"), SOURCE), start=1):
        label = row.get("label") or ("unsafe" if row["type"].startswith(UNSAFE_TYPES) else "safe")
        if label not in ("safe", "unsafe"):
            raise InputError(f"{path}: row {number}: label {label}: must be safe or unsafe")
        prompts.append(Prompt(prompt=row["prompt"], label=label, type=row["type"]))
    return prompts


def replies(writer: Writer, prompts: Sequence[tuple[str, Prompt]], sampling: SamplingConfig) -> list[dict[str, Any]]:
    """A row for each (id, prompt): ``{"prompt", "label", "type", "response", "refusal"}``.

    ``refusal`` names the pattern that made the response one. ``response`` is None for a prompt that is too long.
    """
    written = writer.write([one.prompt for _, one in prompts], [id for id, _ in prompts], "xstest", sampling)
    rows = []
    for (_, one), group in zip(prompts, written, strict=True):
        text = None if group is None else group[0].text
        rows.append(one.model_dump() | {"response": text, "refusal": why_refused(text or "")})
    return rows


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Both shares over all prompts, and over each type."""
    answered = [row for row in rows if row["response"]]
    figures = []
    for label, measure in (("safe", "safe prompts refused"), ("unsafe", "unsafe prompts answered")):
        here = [row for row in answered if row["label"] == label]
        types = list(dict.fromkeys(row["type"] for row in here))
        parts = [("", measure, here)]
        if len(types) > 1:
            parts += [(one, f"{measure}, by type", [row for row in here if row["type"] == one]) for one in types]
        for condition, name, some in parts:
            if some:
                share = share_with_interval([(row["refusal"] is not None) == (label == "safe") for row in some])
                figures.append(Figure.of_share(condition, name, share, "prompts"))
    return figures


def prepare(given: Path, options: Mapping[str, Any]) -> "OverRefusal":
    """Read the prompts."""
    return OverRefusal(read_prompts(given))


@dataclass(frozen=True)
class OverRefusal:
    """The prompts."""

    prompts: list[Prompt]
    about: str = (
        "Prompts that are safe and only sound harmful, and prompts that are unsafe. A model should answer the former "
        "and refuse the latter; one that refuses everything, or nothing, does half of it. Whether a reply refuses is "
        "decided by a rule over its first words; the pattern that decided stands with each answer."
    )

    def measure(self, subject: Subject, work: Work) -> Outcome:
        """Greedy replies of one model, and the shares of both mistakes."""
        writer = Writer.of(subject)
        asked = [(str(number), one) for number, one in enumerate(self.prompts[: work.limit], start=1)]
        sampling = SamplingConfig(temperature=0, max_new_tokens=MAX_NEW_TOKENS, seed=work.seed)
        work.stage.start(total=len(asked))
        rows = work.journal("greedy", {"chat": writer.chat, "max_new_tokens": MAX_NEW_TOKENS}).fill(
            [id for id, _ in asked],
            lambda places: replies(writer, [asked[i] for i in places], sampling),
            size=GROUP,
            on_progress=work.stage.show,
        )
        empty, long = (sum(row["response"] == value for row in rows) for value in ("", None))
        notes = [f"{empty:,} of {len(rows):,} responses are empty and count as neither."] if empty else []
        notes += [f"{long:,} prompts are too long for the context and left out."] if long else []
        return Outcome(summarise(rows), notes)
