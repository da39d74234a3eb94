"""Figures of runs, flat and beside each other."""

import csv
import json

import pytest

from preceptor.cli import main
from preceptor.files import write_json
from preceptor.reporting.figures import NamedFigure, flat, to_csv

EVALUATION = {
    "judge": "gold",
    "temperature": 1.0,
    "helpfulness": {"ppo_vs_sft": {"win_rate": 0.6, "low": 0.5, "high": 0.7, "n": 40}},
    "truthfulness": {"sft": {"known": {"true": 0.8, "false": 0.2, "n": 9, "intervals": {"true": [0.6, 0.9]}}}},
    "drift": {"ppo": {"reward_gain": {"mean": 0.4, "low": 0.1, "high": 0.7, "n": 16, "deviations": 0.5}}},
    "kept": True,
    "missing": None,
}


def test_every_number_is_found_once_with_its_interval():
    assert list(flat(EVALUATION)) == [
        NamedFigure("temperature", 1.0),
        NamedFigure("helpfulness.ppo_vs_sft", 0.6, 0.5, 0.7, 40),
        NamedFigure("truthfulness.sft.known.true", 0.8, 0.6, 0.9, 9),
        NamedFigure("truthfulness.sft.known.false", 0.2),
        NamedFigure("drift.ppo.reward_gain", 0.4, 0.1, 0.7, 16),
        NamedFigure("drift.ppo.reward_gain.deviations", 0.5),
    ]


def test_csv_has_a_row_a_figure_and_leaves_unknown_intervals_empty():
    text = to_csv({"a, b": list(flat(EVALUATION))}, "run")
    rows = list(csv.DictReader(text.splitlines()))
    assert rows[1] == {
        "run": "a, b",
        "name": "helpfulness.ppo_vs_sft",
        "value": "0.6",
        "low": "0.5",
        "high": "0.7",
        "n": "40",
    }
    assert rows[0]["low"] == ""


def run_directory(path, recipe, win_rate):
    value = EVALUATION | {"helpfulness": {"ppo_vs_sft": {"win_rate": win_rate, "low": 0.4, "high": 0.9, "n": 40}}}
    write_json(path / "evaluation" / "evaluation.json", value)
    write_json(path / "run.json", {"recipe": {"name": "<b>x</b>", "ppo": recipe}})
    return path


def test_compare_writes_a_page_and_the_figures(tmp_path, capsys):
    one = run_directory(tmp_path / "a" / "mine", {"lr": 0.1, "batch": 8}, 0.6)
    two = run_directory(tmp_path / "b" / "mine", {"lr": 0.2, "batch": 8}, 0.7)
    page = tmp_path / "both.html"
    assert main(["compare", str(one), str(two), "--out", str(page)]) == 0
    text = page.read_text()
    assert "a/mine" in text and "b/mine" in text  # names that tell them apart
    assert "ppo.lr" in text and "ppo.batch" not in text  # what differs
    assert "0.700" in text and "<script" not in text and "<b>x" not in text
    figures = json.loads(page.with_suffix(".json").read_text())
    assert figures["b/mine"][1]["value"] == 0.7
    assert page.with_suffix(".csv").read_text().count("\n") == 13
    assert "12 figures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no such run directory"),
        (["."], "holds no finished stage"),
        ([".", "."], "named twice"),
        ([".", "--out", "x.pdf"], "end its name with .html"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
