"""Rounds behind a finished run: what is taken in and what is not, and that a stopped round goes on.

Where stages run they are fakes, save in the last test, where three rounds are real.
"""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from preceptor.atlas.task import read_tasks
from preceptor.atlas.world import write_world
from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.feedback.hygiene import part_of, prompt_key
from preceptor.feedback.schema import Prompt, Ranking
from preceptor.feedback.store import open_store
from preceptor.feedback.store.load import LOADERS
from preceptor.files import read_jsonl, write_jsonl
from preceptor.provenance import content_hash
from preceptor.recipe import Recipe
from preceptor.reporting.rounds import section
from preceptor.round_cli import go_on, take_in_next
from preceptor.rounds import read_added
from preceptor.rounds.intake import Offered, Taken, take_in
from preceptor.rounds.known import shares_of
from preceptor.run import run
from preceptor.verbs import STAGES, stage_function
from tests.fakes import QUIET, Fakes, killed_again_and_again, results

LONG = "Please tell me in one short sentence and without any further words what the name of the town there is:"


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def prompt(name: str, text: str, user: str = "") -> dict[str, Any]:
    return {"id": name, "user": user or name, "messages": [{"role": "user", "content": text}]}


def ranking(name: str, text: str, *, ranks: tuple[int, ...] = (1, 2), labeler: str = "ann") -> dict[str, Any]:
    responses = [{"text": f"answer {rank} {place}"} for place, rank in enumerate(ranks)]
    asked = prompt(name, text)
    return {
        "prompt_id": name,
        "messages": asked["messages"],
        "responses": responses,
        "ranks": ranks,
        "labeler": labeler,
    }


def of(part: str, recipe: Recipe, start: str = "user") -> str:
    """The id of a user who falls on this side of the run's split."""
    ids = (f"{start}-{number}" for number in range(1000))
    return next(one for one in ids if part_of(one, shares_of(recipe), recipe.seed) == part)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for name in ("text.txt", "trees.jsonl"):
        (tmp_path / name).write_text(name)
    named = [f'data.{key}=["{tmp_path}/trees.jsonl"]' for key in ("demonstrations", "rankings")]
    return Recipe.load("human", [*named, f'data.text=["{tmp_path}/text.txt"]', "data.prompts_per_user=2"])


@pytest.fixture
def root(tmp_path: Path, recipe: Recipe) -> Path:
    """The data of a run and the rankings of its first round, as far as an intake reads them."""
    root = tmp_path / "run"
    write_data(root / "data", of("train", recipe, "old"))
    write_jsonl(root / "rounds/1/rankings.jsonl", [ranking("old", "Say old")])
    return root


def write_data(data: Path, user: str) -> None:
    asked, answer = prompt("old", "Say old", user), {"role": "assistant", "content": "old"}
    rows = {
        "prompts_train": [asked, prompt("old-2", f"{LONG} Ulm")],
        "prompts_dev": [prompt("chosen", "Say chosen", "chooser")],
        "prompts_heldout": [prompt(name, f"Say {name}", "measurer") for name in ("measured", "bob@example.com")],
        "demonstrations": [{"prompt_id": "old", "messages": [asked["messages"][0], answer]}],
        "rankings_train": [ranking("old", "Say old")],
    }
    for name, lines in rows.items():
        write_jsonl(data / f"{name}.jsonl", lines)


def offer(tmp_path: Path, *rows: dict[str, Any], pii: Any = "off", settings: tuple[str, ...] = ()) -> Offered:
    """The rows as files: rankings and prompts."""
    files: dict[str, list[Path]] = {"prompts": [], "rankings": []}
    for kind, mine in (("prompts", "user"), ("rankings", "ranks")):
        lines = [row for row in rows if mine in row]
        if lines:
            write_jsonl(tmp_path / f"new-{kind}.jsonl", lines)
            files[kind].append(tmp_path / f"new-{kind}.jsonl")
    return Offered(files["prompts"], files["rankings"], settings=settings, pii=pii)


def test_what_was_used_or_is_held_out_is_left_out(tmp_path: Path, recipe: Recipe, root: Path) -> None:
    known = of("train", recipe, "old")  # has one prompt in the run, and may have two
    rows = [
        prompt("new", "Say new", of("train", recipe)),
        prompt("again", "say  OLD", of("train", recipe, "b")),
        prompt("words", "Say measured", of("train", recipe, "c")),
        prompt("theirs", "Say theirs", "measurer"),
        prompt("hashed", "Say hashed", of("heldout", recipe)),
        prompt("like", f"{LONG} Bonn", of("train", recipe, "d")),
        prompt("second", "Say second", known),
        prompt("third", "Say third", known),
        ranking("new", "Say new"),
    ]
    taken = take_in(root, recipe, [], offer(tmp_path, *rows))
    data = root / "rounds/2/data"
    new = {one.id for one in read_jsonl(data / "prompts.jsonl", Prompt)}
    assert new - {"second", "third"} == {"new"}
    assert len(new) == 2, "one more of a user who had one, and not two"
    assert taken == Taken(2, 2, 1, taken.left_out)
    reasons = dict(taken.left_out)
    assert reasons.pop("prompts of held-out users") == 2
    assert reasons == {
        "prompts that the run has already": 1,
        "prompts that the evaluation asks": 1,
        "prompts with a shared prefix": 1,
        "prompts beyond the limit of their user": 1,
    }
    everything = [one.id for one in read_jsonl(data / "prompts_train.jsonl", Prompt)]
    assert everything[:2] == ["old", "old-2"] and set(everything[2:]) == new


def test_judgements_are_used_once_and_not_of_those_who_are_held_out(tmp_path: Path, recipe: Recipe, root: Path) -> None:
    heldout = of("heldout", recipe)
    rows = [
        prompt("secret", "Say secret", heldout),
        ranking("fresh", "Say fresh", labeler="bob"),
        ranking("fresh", "Say fresh", labeler="eve"),
        ranking("old", "Say old"),  # of the first round
        ranking("old", "Say old", labeler="cat"),
        ranking("tied", "Say tied", ranks=(1, 1)),
        ranking("measured", "Say measured"),
        ranking("secret", "Say secret"),
    ]
    taken = take_in(root, recipe, [], offer(tmp_path, *rows))
    kept = read_jsonl(root / "rounds/2/data/rankings.jsonl", Ranking)
    assert [(one.prompt_id, one.labeler) for one in kept] == [("fresh", "bob"), ("fresh", "eve"), ("old", "cat")]
    assert taken.number == 2
    assert taken.left_out["rankings that were used before"] == 1
    assert taken.left_out["rankings in which all are tied"] == 1
    assert taken.left_out["rankings of held-out users or prompts"] == 2
    added = read_added(root, recipe)
    again = take_in(root, recipe, added, offer(tmp_path, *rows))
    assert (again.number, again.left_out["rankings that were used before"]) == (None, 4)
    assert not (root / "rounds/3").exists()
    assert not (root / ".intake").exists()


def test_personal_data_is_out_of_prompts_and_responses(tmp_path: Path, recipe: Recipe, root: Path) -> None:
    judged = ranking("mail", "Write to ann@example.com")
    judged["responses"][0]["text"] = "Dear ann@example.com, hello."
    measured = prompt("measured", "Say bob@example.com", of("train", recipe))
    taken = take_in(root, recipe, [], offer(tmp_path, judged, measured, pii="redact"))
    assert taken.left_out["prompts that the evaluation asks"] == 1, "known though its words are others now"
    said = "".join(path.read_text() for path in (root / "rounds/2/data").iterdir())
    assert "ann@example.com" not in said
    (kept,) = read_jsonl(root / "rounds/2/data/rankings.jsonl", Ranking)
    assert kept.messages[0].content == "Write to <EMAIL_ADDRESS>"
    assert kept.responses[0].text == "Dear <EMAIL_ADDRESS>, hello."
    again = take_in(root, recipe, read_added(root, recipe), offer(tmp_path, judged, pii="redact"))
    assert again.number is None


def test_prompts_wait_until_somebody_can_rank(tmp_path: Path, recipe: Recipe, root: Path) -> None:
    asked = prompt("new", "Say new", of("train", recipe))
    with pytest.raises(InputError, match=r"nobody is there to rank answers to 1 new prompts"):
        take_in(root, recipe, [], offer(tmp_path, asked))
    assert not (root / "rounds/2").exists()
    taken = take_in(root, recipe, [], Offered(settings=['rank.source="app"']))
    assert (taken.number, taken.prompts) == (2, 1)
    (added,) = read_added(root, recipe)
    assert added.ranks and not added.given
    assert added.recipe.rank.source == "app" and recipe.rank.source != "app"


def test_a_store_gives_both_and_nothing_twice(tmp_path: Path, recipe: Recipe, root: Path) -> None:
    database = tmp_path / "feedback.db"
    offered = offer(tmp_path, *new_rows(recipe))
    with closing(open_store(database)) as store:
        LOADERS["prompts"](store, offered.prompts[0])
        LOADERS["rankings"](store, offered.rankings[0])
    taken = take_in(root, recipe, [], Offered(store=database, pii="off"))
    assert (taken.number, taken.rankings) == (2, 1)
    (kept,) = read_jsonl(root / "rounds/2/data/rankings.jsonl", Ranking)
    assert kept.messages[0].content == "Say new judged"
    assert kept.labeler not in ("", "ann"), "a pseudonym"
    again = take_in(root, recipe, read_added(root, recipe), Offered(store=database, pii="off"))
    assert again.number is None and not (root / "rounds/3").exists()


@pytest.mark.parametrize("setting", ["evaluate.prompts=5", "seed=3", "data.source=files"])
def test_what_makes_rounds_comparable_stays(tmp_path: Path, recipe: Recipe, root: Path, setting: str) -> None:
    with pytest.raises(InputError, match=r"a round may change sample, rank, reward, ppo only"):
        take_in(root, recipe, [], offer(tmp_path, ranking("a", "Say a"), settings=(setting,)))


def test_simulated_users_are_new_in_each_round_and_their_tasks_are_known(tmp_path: Path) -> None:
    recipe = Recipe.load("smoke")
    write_world(recipe.data.atlas, recipe.seed, tmp_path / "data")
    for count in (30, 20):
        added = read_added(tmp_path, recipe)
        take_in(tmp_path, recipe, added, Offered(simulated=count, pii="off"))
    first, second = read_added(tmp_path, recipe)
    seen = {prompt_key(one) for one in read_jsonl(tmp_path / "data/prompts_train.jsonl", Prompt)}
    users: set[str] = set()
    for one, count in ((first, 30), (second, 20)):
        prompts = read_jsonl(one.data / "prompts.jsonl", Prompt)
        assert count * 0.8 <= len(prompts) <= count
        assert read_tasks(one.data / "gold.jsonl").keys() == {asked.id for asked in prompts}
        assert all(part_of(asked.user, shares_of(recipe), recipe.seed) == "train" for asked in prompts)
        assert not seen & {prompt_key(asked) for asked in prompts}
        assert not users & {asked.user for asked in prompts}
        seen |= {prompt_key(asked) for asked in prompts}
        users |= {asked.user for asked in prompts}
        assert one.ranks
    before = {one.id for one in read_jsonl(first.data / "prompts_train.jsonl", Prompt)}
    assert before < {one.id for one in read_jsonl(second.data / "prompts_train.jsonl", Prompt)}


# the run ------------------------------------------------------------------------------------------


class Lifelike(Fakes):
    """Fakes whose data and rankings an intake can read."""

    def __init__(
        self, recipe: Recipe, before: Callable[[str, Path], None] = lambda stage, out: None, slow: float = 0.0
    ):
        super().__init__(before, slow)
        fake_data, fake_rank = self.stages["data"], self.stages["rank"]

        def data(config: Any, *, out: Path, **arguments: Any) -> dict[str, Any]:
            made = fake_data(config, out=out, **arguments)
            write_data(out, of("train", recipe, "old"))
            return made

        def rank(config: Any, *, out: Path, **arguments: Any) -> dict[str, Any]:
            made = fake_rank(config, out=out, **arguments)
            write_jsonl(out, [ranking("old", "Say old")])
            return made

        self.stages |= {"data": data, "rank": rank}


FULL = ["sample", "rank", "reward", "ppo", "evaluate", "report"]
PEOPLE = ('rank.source="app"',)


@pytest.fixture
def finished(tmp_path: Path, recipe: Recipe) -> Path:
    run(recipe, tmp_path / "run", QUIET, Lifelike(recipe).stages)
    return tmp_path / "run"


def new_rows(recipe: Recipe, name: str = "new") -> list[dict[str, Any]]:
    return [prompt(name, f"Say {name}", of("train", recipe)), ranking(f"{name}-judged", f"Say {name} judged")]


def test_a_round_is_a_part_of_the_run_from_then_on(tmp_path: Path, recipe: Recipe, finished: Path) -> None:
    root, fakes = finished, Lifelike(recipe)
    before = content_hash(root / "rounds/1/ppo/model.safetensors")
    take_in_next(root, offer(tmp_path, *new_rows(recipe), settings=PEOPLE))
    summary = go_on(root, fakes.stages, QUIET)
    assert fakes.called == FULL
    calls = dict(fakes.calls)
    assert calls["sample"]["models"] == {"sft": root / "sft", "ppo_round_1": root / "rounds/1/ppo"}
    assert calls["sample"]["prompts"] == root / "rounds/2/data/prompts.jsonl"
    assert calls["rank"]["config"].queue == "rankings, round 2"
    files = ["rounds/1/rankings.jsonl", "rounds/2/rankings.jsonl", "rounds/2/data/rankings.jsonl"]
    assert calls["reward"]["rankings"] == [root / name for name in files]
    assert calls["ppo"]["model"] == root / "sft", "which is the reference for the KL, too"
    assert calls["ppo"]["prompts"] == root / "rounds/2/data/prompts_train.jsonl"
    assert calls["evaluate"]["models"]["ppo_round_1"] == root / "rounds/1/ppo"
    assert calls["evaluate"]["models"]["ppo"] == root / "rounds/2/ppo"
    assert os.readlink(root / "ppo") == "rounds/2/ppo"
    assert content_hash(root / "rounds/1/ppo/model.safetensors") == before
    assert summary["rounds"][1]["given"] == {"prompts": 2, "rankings": 1}

    again = Lifelike(recipe)
    assert run(recipe, root, QUIET, again.stages) == summary, "the run's own command knows the round"
    taken = take_in_next(root, offer(tmp_path, *new_rows(recipe)))
    assert taken is not None and taken.number is None
    go_on(root, again.stages, QUIET)
    assert again.called == []

    take_in_next(root, offer(tmp_path, ranking("only", "Say only")))
    go_on(root, again.stages, QUIET)
    assert again.called == FULL[2:], "nobody can rank: the given rankings are what is new"
    calls = dict(again.calls)
    assert calls["reward"]["rankings"] == [root / name for name in [*files, "rounds/3/data/rankings.jsonl"]]


@pytest.mark.parametrize("stop", range(len(FULL)))
def test_a_stopped_round_goes_on_and_takes_in_nothing_new(
    tmp_path: Path, recipe: Recipe, finished: Path, stop: int
) -> None:
    def interrupt(stage: str, out: Path) -> None:
        if len(fakes.calls) == stop + 1:
            raise KeyboardInterrupt

    fakes = Lifelike(recipe, interrupt)
    take_in_next(finished, offer(tmp_path, *new_rows(recipe), settings=PEOPLE))
    with pytest.raises(KeyboardInterrupt):
        go_on(finished, fakes.stages, QUIET)
    assert take_in_next(finished, offer(tmp_path, *new_rows(recipe, "later"))) is None
    again = Lifelike(recipe)
    go_on(finished, again.stages, QUIET)
    assert again.called == FULL[stop:]
    assert not (finished / "rounds/3").exists()


def one_round(root: Path, offered: Offered, fakes: Fakes) -> None:
    take_in_next(root, offered)
    go_on(root, fakes.stages, QUIET)


def test_killed_at_any_moment_a_round_ends_with_the_same_files(tmp_path: Path, recipe: Recipe, finished: Path) -> None:
    offered, untouched = offer(tmp_path, *new_rows(recipe), settings=PEOPLE), tmp_path / "untouched"
    shutil.copytree(finished, untouched, symlinks=True)
    one_round(finished, offered, Lifelike(recipe))
    shutil.copytree(finished, tmp_path / "whole", symlinks=True)
    shutil.rmtree(finished)
    untouched.rename(finished)  # in the same place: provenance and the app's queue name paths
    work = partial(one_round, finished, offered, Lifelike(recipe, slow=0.01))
    assert killed_again_and_again(work, 0.05, 0.03) > 1
    assert learnt(finished) == learnt(tmp_path / "whole")


def learnt(root: Path) -> dict[str, str]:
    """The outputs of the stages and what the rounds were given; the pool keeps a report of each attempt."""
    binary = root / "prompts/index.parquet"
    binary.unlink()
    return {name: text for name, text in results(root).items() if not name.startswith("prompts/reports")}


def test_a_changed_file_of_a_round_is_named(tmp_path: Path, recipe: Recipe, finished: Path) -> None:
    take_in_next(finished, offer(tmp_path, ranking("a", "Say a")))
    path = finished / "rounds/2/data/rankings.jsonl"
    path.write_text(path.read_text().replace("answer 1", "answer 9"))
    with pytest.raises(InputError, match=r"rankings\.jsonl: has changed since round 2 began"):
        go_on(finished, Lifelike(recipe).stages, QUIET)


def test_only_a_finished_run_gets_a_round(tmp_path: Path, recipe: Recipe) -> None:
    def refuse(stage: str, out: Path) -> None:
        if stage == "ppo":
            raise KeyboardInterrupt

    with pytest.raises(InputError, match=r"holds no run"):
        take_in_next(tmp_path / "run", Offered())
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "run", QUIET, Lifelike(recipe, refuse).stages)
    with pytest.raises(InputError, match=r"the run is not finished; `preceptor run human --out"):
        take_in_next(tmp_path / "run", Offered())


SMALL = [
    "data.atlas.documents=200", "data.atlas.train_prompts=60", "data.atlas.demonstrations=40", "pretrain.tokens=8000",
    "sft.epochs=1", "sample.prompts=16", "sample.max_new_tokens=8", "ppo.episodes=16", "ppo.batch=8", "ppo.minibatch=8",
    "ppo.max_new_tokens=8", "ppo.snapshots=1", "ppo.snapshot_prompts=4", "evaluate.prompts=8", "evaluate.probes=2",
    "evaluate.greedy_prompts=0", "evaluate.best_of_prompts=0", "evaluate.reward_prompts=4", "evaluate.format_prompts=2",
    "evaluate.max_new_tokens=8", "evaluate.resamples=100",
]  # fmt: skip


def test_three_rounds_with_simulated_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, shown = tmp_path / "run", []
    # The many small charts of the stages take longer than the stages.
    monkeypatch.setattr("preceptor.stages.report.render_page", lambda record: shown.append(section(record)) or "page")
    stages = {name: stage_function(name) for name in STAGES}
    run(Recipe.load("smoke", SMALL), root, QUIET, stages)
    take_in_next(root, Offered(simulated=20, pii="off"))
    go_on(root, stages, QUIET)
    assert main(["round", "--run", str(root), "--simulated", "20", "--pii", "off", "--quiet"]) == 0
    output = capsys.readouterr().out
    assert "round 3: " in output and "PPO over PPO round 2" in output
    assert main(["round", "--run", str(root), "--quiet"]) == 0
    assert "nothing new since the last round" in capsys.readouterr().out
    evaluation = json.loads((root / "evaluation/evaluation.json").read_text())
    for key in ("ppo_round_1_vs_sft", "ppo_round_2_vs_ppo_round_1", "ppo_vs_ppo_round_2", "ppo_vs_sft"):
        assert evaluation["helpfulness"][key]["n"] == 8
    assert [len(page["results"].rows) if page else 0 for page in shown] == [0, 3, 4]
    told = json.loads((root / "rounds/3/reward/provenance.json").read_text())
    assert sum("rankings" in name for name in told["data"]) == 3
