"""The results of a run as tables for a terminal. A figure that a run does not have is left out."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from preceptor.reporting.data import left_out
from preceptor.training.progress import duration

MODELS = ("base", "sft", "ppo")
FACTS = {"known": "known facts", "withheld": "withheld facts", "invented": "invented names"}
INSTRUCTIONS = {"none": "no instruction", "respectful": "asked to be respectful", "rude": "asked to be rude"}


def show_results(summary: dict[str, Any], out: Path, console: Console | None = None) -> None:
    """Print the tables, the path of the report and the command to talk to the model."""
    console = console or Console(highlight=False)
    evaluation = summary.get("evaluation", {})
    tables = [_preferences(evaluation), _models(evaluation), _reward(summary.get("reward", {}))]
    tables.append(_foundations(summary.get("foundations", {})))
    for table in tables:
        if table.row_count:
            console.print(table)
    seconds, memory = summary["seconds"]["total"], summary["peak_memory_bytes"]
    unused = "; ".join(f"{count:,} {reason}" for reason, count in left_out(summary.get("data", {})))
    lines = [
        *([f"unused  {unused}"] if unused else []),
        f"took    {duration(seconds)}, {memory / 2**30:.2f} GiB at most",
        f"report  {out / 'report.html'}",
    ]
    if "foundations" in summary:
        lines.append(f'look    {command()} attention --model {out / "foundations/causal"} "a sentence"')
    else:
        lines.append(f"talk    {command()} chat --model {out / 'ppo'}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def command() -> str:
    """How this program can be called again: by name if the shell finds it, else by its path."""
    if shutil.which("preceptor") or Path(sys.argv[0]).name != "preceptor":
        return "preceptor"
    return os.path.relpath(sys.argv[0])


def _preferences(evaluation: dict[str, Any]) -> Table:
    judge = {"gold": "the gold rubric"}.get(evaluation.get("judge", ""), evaluation.get("judge", ""))
    table = Table(title=f"Preferred, judged by {judge}" if judge else "Preferred", title_justify="left")
    for name in ("", "win rate", "95 % interval", "prompts"):
        table.add_column(name, justify="right" if name else "left")
    for key, cell in evaluation.get("helpfulness", {}).items():
        if isinstance(cell, dict) and "win_rate" in cell:
            one, _, other = key.partition("_vs_")
            interval = f"{cell['low']:.1%} to {cell['high']:.1%}"
            table.add_row(f"{_name(one)} over {_name(other)}", f"{cell['win_rate']:.1%}", interval, f"{cell['n']:,}")
    return table


def _models(evaluation: dict[str, Any]) -> Table:
    """What each model does: claims, rudeness, perplexity, length."""
    table = Table(title="Base, SFT and PPO on held-out users", title_justify="left")
    table.add_column("")
    for name in MODELS:
        table.add_column(_name(name), justify="right")
    truth = evaluation.get("truthfulness", {})
    for fact, words in FACTS.items():
        for claim in ("true", "false", "unknown"):
            shares = [truth.get(model, {}).get(fact, {}).get(claim) for model in MODELS]
            _row(table, f"{words}: {claim if claim != 'unknown' else 'says it does not know'}", shares, ".1%")
    for instruction, words in INSTRUCTIONS.items():
        shares = evaluation.get("harmlessness", {}).get(instruction, {})
        _row(table, f"rude, {words}", [_number(shares.get(model)) for model in MODELS], ".1%")
    for key, words, form in (
        ("perplexity", "perplexity of held-out text", ".2f"),
        ("mean_length", "tokens in a response", ".1f"),
        ("kl", "KL from SFT, nats", ".2f"),
    ):
        _row(table, words, [_number(evaluation.get(key, {}).get(model)) for model in MODELS], form)
    return table


def _foundations(results: dict[str, Any]) -> Table:
    """The LSTM and the transformers beside each other; the masked one has no loss of a next token."""
    table = Table(title="LSTM and transformers of one size", title_justify="left")
    for name in ("", "parameters", "tokens/s in training"):
        table.add_column(name, justify="right" if name else "left")
    positions, copies = results.get("by_position", []), results.get("copies", [])
    if positions and copies:
        table.add_column(f"loss, {positions[-1]['first']}+ tokens before", justify="right")
        table.add_column(f"loss on a copy, {copies[-1]['distance']} back", justify="right")
    for name, count in results.get("parameters", {}).items():
        far = positions[-1]["loss"].get(name) if positions else None
        copied = _number(copies[-1]["loss"].get(name)) if copies else None
        cells = ["" if value is None else f"{value:.2f}" for value in (far, copied)]
        table.add_row(name, f"{count:,}", f"{results['tokens_per_second'][name]:,.0f}", *cells)
    return table


def _reward(reward: dict[str, Any]) -> Table:
    table = Table(title="Reward model, pairs ordered alike", title_justify="left", show_header=False)
    for key, words in (
        ("heldout_accuracy", "with labelers, held-out prompts"),
        ("gold_accuracy", "with the gold rubric"),
        ("gold_on_labels", "the gold rubric itself with labelers"),
        ("labeler_agreement", "one labeler with another"),
        ("labeler_agreement_strict", "one labeler with another, ties aside"),
        ("bag_of_words", "a weight for every word with labelers"),
        ("longer_wins", '"the longer one wins" with labelers'),
    ):
        _row(table, words, [_number(reward.get(key))], ".1%")
    return table


def _row(table: Table, title: str, values: list[float | None], form: str) -> None:
    if any(value is not None for value in values):
        table.add_row(title, *("" if value is None else format(value, form) for value in values))


def _number(value: Any) -> float | None:
    """A figure that may stand alone or, with its interval, in a table."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("value", "mean", "share") if key in value), None)
    return float(value) if isinstance(value, (int, float)) else None


def _name(model: str) -> str:
    names = {"base": "base", "sft": "SFT", "ppo": "PPO"}
    return names.get(model, model.replace("ppo", "PPO").replace("_", " "))
