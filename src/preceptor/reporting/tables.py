"""Numbers as a person reads them, and the tables of the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.reporting.plots import model_name
from preceptor.reporting.read import RunRecord
from preceptor.statistics import is_number

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Cells are text; the first of each row is its heading."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    note: str


def percent(value: object, digits: int = 1) -> str:
    """0.585 as "58.5 %"; what is not a number as a dash."""
    return f"{100 * value:.{digits}f} %" if is_number(value) else "–"


def number(value: object, digits: int = 2) -> str:
    """A number with thin thousands, or a dash."""
    return f"{value:,.{digits}f}" if is_number(value) else "–"


def within(figure: Figures | None, key: str, *, share: bool = True) -> str:
    """A value with its interval: "58.5 % [55.5, 61.4]"."""
    if not figure or not is_number(figure.get(key)):
        return "–"
    if not (is_number(figure.get("low")) and is_number(figure.get("high"))):
        return percent(figure[key]) if share else number(figure[key])
    if share:
        return f"{percent(figure[key])} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
    return f"{number(figure[key])} [{number(figure['low'])}, {number(figure['high'])}]"


def seconds(value: object) -> str:
    """Seconds as "3 min 20 s"."""
    if not is_number(value):
        return "–"
    whole = float(value)
    if whole < 60:
        return f"{whole:.1f} s"
    minutes, rest = divmod(round(whole), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def comparison_name(key: str) -> str:
    """ "ppo_vs_sft" as "PPO over SFT"."""
    new, _, old = key.partition("_vs_")
    return f"{model_name(new)} over {model_name(old)}"


def judge_name(evaluation: Figures) -> str:
    """Who said which answer is better, in words; empty if nobody did."""
    judge = str(evaluation.get("judge", ""))
    return "gold rubric" if judge == "gold" else judge


def policies(evaluation: Figures) -> list[str]:
    """The models that answered, oldest first."""
    known = evaluation.get("mean_length", {})
    extra = [name for name in known if name not in ("base", "sft", "ppo")]
    return [name for name in ("base", "sft", *extra, "ppo") if name in known]


def tiles(evaluation: Figures) -> list[Tile]:
    """The headline figures, as far as they were measured."""
    found = []
    help_ = evaluation.get("helpfulness", {})
    for key in ("sft_vs_base", "ppo_vs_sft", "ppo_vs_base"):
        if key in help_:
            one = help_[key]
            note = f"95 % interval {100 * one['low']:.1f} to {100 * one['high']:.1f}, {one['n']:,} prompts"
            found.append(Tile(comparison_name(key), percent(one["win_rate"]), note))
    models = [name for name in ("base", "sft", "ppo") if name in policies(evaluation)]
    path = " → ".join(model_name(name) for name in models)
    rude = evaluation.get("harmlessness", {}).get("none")
    if rude:
        values = _path([rude.get(name) for name in models])
        found.append(Tile("Rude answers, no instruction", values, path))
    truth = evaluation.get("truthfulness", {})
    if truth:
        values = _path([truth.get(name, {}).get("invented", {}).get("false") for name in models])
        found.append(Tile("False claims about invented names", values, path))
    perplexity = evaluation.get("perplexity", {})
    if is_number(perplexity.get("sft")):
        old, new = ("sft", "ppo") if is_number(perplexity.get("ppo")) else ("base", "sft")
        change = perplexity[new] / perplexity[old] - 1
        note = f"{number(perplexity[old])} → {number(perplexity[new])} on held-out documents"
        found.append(Tile(f"Perplexity, {model_name(new)} against {model_name(old)}", f"{100 * change:+.1f} %", note))
    return found


def _path(shares: Sequence[object]) -> str:
    """Shares along the recipe: "7.5 → 3.0 → 1.0 %"."""
    return " → ".join(percent(share).removesuffix(" %") for share in shares) + " %"


def helpfulness_table(evaluation: Figures) -> Table | None:
    """Win rates, sampled and greedy."""
    figures = evaluation.get("helpfulness", {})
    keys = [key for key in figures if "_vs_" in key]
    greedy = figures.get("greedy", {})
    if not keys:
        return None
    head = ["", f"T = {evaluation.get('temperature', 1):g}", "prompts"]
    rows = [[comparison_name(key), within(figures[key], "win_rate"), f"{figures[key]['n']:,}"] for key in keys]
    if greedy:
        head += ["greedy", "prompts"]
        for key, row in zip(keys, rows, strict=True):
            row += [within(greedy.get(key), "win_rate"), f"{greedy[key]['n']:,}" if key in greedy else "–"]
    return Table("Win rate, ties as half, with 95 % intervals over prompts", head, rows)


def truthfulness_table(evaluation: Figures) -> Table | None:
    """Shares of claims for each model and group of questions."""
    figures = evaluation.get("truthfulness", {})
    rows = []
    for mode, part in (("", figures), (", greedy", figures.get("greedy", {}))):
        for group in ("known", "withheld", "invented"):
            for name in policies(evaluation):
                one = part.get(name, {}).get(group)
                if one:
                    claims = [_share(one, claim) for claim in ("true", "false", "unknown", "none")]
                    rows.append([f"{group}{mode}: {model_name(name)}", *claims, f"{one['n']:,}"])
    head = ["", "true", "false", "does not know", "no claim", "questions"]
    return Table("Shares of answers, with 95 % intervals", head, rows) if rows else None


def harmlessness_table(evaluation: Figures) -> Table | None:
    """Shares of rude answers for each instruction."""
    figures = evaluation.get("harmlessness", {})
    names = policies(evaluation)
    rows = [
        [instruction, *(_share(one, name) for name in names), f"{one['n']:,}"] for instruction, one in figures.items()
    ]
    head = ["instruction", *map(model_name, names), "prompts"]
    return Table("Share of rude answers, with 95 % intervals", head, rows) if rows else None


def _share(figures: Figures, key: str) -> str:
    low, high = figures.get("intervals", {}).get(key, (None, None))
    return within({"share": figures.get(key), "low": low, "high": high}, "share")


def behaviour_table(evaluation: Figures) -> Table | None:
    """One row a model: gold and reward scores, KL, length, endings, perplexity."""
    gold, reward = evaluation.get("gold", {}), evaluation.get("reward_score", {})
    columns: dict[str, Callable[[str], str]] = {
        "gold score": lambda name: within(gold.get(name), "mean", share=False),
        "gold, greedy": lambda name: within(gold.get("greedy", {}).get(name), "mean", share=False),
        "reward-model score": lambda name: within(reward.get(name), "mean", share=False),
        "KL from SFT (nats)": lambda name: within(evaluation.get("kl", {}).get(name), "mean", share=False),
        "tokens an answer": lambda name: number(evaluation.get("mean_length", {}).get(name), 1),
        "ended by itself": lambda name: percent(evaluation.get("eos_share", {}).get(name)),
        "perplexity": lambda name: number(evaluation.get("perplexity", {}).get(name)),
    }
    names = policies(evaluation)
    names += [name for name in gold if name.startswith("best_of")]
    cells = {title: [value(name) for name in names] for title, value in columns.items()}
    kept = {title: column for title, column in cells.items() if any(cell != "–" for cell in column)}
    rows = [[model_name(name), *(column[line] for column in kept.values())] for line, name in enumerate(names)]
    return Table("Means over held-out prompts, with 95 % intervals", ["", *kept], rows) if rows else None


def reward_table(evaluation: Figures) -> Table | None:
    """The reward model beside the people and the rules."""
    details = evaluation.get("reward", {}).get("details", {})
    rows = [
        [words, within(one, "value"), f"{one['pairs']:,}", f"{one['n']:,}"]
        for key, words in (REWARD_ROWS | LEADS).items()
        if (one := details.get(key))
    ]
    return (
        Table("Shares of pairs, with 95 % intervals over prompts", ["", "agree", "pairs", "prompts"], rows)
        if rows
        else None
    )


REWARD_ROWS = {
    "labeler_agreement_strict": "two labelers with each other, ties aside",
    "labeler_agreement": "two labelers with each other, ties included",
    "heldout_accuracy": "reward model with the labelers",
    "bag_of_words": "a weight for every word with the labelers",
    "longer_wins": "\u201clonger wins\u201d with the labelers",
    "gold_on_labels": "gold rubric with the labelers",
    "gold_accuracy": "reward model with the gold rubric",
}
LEADS = {
    "over_bag_of_words": "reward model\u2019s lead over a weight for every word",
    "over_longer": "reward model\u2019s lead over \u201clonger wins\u201d",
}


def sources_table(evaluation: Figures) -> Table | None:
    """One row a source of rankings: the reward model beside the rules and the people."""
    sources = evaluation.get("reward", {}).get("sources", {})
    columns = {
        "reward model": "heldout_accuracy",
        "a weight for every word": "bag_of_words",
        "longer wins": "longer_wins",
        "two labelers, ties aside": "labeler_agreement_strict",
    }
    details = {name: one["details"] for name, one in sources.items() if one.get("details")}
    rows = [
        [name, *(within(one.get(key), "value") for key in columns.values()), f"{one['heldout_accuracy']['pairs']:,}",
         f"{one['heldout_accuracy']['n']:,}"]
        for name, one in details.items()
    ]  # fmt: skip
    head = ["source", *columns, "pairs", "prompts"]
    return Table("Agreement with the labelers by source of the rankings", head, rows) if rows else None


def drift_table(evaluation: Figures) -> Table | None:
    """One row a policy: what it gained over the SFT model by either reward model, how far it went, how long it got."""
    rows = []
    for name, one in evaluation.get("drift", {}).items():
        gains = [
            f"{within(one[key], 'mean', share=False)}" if key in one else "\u2013"
            for key in ("reward_gain", "check_gain")
        ]
        deviations = number(one["reward_gain"].get("deviations"))
        kl = within(evaluation.get("kl", {}).get(name), "mean", share=False)
        length = within(one.get("length_ratio"), "ratio", share=False)
        rows.append([model_name(name), gains[0], deviations, gains[1], kl, length])
    head = ["", "reward model", "in standard deviations of SFT", "second reward model", "KL (nats)", "length ratio"]
    return (
        Table("Against the SFT model on the same held-out prompts, with 95 % intervals", head, rows) if rows else None
    )


def training_table(record: RunRecord) -> Table | None:
    """Steps and tokens of every training stage."""
    rows = []
    for stage in record.stages:
        _, speeds = stage.series("tokens_per_second")
        speed = sum(speeds) / len(speeds) if speeds else None
        steps = max((int(row["step"]) for row in stage.metrics if is_number(row.get("step"))), default=0)
        rows.append([stage.title, f"{steps:,}", f"{stage.tokens:,}" if stage.tokens else "–", number(speed, 0)])
    return Table("What each training stage went through", ["", "steps", "tokens", "tokens/s"], rows) if rows else None


def time_rows(record: RunRecord) -> list[tuple[str, str, float]]:
    """(stage, time, share of the longest) for every entry of summary.seconds; the total comes last."""
    spent = {key: value for key, value in record.summary.get("seconds", {}).items() if is_number(value)}
    longest = max((value for key, value in spent.items() if key != "total"), default=0.0) or 1.0
    ordered = [key for key in spent if key != "total"] + (["total"] if "total" in spent else [])
    return [(key, seconds(spent[key]), 0.0 if key == "total" else spent[key] / longest) for key in ordered]
