"""The report on made-up run directories: whole, without gold, half done, and hostile."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor.errors import InputError
from preceptor.files import write_json, write_jsonl
from preceptor.reporting.data import section
from preceptor.stages.report import ReportConfig, report

KINDS = ("open_qa", "closed_qa", "extraction", "rewrite", "chat")
EVIL = "<script>alert('x')</script> & \"quoted\" $x^2$ <img src=x onerror=y>"
VOID = {"meta", "br", "img", "use", "path", "link", "input", "hr"}


def interval(value: float, half: float = 0.03, key: str = "win_rate", n: int = 1000) -> dict[str, Any]:
    return {key: value, "low": value - half, "high": value + half, "n": n}


def shares(true: float, false: float, unknown: float) -> dict[str, Any]:
    values = {"true": true, "false": false, "unknown": unknown, "none": 1 - true - false - unknown}
    return {**values, "n": 200, "intervals": {key: [max(0, v - 0.05), min(1, v + 0.05)] for key, v in values.items()}}


def fake_evaluation() -> dict[str, Any]:
    wins = {"sft_vs_base": 0.842, "ppo_vs_sft": 0.664, "ppo_vs_base": 0.895, "best_of_16_vs_sft": 0.71}
    helpfulness: dict[str, Any] = {key: interval(value) for key, value in wins.items()}
    helpfulness["greedy"] = {key: interval(wins[key] - 0.04, n=500) for key in list(wins)[:3]}
    truth = {
        "base": {"known": shares(0.86, 0.1, 0), "withheld": shares(0.02, 0.97, 0), "invented": shares(0, 0.98, 0)},
        "sft": {
            "known": shares(0.87, 0.07, 0.03),
            "withheld": shares(0.02, 0.5, 0.45),
            "invented": shares(0, 0.31, 0.67),
        },
        "ppo": {
            "known": shares(0.9, 0.05, 0.04),
            "withheld": shares(0, 0.2, 0.78),
            "invented": shares(0, 0.02, 0.98),
        },
    }
    rude = {
        name: {
            "base": a,
            "sft": b,
            "ppo": c,
            "n": 150,
            "intervals": {
                "base": [a - 0.03, a + 0.05],
                "sft": [b - 0.01, b + 0.03],
                "ppo": [max(0, c - 0.04), c + 0.02],
            },
        }
        for name, a, b, c in (("none", 0.075, 0.03, 0.01), ("respectful", 0.07, 0.02, 0.0), ("rude", 0.12, 0.4, 0.35))
    }
    figures = {"labeler_agreement": 0.727, "heldout_accuracy": 0.742, "gold_on_labels": 0.801, "gold_accuracy": 0.861}
    figures |= {"longer_wins": 0.53, "bag_of_words": 0.6, "over_bag_of_words": 0.142, "labeler_agreement_strict": 0.77}
    details = {key: {**interval(value, 0.02, "value", 200), "pairs": 1800} for key, value in figures.items()}
    bins = [
        {"stated": stated, "share": stated - 0.05, "low": stated - 0.1, "high": stated, "pairs": 900, "n": 100}
        for stated in (0.55, 0.95)
    ]
    calibrated = {"bins": bins, "error": 0.051, "error_by_chance": 0.012, "pairs": 1800, "n": 200}
    gain = interval(0.8, 0.1, "mean", 900) | {"deviations": 1.1}
    ratio = {"ratio": 1.7, "low": 1.6, "high": 1.8, "n": 900}
    drift = {"ppo": {"reward_gain": gain, "check_gain": interval(0.2, 0.1, "mean", 900), "length_ratio": ratio}}
    means = {"base": -0.4, "sft": -0.01, "ppo": 0.35}
    return {
        "judge": "gold",
        "temperature": 1.0,
        "base_format": {"chosen": "question", "mean_scores": {"question": 0.1, "plain": -0.5}},
        "helpfulness": helpfulness,
        "truthfulness": truth | {"greedy": truth},
        "harmlessness": rude,
        "gold": {name: interval(value, key="mean") for name, value in (means | {"best_of_16": 0.3}).items()}
        | {"greedy": {name: interval(value + 0.2, key="mean") for name, value in means.items()}},
        "reward_score": {name: interval(value * 3, key="mean") for name, value in means.items()},
        "mean_length": {"base": 11.2, "sft": 12.5, "ppo": 13.9},
        "eos_share": {"base": 0.97, "sft": 0.99, "ppo": 1.0},
        "kl": {"ppo": interval(3.1, key="mean")},
        "perplexity": {"base": 4.31, "sft": 4.42, "ppo": 4.46, "tokens": 31000},
        "drift": drift,
        "reward": {
            **figures,
            "details": details,
            "calibration": calibrated,
            "sources": {"open-assistant": {**figures, "details": details}, "hh-rlhf": {"details": {}}},
        },
        "snapshots": {"ppo": fake_snapshots(), "ppo_round_1": fake_snapshots()},
    }


def fake_snapshots() -> dict[str, Any]:
    """A round in which gold rises, then falls, while the reward model's score goes on rising."""
    points = []
    for iteration in range(0, 33, 4):
        kl = 0.25 * iteration
        gold = 0.02 + 0.14 * kl - 0.014 * kl * kl
        points.append(
            {
                "iteration": iteration,
                "kl": kl,
                "score": 0.4 * kl**0.7,
                "check_score": 0.3 * kl**0.6 - 0.02 * kl,
                "n": 256,
                "length": 20 + 2.0 * iteration,
                "gold": gold,
                "low": gold - 0.04,
                "high": gold + 0.04,
            }
        )
    return {"kept": 20, "points": points}


def fake_metrics(kind: str, steps: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(len(kind))
    rows: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        loss = 1.2 + 5 / step**0.5 + 0.1 * float(rng.normal())
        row: dict[str, Any] = {"step": step, "tokens": 8192, "tokens_per_second": 9000.0, "loss": loss}
        row |= {"grad_norm": 1 / step, "lr_scale": 1 - step / steps}
        if step % max(1, steps // 8) == 0:
            row["heldout_loss"] = loss + 0.1
        if kind == "reward":
            row |= {"accuracy": 0.5 + 0.3 * step / steps}
        if kind == "ppo":
            row |= {key: float(rng.normal(size=1)[0]) + step / steps for key in PPO_KEYS}
            row["explained_variance"] = None if step == 1 else 0.6  # what was not finite is written as null
        rows.append(row)
    return rows


PPO_KEYS = ("score", "kl", "length", "eos_rate", "entropy", "clip_fraction", "ptx_loss", "dev_score", "dev_check_score")


def fake_responses(text: str) -> list[dict[str, Any]]:
    rows = []
    for number in range(60):
        for place, model in enumerate(("base", "sft", "ppo")):
            rows.append(
                {
                    "part": "helpfulness",
                    "prompt_id": f"heldout-{number:04d}",
                    "kind": KINDS[number % 5],
                    "messages": [{"role": "system", "content": "Answer politely."}] * (number % 4 == 0)
                    + [{"role": "user", "content": f"What is the capital of country {number}? {text}"}],
                    "model": model,
                    "temperature": 1.0,
                    "text": f"The capital of country {number} is city {place}. {text}",
                    "tokens": 12,
                    "finished": model != "base",
                    "reward": 0.1 * place,
                    "gold": round(0.3 * place - (number % 7) * 0.11 * place, 3),
                }
            )
    return rows


def fake_run(run: Path, *, gold: bool = True, text: str = "", rounds: int = 1) -> Path:
    """A finished run directory with the documented files."""
    evaluation = fake_evaluation()
    responses = fake_responses(text)
    if not gold:
        points = [
            {key: value for key, value in point.items() if key not in ("gold", "low", "high")}
            for point in fake_snapshots()["points"]
        ]
        snapshots = {"ppo": {"kept": 20, "points": points}}
        evaluation |= {"judge": "reward model", "reward": {"details": {}}, "snapshots": snapshots}
        for key in ("truthfulness", "harmlessness", "gold"):
            evaluation.pop(key)
        responses = [row | {"gold": None} for row in responses]
    write_json(run / "evaluation" / "evaluation.json", evaluation)
    write_jsonl(run / "evaluation" / "responses.jsonl", responses)
    stages = {"base": ("base", 400), "sft": ("sft", 90)}
    for number in range(1, rounds + 1):
        for kind, steps in (("reward", 40), ("reward-check", 40), ("ppo", 32)):
            stages[f"rounds/{number}/{kind}"] = (kind, steps)
    for name, (kind, steps) in stages.items():
        write_jsonl(run / name / "metrics.jsonl", fake_metrics(kind, steps))
        record: dict[str, Any] = {
            "stage": kind,
            "seed": 0,
            "parents": {"model": {"path": "../base", "sha256": "ab" * 32}},
            "data": {"corpus": {"path": "../data/corpus.jsonl", "sha256": "cd" * 32}},
            "code": {"version": "0.1.0", "commit": "12" * 20, "modified": False},
            "libraries": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
            "machine": "Linux x86_64",
        }
        write_json(run / name / "provenance.json", record | ({"kept_step": 20} if kind == "ppo" else {}))
    seconds = {"data": 6.1, "tokenizer": 1.2, "pretrain": 201.0, "sft": 33.0, "sample": 21.0, "rank": 2.0}
    seconds |= {"reward": 61.0, "ppo": 90.0, "evaluate": 19.0, "total": 434.3}
    write_json(run / "summary.json", {"name": "quickstart", "seconds": seconds, "peak_memory_bytes": 1_210_000_000})
    (run / "recipe.toml").write_text('name = "quickstart"\nseed = 0\n\n[ppo]\nkl_coef = 0.02\n' + f"# {text}\n")
    return run


class Page(HTMLParser):
    """Checks nesting and ids while it reads, and collects what a test wants to look at."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def make(run: Path) -> tuple[str, Page]:
    out = run / "report.html"
    summary = report(ReportConfig(), run=run, out=out)
    html = out.read_text(encoding="utf-8")
    assert summary["bytes"] == len(html.encode())
    models = {path.parent for path in run.rglob("provenance.json") if not path.parent.is_symlink()}
    assert summary["cards"] == len(models - {run / "data", run / "evaluation"})
    return html, Page(html)


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose report is made, for tests that only look."""
    run = fake_run(tmp_path_factory.mktemp("ordinary") / "run")
    make(run)
    return run


def read(run: Path) -> tuple[str, Page]:
    html = (run / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


def test_a_whole_run_shows_every_part(tmp_path: Path) -> None:
    html, page = make(fake_run(tmp_path / "quickstart", rounds=2))
    assert html.lstrip().lower().startswith("<!doctype html>")
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for expected in (
        "PPO over SFT",
        "66.4 %",
        "63.4 to 69.4",
        "Truthfulness in numbers",
        "Rater agreement and the reward model",
        "PPO, round 1",
        "PPO, round 2",
        "Best of 16 over SFT",
        "Over-optimisation: after the best iteration",
        "Kept, without looking at gold: iteration 20",
        "An answer had 20.0 tokens before PPO and 84.0 at the end. Length blow-up",
        "a weight for every word with the labelers",
        "14.2 % [12.2, 16.2]",
        "Agreement with the labelers by source of the rankings",
        "open-assistant",
        "Expected calibration error 5.1 %; a model whose probabilities are right would show 1.2 %",
        "0.80 [0.70, 0.90]",
        "1.70 [1.60, 1.80]",
        "3.10 [3.07, 3.13]",
        "7 min 14 s",
        "1.21 GB",
        "kl_coef = 0.02",
        "2.13.0",
    ):
        assert expected in page.text, expected


def test_what_was_left_out_of_the_data_is_told(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    counts = {"corpus": 1200, "corpus_heldout": 30, "rankings_train": 536, "rankings_dev": 39, "rankings_heldout": 125}
    dropped = {"prompts of too many words": 1848, "repeated prompts": 0}
    skipped = {"rankings": {"pairs whose judgement a ranking cannot keep": 54}}
    data = {"source": "files", "counts": counts | {"demonstrations": 40}, "dropped": dropped, "skipped": skipped}
    write_json(run / "summary.json", json.loads((run / "summary.json").read_text()) | {"data": data})
    page = make(run)[1]
    for expected in (
        "documents 1,200 – 30",
        "demonstrations 40 – –",
        "rankings 536 39 125",
        "prompts of too many words 1,848 rankings: pairs whose judgement a ranking cannot keep 54",
    ):
        assert expected in page.text, expected
    assert "repeated prompts" not in page.text, "nothing was dropped for it"
    assert "data" in page.ids
    assert section({"source": "files", "counts": counts, "dropped": {}, "skipped": {}})["left_out"] is None
    assert section({"source": "atlas", "counts": {"corpus": 3}}) == {}, "its world is made, not read"


def test_the_page_needs_nothing_from_outside(ordinary: Path) -> None:
    html, page = read(ordinary)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value is not None
            assert value.startswith("#")
    styles = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in styles
    assert "@import" not in styles
    assert re.findall(r"url\((?!#)", html) == []


def test_text_from_the_data_is_escaped(tmp_path: Path) -> None:
    html, page = make(fake_run(tmp_path / "run", text=EVIL))
    assert "<script" not in html
    assert "<img" not in html
    assert "onerror" not in dict(page.attributes)
    assert EVIL in page.text


def test_twenty_prompts_by_the_rule_with_three_answers_each(ordinary: Path) -> None:
    html, page = read(ordinary)
    assert page.tags.count("article") == 20
    reasons = re.findall(r'class="meta">heldout-(\d+) · [\w ]+ · ([\w ]+)<', html)
    assert [why for _, why in reasons] == ["spread over kinds"] * 10 + ["gains most"] * 5 + ["loses most"] * 5
    assert len({prompt for prompt, _ in reasons}) == 20
    assert html.count('class="answer ppo"') == 20


def test_colours_follow_the_page(ordinary: Path) -> None:
    html, _ = read(ordinary)
    drawings = re.findall(r"<svg .*?</svg>", html, re.DOTALL)
    assert len(drawings) > 30
    for drawing in drawings:
        assert 'role="img"' in drawing
        assert re.search(r'aria-label="[^"]+"', drawing)
        assert re.findall(r"#[0-9a-fA-F]{6}\b", drawing) == []  # every colour is a variable of the page


def test_the_same_run_gives_the_same_bytes(ordinary: Path) -> None:
    before, _ = read(ordinary)
    assert make(ordinary)[0] == before


def test_without_gold_the_reward_model_judges_and_is_named(tmp_path: Path) -> None:
    _, page = make(fake_run(tmp_path / "human", gold=False))
    assert "the reward model scores each answer" in page.text
    assert "flatters" in page.text or "flatter it" in page.text
    assert "the second reward model, which PPO never maximised, stands in for it. It gave 0.000 before PPO" in page.text
    assert "Kept: iteration 20, at a KL of 5.00 nats." in page.text
    assert "Length blow-up" in page.text
    assert "Truthfulness" not in page.text
    assert "Harmlessness" not in page.text
    assert page.tags.count("article") == 20


def test_without_ppo_the_rest_is_shown(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    evaluation = fake_evaluation()
    for key in ("mean_length", "eos_share", "perplexity", "reward_score"):
        evaluation[key].pop("ppo")
    evaluation["helpfulness"] = {"sft_vs_base": interval(0.8)}
    evaluation |= {"kl": {}, "snapshots": {}}
    write_json(run / "evaluation" / "evaluation.json", evaluation)
    _, page = make(run)
    assert "SFT over Base" in page.text
    assert "Perplexity, SFT against Base" in page.text


@pytest.mark.parametrize("missing", ["evaluation", "summary.json", "recipe.toml", "rounds", "base", "sft"])
def test_whatever_is_missing_is_left_out(tmp_path: Path, missing: str) -> None:
    run = fake_run(tmp_path / "run")
    path = run / missing
    path.rename(tmp_path / "away")
    _, page = make(run)
    assert page.open == []
    assert "What it cost" in page.text


def test_a_torn_metrics_line_is_passed_over(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    with (run / "sft" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 91, "lo')
    make(run)


def test_an_empty_metrics_file_and_null_metrics_do_no_harm(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    (run / "sft" / "metrics.jsonl").write_text("")
    rows = [{"step": 1, "loss": None, "note": "text"}, {"step": 2, "loss": 1.0, "flag": True}]
    (run / "base" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make(run)


def test_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run directory"):
        report(ReportConfig(), run=tmp_path / "none", out=tmp_path / "report.html")
    with pytest.raises(InputError, match="holds no finished stage"):
        report(ReportConfig(), run=tmp_path, out=tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
