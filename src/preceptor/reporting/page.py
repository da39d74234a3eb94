"""The page itself: what is known of a run, put into the template."""

from importlib import metadata
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import preceptor
from preceptor.reporting import charts, data, examples, foundations, rounds, svg, tables
from preceptor.reporting.plots import model_name
from preceptor.reporting.read import RunRecord, StageRecord

LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors", "matplotlib")


def render_page(record: RunRecord) -> str:
    """One self-contained HTML file: no script, no request to anywhere.

    The template escapes every value; the only markup that passes is the SVG of our own charts, and
    Matplotlib escapes the text in those.
    """
    evaluation = record.evaluation
    context: dict[str, Any] = {
        "name": record.summary.get("name") or record.name,
        "record": record,
        "evaluation": evaluation,
        "tiles": tables.tiles(evaluation),
        "judge": tables.judge_name(evaluation),
        "helpfulness": (charts.helpfulness_chart(evaluation), tables.helpfulness_table(evaluation)),
        "truthfulness": (charts.truthfulness_charts(evaluation), tables.truthfulness_table(evaluation)),
        "harmlessness": (charts.harmlessness_chart(evaluation), tables.harmlessness_table(evaluation)),
        "behaviour": tables.behaviour_table(evaluation),
        "reward": (charts.reward_chart(evaluation), tables.reward_table(evaluation)),
        "sources": tables.sources_table(evaluation),
        "calibration": (charts.calibration_chart(evaluation), evaluation.get("reward", {}).get("calibration", {})),
        "rounds": rounds.section(record),
        "drift": tables.drift_table(evaluation),
        "foundations": foundations.section(record.foundations),
        "frontiers": _frontiers(record),
        "data": data.section(record.summary.get("data", {})),
        "stages": [charts.stage_charts(stage) for stage in record.stages if stage.metrics],
        "times": tables.time_rows(record),
        "training": tables.training_table(record),
        "memory": record.summary.get("peak_memory_bytes"),
        "versions": _versions(record),
        "origins": [(stage.title, _origin(stage)) for stage in record.stages if stage.provenance],
        "model_name": model_name,
        "number": tables.number,
        "percent": tables.percent,
    }
    context |= _examples(record)
    return render("report.html.j2", context)


def render(template: str, context: dict[str, Any]) -> str:
    """A template of ours with every value escaped; the colours of the charts are there as ``colours``."""
    environment = Environment(
        loader=PackageLoader("preceptor.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["colours"] = {"light": svg.LIGHT, "dark": svg.DARK}
    return environment.get_template(template).render(context)


def _frontiers(record: RunRecord) -> list[charts.Frontier]:
    """One for each PPO round: ``ppo`` is the last, ``ppo_round_2`` the second."""
    policies = [stage for stage in record.stages if stage.kind == "ppo"]
    found = []
    for number, stage in enumerate(policies, start=1):
        name = "ppo" if number == len(policies) else f"ppo_round_{number}"
        tried = record.evaluation.get("snapshots", {}).get(name, {})
        one = charts.frontier_of(stage.title, name, tried, record.evaluation.get("judge", ""))
        if one is not None:
            found.append(one)
    return found


def _examples(record: RunRecord) -> dict[str, Any]:
    """The chosen prompts with their answers, and the rule that chose them."""
    models = [name for name in ("base", "sft", "ppo") if name in tables.policies(record.evaluation)]
    gold = record.evaluation.get("judge") == "gold"
    judge = "gold rubric" if gold else "reward model"
    return {
        "examples": examples.choose(record.responses, models, "gold" if gold else "reward"),
        "rule": examples.rule([model_name(name) for name in models], judge) if models else "",
    }


def _versions(record: RunRecord) -> list[tuple[str, str]]:
    """Versions of the code and the libraries that trained the last model; those of now if nothing says."""
    known = [stage.provenance for stage in record.stages if stage.provenance.get("libraries")]
    if not known:
        return [("preceptor", preceptor.__version__)] + [(name, metadata.version(name)) for name in LIBRARIES]
    last = known[-1]
    code = last.get("code", {})
    commit = str(code.get("commit", ""))
    rows = [("preceptor", str(code.get("version", "")))]
    if commit:
        rows.append(("commit", commit + (" with changes" if code.get("modified") else "")))
    rows += [(name, str(version)) for name, version in last["libraries"].items()]
    if last.get("machine"):
        rows.append(("machine", str(last["machine"])))
    return rows


def _origin(stage: StageRecord) -> list[tuple[str, str]]:
    """Where a model comes from, in lines: seed, parents and data with the beginning of their hashes."""
    record = stage.provenance
    rows = [("seed", str(record["seed"]))] if "seed" in record else []
    for part in ("parents", "data"):
        for name, entry in (record.get(part) or {}).items():
            if isinstance(entry, dict):
                rows.append((f"{part}: {name}", f"{entry.get('path', '')} ({str(entry.get('sha256', ''))[:12]})"))
    return rows
