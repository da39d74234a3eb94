"""The card of a model: ``README.md`` in its directory, in the form that model hubs show.

All of it is read from provenance.json and, where the model was measured, from evaluation.json; nothing is judged here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.files import read_json, write_atomic
from preceptor.reporting import tables
from preceptor.reporting.figures import leaves
from preceptor.reporting.read import RunRecord
from preceptor.statistics import is_number

CARD = "README.md"
WEIGHTS = "model.safetensors"
MADE = {
    "pretrain": "A language model, trained from nothing to predict the next token of a corpus.",
    "import": "A pretrained language model, taken in unchanged.",
    "sft": "A chat model: a language model fine-tuned on demonstrations (InstructGPT, section 3.5, step 1).",
    "reward": "A reward model: it reads a conversation and gives one number, how well people would rank the answer "
    "(InstructGPT, section 3.5, step 2).",
    "ppo": "A chat model: fine-tuned on demonstrations, then optimised against a reward model by PPO with a KL penalty "
    "(InstructGPT, section 3.5, step 3).",
    "foundations": "One of three models of equal size that show what attention is worth.",
}
USE = """    preceptor chat --model DIR
    preceptor serve --model DIR

with this directory as `DIR`; transformers reads it unchanged, and vLLM too where it computes heads of this width."""
LIMITS = (
    "The licences of the model it starts from and of the data hold for it too; the hashes above say which they are. "
    "What was measured holds for prompts like those it was measured on."
)
Figures = Mapping[str, Any]


def write_cards(run: Path, record: RunRecord) -> int:
    """Write the card of every model of a run; return how many."""
    directories = [run / stage.name for stage in record.stages if (run / stage.name / "provenance.json").is_file()]
    for directory in directories:
        write_card(directory, record.evaluation)
    return len(directories)


def write_card(directory: Path, evaluation: Figures | None = None) -> None:
    """Write ``README.md`` beside the weights. A directory without weights (data, a tokenizer) gets none."""
    if (directory / WEIGHTS).is_file():
        write_atomic(directory / CARD, model_card(read_json(directory / "provenance.json"), evaluation or {}))


def model_card(provenance: Figures, evaluation: Figures) -> str:
    """The card as Markdown, from what provenance.json says and what the run measured."""
    stage = str(provenance.get("stage", ""))
    reward = stage == "reward"
    kind = "Reward model" if reward else "Language model"
    parts = [
        _front_matter(stage, reward),
        f"# {kind} by Preceptor, recipe {_code(provenance.get('recipe', ''))}",
        MADE.get(stage, ""),
        _use(stage),
        "## How it was made",
        _origin(provenance),
        _settings(provenance),
        _results(evaluation, reward),
        "## Limits",
        LIMITS,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(stage: str, reward: bool) -> str:
    task = "text-classification" if reward else "text-generation"
    tags = ["preceptor", stage, *(["rlhf"] if stage in ("reward", "ppo") else [])]
    lines = ["library_name: transformers", f"pipeline_tag: {task}", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _use(stage: str) -> str:
    if stage in ("sft", "ppo"):
        return USE
    return ""


def _origin(provenance: Figures) -> str:
    """A list: parents and data by the beginning of their hashes, seed, code, libraries."""
    rows = [
        f"- {part[:-1] if part == 'parents' else part}, {_code(name)}: {_code(entry.get('path', ''))}, "
        f"SHA-256 {_code(str(entry.get('sha256', ''))[:16])}"
        for part in ("parents", "data")
        for name, entry in (provenance.get(part) or {}).items()
        if isinstance(entry, Mapping)
    ]
    code = provenance.get("code", {})
    commit = f", commit {_code(str(code['commit'])[:12])}" if code.get("commit") else ""
    changed = " with changes" if code.get("modified") else ""
    rows.append(f"- seed {provenance.get('seed')}; Preceptor {code.get('version', '')}{commit}{changed}")
    libraries = ", ".join(f"{name} {version}" for name, version in provenance.get("libraries", {}).items())
    rows.append(f"- {libraries}; {provenance.get('machine', '')}")
    return "\n".join(rows)


def _settings(provenance: Figures) -> str:
    """The settings of the stage and what it said at its end, as tables."""
    said = [
        (name, value) for name, value in leaves(provenance.get("summary") or {}) if is_number(value) or value is True
    ]
    settings = [
        row
        for part in ("config", "model", "lora", "compute")
        for row in leaves(provenance.get(part) or {}, f"{part}." if part != "config" else "")
    ]
    found = [_markdown(["setting", "value"], [[_code(name), _code(value)] for name, value in settings])]
    if said:
        found += ["## What training said", _markdown(["", ""], [[_code(name), _shown(value)] for name, value in said])]
    return "\n\n".join(found)


def _results(evaluation: Figures, reward: bool) -> str:
    """The tables of the report, of all the models of the run beside each other."""
    measures = [tables.reward_table, tables.sources_table] if reward else MEASURES
    found = [table for measure in measures if (table := measure(evaluation)) is not None]
    if not found:
        return ""
    judge = tables.judge_name(evaluation)
    by = f"Judged by the {judge}. " if judge else ""
    intro = f"{by}On users that no stage has trained on; intervals are 95 %, a bootstrap over prompts."
    parts = [f"**{_cell(table.caption)}**\n\n{_markdown(table.head, table.rows)}" for table in found]
    return "\n\n".join(["## What was measured", intro, *parts])


MEASURES = [
    tables.helpfulness_table,
    tables.behaviour_table,
    tables.truthfulness_table,
    tables.harmlessness_table,
    tables.drift_table,
]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _code(value: Any) -> str:
    """In a code span, where nothing is markup; names of files and settings come from outside."""
    return f"`{' '.join(str(value).replace('`', chr(39)).split())}`"
