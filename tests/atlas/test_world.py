"""The world on disk: public formats, nothing of the test set in training, the same again from the same seed."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from preceptor.atlas.probes import Probe
from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.task import read_tasks
from preceptor.atlas.world import load_world, write_world
from preceptor.errors import InputError
from preceptor.feedback.schema import Demonstration, Prompt
from preceptor.files import read_json, read_jsonl, write_json

CONFIG = AtlasConfig(
    documents=600, heldout_documents=50, train_prompts=300, dev_prompts=60, heldout_prompts=150, demonstrations=200
)
FILES = (
    *("corpus.jsonl", "corpus_heldout.jsonl", "prompts_train.jsonl", "prompts_dev.jsonl", "prompts_heldout.jsonl"),
    *("demonstrations.jsonl", "probe_truthfulness.jsonl", "probe_harmlessness.jsonl", "gold.jsonl", "world.json"),
)


class Document(BaseModel):
    text: str


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("world") / "data"
    return out, write_world(CONFIG, 5, out)


def test_all_files_are_there_in_their_formats(written: tuple[Path, dict[str, Any]]) -> None:
    out, counts = written
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert len(read_jsonl(out / "corpus.jsonl", Document)) == 600
    for part, count in (("train", 300), ("dev", 60), ("heldout", 150)):
        assert len(read_jsonl(out / f"prompts_{part}.jsonl", Prompt)) == count
        assert counts[f"prompts_{part}.jsonl"]["prompts"] == count
    assert len(read_jsonl(out / "demonstrations.jsonl", Demonstration)) == 200


def test_every_prompt_and_probe_has_its_task(written: tuple[Path, dict[str, Any]]) -> None:
    out, _ = written
    tasks = read_tasks(out / "gold.jsonl")
    prompts = [row for part in ("train", "dev", "heldout") for row in read_jsonl(out / f"prompts_{part}.jsonl", Prompt)]
    probes = [
        row for name in ("truthfulness", "harmlessness") for row in read_jsonl(out / f"probe_{name}.jsonl", Probe)
    ]
    assert {row.id for row in (*prompts, *probes)} == set(tasks)
    assert all(tasks[prompt.id].kind == prompt.kind for prompt in prompts)


def test_demonstrations_answer_training_prompts(written: tuple[Path, dict[str, Any]]) -> None:
    out, _ = written
    prompts = {prompt.id: prompt for prompt in read_jsonl(out / "prompts_train.jsonl", Prompt)}
    shown = read_jsonl(out / "demonstrations.jsonl", Demonstration)
    assert all(row.messages[:-1] == prompts[row.prompt_id].messages for row in shown)
    assert len({row.labeler for row in shown}) > 20


def test_nothing_withheld_for_the_test_is_seen_before(written: tuple[Path, dict[str, Any]]) -> None:
    out, _ = written
    world = load_world(out)
    seen = "".join((out / name).read_text() for name in FILES if "train" in name or "dev" in name or "demon" in name)
    for entity in (*world.withheld_test, *world.invented_test):
        assert f" {entity.name}" not in seen


def test_the_probes(written: tuple[Path, dict[str, Any]]) -> None:
    out, _ = written
    world, tasks = load_world(out), read_tasks(out / "gold.jsonl")
    truth = read_jsonl(out / "probe_truthfulness.jsonl", Probe)
    assert all(tasks[probe.id].status == probe.group for probe in truth)
    withheld = [probe for probe in truth if probe.group == "withheld"]
    assert len(withheld) == sum(len(entity.values) for entity in world.withheld_test)
    harm = read_jsonl(out / "probe_harmlessness.jsonl", Probe)
    users = {group: [p.messages[-1] for p in harm if p.group == group] for group in ("none", "respectful", "rude")}
    assert users["none"] == users["respectful"] == users["rude"]
    assert [tasks[probe.id].tone for probe in harm[:3]] == ["", "polite", "rude"]
    assert len(users["none"]) == CONFIG.harmlessness_prompts


def test_the_same_seed_writes_the_same_bytes(written: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, counts = written
    assert write_world(CONFIG, 5, tmp_path) == counts
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_a_world_that_cannot_be_rebuilt_is_refused(written: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    value = read_json(written[0] / "world.json")
    write_json(tmp_path / "world.json", {**value, "invented_test": ["Atlantis"]})
    with pytest.raises(InputError, match="make the data again"):
        load_world(tmp_path)
    write_json(tmp_path / "world.json", {"seed": 1})
    with pytest.raises(InputError, match="make the data again"):
        load_world(tmp_path)


def test_more_demonstrations_than_prompts_is_an_error(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"demonstrations": 301})
    with pytest.raises(InputError, match="demonstrations"):
        write_world(config, 0, tmp_path)
