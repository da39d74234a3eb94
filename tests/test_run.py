"""A run directory: what is done stays done, what was killed goes on, and nothing strange gets in.

The stages here are fakes (tests/fakes.py).
"""

import hashlib
import inspect
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from preceptor.errors import InputError
from preceptor.ledger import Ledger, claimed, peak_memory
from preceptor.provenance import content_hash
from preceptor.recipe import Recipe
from preceptor.results import show_results
from preceptor.run import plan, round_seed, run
from preceptor.verbs import stage_function
from tests.fakes import QUIET, Fakes, killed_again_and_again, results


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("smoke", ["rounds=2"])


@pytest.fixture(scope="module")
def undisturbed(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("undisturbed")
    run(recipe, root, QUIET, Fakes().stages)
    return results(root)


ORDER = ["data", "tokenizer", "pretrain", "sft", *["sample", "rank", "reward", "ppo"] * 2, "evaluate", "report"]


def test_the_stages_come_in_order_and_the_results_lie_where_they_belong(recipe: Recipe, tmp_path: Path) -> None:
    fakes, root = Fakes(), tmp_path / "deep" / "run"
    summary = run(recipe, root, QUIET, fakes.stages)
    assert fakes.called == ORDER
    for name in ("base", "sft", "rounds/1/reward-check", "rounds/2/ppo"):
        assert (root / name / "model.safetensors").exists()
        assert (root / name / "provenance.json").exists()
    assert os.readlink(root / "ppo") == "rounds/2/ppo"
    assert os.readlink(root / "reward") == "rounds/2/reward"
    assert (root / "report.html").exists()
    assert Recipe.load(root / "recipe.toml") == recipe
    assert json.loads((root / "summary.json").read_text()) == summary


@pytest.mark.parametrize("overrides", [[], ["rounds=3"], ["reward.check_share=0.0"]])
def test_every_call_fits_the_real_stage(overrides: list[str], tmp_path: Path) -> None:
    for unit in plan(Recipe.load("smoke", overrides), tmp_path):
        extra: dict[str, Any] = {} if unit.stage == "report" else {"seed": unit.seed, "progress": QUIET}
        inspect.signature(stage_function(unit.stage)).bind(unit.config, **unit.inputs, **unit.outs, **extra)
        assert all((getattr(unit.config, key), True)[1] for key in unit.given)


def test_later_rounds_sample_the_newest_policy_and_learn_from_all_rankings(recipe: Recipe, tmp_path: Path) -> None:
    fakes = Fakes()
    run(recipe, tmp_path, QUIET, fakes.stages)
    samples = [call for name, call in fakes.calls if name == "sample"]
    assert samples[0]["models"] == {"sft": tmp_path / "sft"}
    assert samples[1]["models"] == {"sft": tmp_path / "sft", "ppo_round_1": tmp_path / "rounds/1/ppo"}
    assert samples[0]["seed"] == recipe.seed
    assert samples[1]["seed"] == round_seed(recipe.seed, 2) != recipe.seed
    rewards = [call for name, call in fakes.calls if name == "reward"]
    assert rewards[1]["rankings"] == [tmp_path / f"rounds/{number}/rankings.jsonl" for number in (1, 2)]
    (evaluation,) = [call for name, call in fakes.calls if name == "evaluate"]
    assert evaluation["models"]["ppo"] == tmp_path / "rounds/2/ppo"


def test_a_finished_run_is_left_as_it_is(recipe: Recipe, tmp_path: Path) -> None:
    first = run(recipe, tmp_path, QUIET, Fakes().stages)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = Fakes()
    assert run(recipe, tmp_path, QUIET, again.stages) == first
    assert again.called == []
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("stop", range(len(ORDER)))
def test_a_stopped_run_goes_on_with_the_stage_it_was_in(
    recipe: Recipe, tmp_path: Path, undisturbed: dict[str, str], stop: int
) -> None:
    def interrupt(stage: str, out: Path) -> None:
        if len(fakes.calls) == stop + 1:
            raise KeyboardInterrupt

    fakes = Fakes(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path, QUIET, fakes.stages)
    again = Fakes()
    run(recipe, tmp_path, QUIET, again.stages)
    assert again.called == ORDER[stop:]
    assert results(tmp_path) == undisturbed


def test_killed_at_any_moment_it_ends_with_the_same_files(
    recipe: Recipe, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    root = tmp_path / "killed"
    assert killed_again_and_again(lambda: run(recipe, root, QUIET, Fakes(slow=0.01).stages), 0.02, 0.013) > 2
    assert results(root) == undisturbed


def test_seconds_are_summed_over_restarts_and_stages(recipe: Recipe, tmp_path: Path) -> None:
    def stop_in_sft(stage: str, out: Path) -> None:
        if stage == "sft":
            time.sleep(0.2)
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path, QUIET, Fakes(stop_in_sft).stages)
    summary = run(recipe, tmp_path, QUIET, Fakes().stages)
    assert 0.4 <= summary["seconds"]["sft"] < 5
    parts = [value for name, value in summary["seconds"].items() if name != "total"]
    assert summary["seconds"]["total"] == pytest.approx(sum(parts), abs=0.01)
    assert list(summary["seconds"]) == [*dict.fromkeys(ORDER), "total"]
    assert summary["peak_memory_bytes"] >= 2**20


def test_the_memory_of_a_killed_attempt_counts(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path, QUIET, Fakes(_interrupt).stages)
    clock = json.loads((tmp_path / "clock.json").read_text())
    (tmp_path / "clock.json").write_text(json.dumps(clock | {"seconds": 100.0, "peak_memory_bytes": 2**50}))
    summary = run(recipe, tmp_path, QUIET, Fakes().stages)
    assert summary["peak_memory_bytes"] == 2**50
    assert summary["seconds"]["data"] >= 100


def _interrupt(stage: str, out: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("seed=5", ["seed is 0 there and 5 here"]),
        ("ppo.kl_coef=0.75", ["ppo.kl_coef is", "there and 0.75 here"]),
        ("data.atlas.countries=21", ["data.atlas.countries"]),
        ("rounds=1", ["rounds is 2 there and 1 here"]),
    ],
)
def test_a_directory_of_another_recipe_is_refused(
    recipe: Recipe, tmp_path: Path, override: str, parts: list[str]
) -> None:
    run(recipe, tmp_path, QUIET, Fakes().stages)
    before = results(tmp_path)
    with pytest.raises(InputError) as caught:
        run(Recipe.load("smoke", ["rounds=2", override]), tmp_path, QUIET, Fakes().stages)
    for part in [*parts, str(tmp_path), "--out"]:
        assert part in str(caught.value)
    assert results(tmp_path) == before


def test_a_directory_with_other_things_in_it_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("precious")
    with pytest.raises(InputError, match=r"holds thesis\.doc but no run"):
        run(recipe, tmp_path, QUIET, Fakes().stages)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]
    with pytest.raises(InputError, match="is a file"):
        run(recipe, tmp_path / "thesis.doc", QUIET, Fakes().stages)


def test_two_processes_do_not_share_a_directory(recipe: Recipe, tmp_path: Path) -> None:
    with claimed(tmp_path / "run"), pytest.raises(InputError, match="another process"):
        run(recipe, tmp_path / "run", QUIET, Fakes().stages)
    assert (tmp_path / "run" / ".lock").exists()
    run(recipe, tmp_path / "run", QUIET, Fakes().stages)


@pytest.mark.parametrize("existed", [False, True])
def test_unusable_input_leaves_nothing_behind(recipe: Recipe, tmp_path: Path, existed: bool) -> None:
    def refuse(stage: str, out: Path) -> None:
        out.mkdir()
        (out / "half").write_text("")
        raise InputError("corpus.txt: no such file")

    root = tmp_path / "run"
    if existed:
        root.mkdir()
    with pytest.raises(InputError, match=r"corpus\.txt"):
        run(recipe, root, QUIET, Fakes(refuse).stages)
    assert [path.name for path in tmp_path.rglob("*")] == (["run"] if existed else [])


def test_unusable_input_found_late_costs_nothing_that_is_done(recipe: Recipe, tmp_path: Path) -> None:
    def refuse(stage: str, out: Path) -> None:
        if stage == "sft":
            raise InputError("demonstrations.jsonl:3: bad")

    with pytest.raises(InputError):
        run(recipe, tmp_path, QUIET, Fakes(refuse).stages)
    assert (tmp_path / "base" / "model.safetensors").exists()
    again = Fakes()
    run(recipe, tmp_path, QUIET, again.stages)
    assert again.called == ORDER[3:]


def test_a_lost_output_is_made_again(recipe: Recipe, tmp_path: Path) -> None:
    run(recipe, tmp_path, QUIET, Fakes().stages)
    (tmp_path / "report.html").unlink()
    again = Fakes()
    run(recipe, tmp_path, QUIET, again.stages)
    assert again.called == ["report"]


def test_what_a_killed_process_left_half_written_is_swept_away(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path, QUIET, Fakes(_interrupt).stages)
    (tmp_path / ".base.4711.partial").mkdir()
    (tmp_path / ".base.4711.partial" / "half").write_text("")
    (tmp_path / ".notes.partial").write_text("somebody's own")
    run(recipe, tmp_path, QUIET, Fakes().stages)
    assert not (tmp_path / ".base.4711.partial").exists()
    assert (tmp_path / ".notes.partial").exists()


def test_output_of_other_inputs_is_removed_before_its_stage_runs_again(recipe: Recipe, tmp_path: Path) -> None:
    run(recipe, tmp_path, QUIET, Fakes().stages)
    ledger = json.loads((tmp_path / "run.json").read_text())
    ledger["units"]["sft"]["fingerprint"] = "of something else"
    (tmp_path / "run.json").write_text(json.dumps(ledger))
    (tmp_path / "sft" / "training.safetensors").write_text("a checkpoint that must not be taken up")
    again = Fakes()
    run(recipe, tmp_path, QUIET, again.stages)
    assert again.called == ["sft"]
    assert not (tmp_path / "sft" / "training.safetensors").exists()


def files_recipe(tmp_path: Path, *overrides: str) -> Recipe:
    for name in ("text.txt", "trees.jsonl"):
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text(name)
    named = [f'data.text=["{tmp_path}/text.txt"]', f'data.demonstrations=["{tmp_path}/trees.jsonl"]']
    return Recipe.load("human", [*named, f'data.rankings=["{tmp_path}/trees.jsonl"]', *overrides])


def test_rankings_of_people_take_the_place_of_simulated_ones(tmp_path: Path) -> None:
    fakes, root = Fakes(), tmp_path / "run"
    run(files_recipe(tmp_path), root, QUIET, fakes.stages)
    (call,) = [call for name, call in fakes.calls if name == "rank"]
    assert (call["config"].source, call["config"].file) == ("file", root / "data" / "rankings_train.jsonl")
    assert call["gold"] is None
    (call,) = [call for name, call in fakes.calls if name == "evaluate"]
    assert call["rankings"] == [root / "data" / "rankings_heldout.jsonl"]
    assert call["rankings_train"] == [root / "rounds/1/rankings.jsonl"]
    assert "reward-check" not in call["models"], "the recipe fits none"


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("data.text=[]", "data.text names no file"),
        ("data.demonstrations=[]", "data.demonstrations names no file"),
        ("data.rankings=[]", "data.rankings names no file"),
        ("rounds=2", "set rounds to 1"),
    ],
)
def test_what_nobody_could_make_is_refused_before_anything_runs(tmp_path: Path, override: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        run(files_recipe(tmp_path, override), tmp_path / "run", QUIET, Fakes().stages)
    assert not (tmp_path / "run").exists()


def test_a_source_file_that_changed_is_refused_and_a_lost_one_is_not_needed_again(tmp_path: Path) -> None:
    recipe, root = files_recipe(tmp_path), tmp_path / "run"
    run(recipe, root, QUIET, Fakes().stages)
    (tmp_path / "text.txt").write_text("other words")
    with pytest.raises(InputError, match=r"text\.txt: has changed"):
        run(recipe, root, QUIET, Fakes().stages)
    (tmp_path / "text.txt").unlink()
    again = Fakes()
    run(recipe, root, QUIET, again.stages)
    assert again.called == []


def test_provenance_names_parents_data_code_and_seed(recipe: Recipe, tmp_path: Path) -> None:
    run(recipe, tmp_path, QUIET, Fakes().stages)
    record = json.loads((tmp_path / "rounds/1/ppo/provenance.json").read_text())
    assert record["stage"] == "ppo"
    assert record["recipe"] == "smoke"
    assert record["seed"] == recipe.seed
    assert record["config"]["kl_coef"] == recipe.ppo.kl_coef
    weights = hashlib.sha256((tmp_path / "sft/model.safetensors").read_bytes()).hexdigest()
    assert record["parents"]["model"] == {"path": "../../../sft", "sha256": weights}
    assert set(record["parents"]) == {"model", "reward", "check"}
    assert {"prompts", "prompts_dev", "corpus"} <= set(record["data"])
    assert set(record["code"]) >= {"version"}
    assert set(record["libraries"]) >= {"python", "torch"}
    assert record["kept_step"] == 3
    assert str(tmp_path) not in json.dumps(record)
    base = json.loads((tmp_path / "base/provenance.json").read_text())
    assert base["model"]["hidden_size"] == recipe.model.hidden_size


def test_the_summary_has_the_keys_that_are_promised(recipe: Recipe, tmp_path: Path) -> None:
    summary = run(recipe, tmp_path, QUIET, Fakes().stages)
    reward = {"labeler_agreement": 0.7, "heldout_accuracy": 0.6, "check_heldout_accuracy": 0.5, "gold_accuracy": 0.8}
    assert summary["reward"] == reward
    assert summary["evaluation"]["helpfulness"]["ppo_vs_sft"]["win_rate"] == 0.6
    assert summary["ppo"] == {"kept_step": 3, "score": None}
    assert len(summary["rounds"]) == 2


def test_the_results_are_shown_with_the_report_and_the_way_to_talk(recipe: Recipe, tmp_path: Path) -> None:
    summary = run(recipe, tmp_path, QUIET, Fakes().stages)
    screen = io.StringIO()
    show_results(summary, tmp_path, Console(file=screen, width=100))
    for part in ("PPO over SFT", "60.0%", "55.0% to 65.0%", "known facts: true", "90.0%", "10.50", "80.0%"):
        assert part in screen.getvalue()
    assert f"chat --model {tmp_path / 'ppo'}" in screen.getvalue()
    assert str(tmp_path / "report.html") in screen.getvalue()
    assert "best" not in screen.getvalue()
    assert "unused" not in screen.getvalue()


def test_the_results_say_what_was_left_out_of_the_data(recipe: Recipe, tmp_path: Path) -> None:
    summary = run(recipe, tmp_path, QUIET, Fakes().stages)
    dropped = {"repeated prompts": 0, "prompts of too many words": 1848}
    summary["data"] = {"dropped": dropped, "skipped": {"rankings": {"answers that not all are rated": 54}}}
    screen = io.StringIO()
    show_results(summary, tmp_path, Console(file=screen, width=100))
    line = "unused  1,848 prompts of too many words; 54 rankings: answers that not all are rated\n"
    assert line in screen.getvalue()


def test_a_run_of_another_format_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="another version"):
        Ledger(tmp_path, recipe)


def test_peak_memory_is_in_bytes() -> None:
    assert 2**24 < peak_memory() < 2**40


def test_a_model_in_shards_is_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    vocabulary = content_hash(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    (tmp_path / "model-00001-of-00002.safetensors").write_text("one")
    (tmp_path / "model-00002-of-00002.safetensors").write_text("two")
    first = content_hash(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_text("other")
    assert len({vocabulary, first, content_hash(tmp_path)}) == 3


def test_a_reward_model_for_sft_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    recipe = Recipe.load("smoke", [f"sft.reward={tmp_path / 'nowhere'}"])
    with pytest.raises(InputError, match=r"sft.reward: .*nowhere is no directory"):
        plan(recipe, tmp_path / "run")
