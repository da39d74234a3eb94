"""Names of the hub, and what is said when the library, the network or the dataset is not there. No network here."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.readers import hub, read_rankings
from preceptor.feedback.readers.hub import HubName
from preceptor.feedback.readers.records import open_source

PAIR = {"prompt": "p", "chosen": "a", "rejected": "b", "extra": None}


class DatasetNotFoundError(FileNotFoundError):
    """As in `datasets`."""


def library(monkeypatch: pytest.MonkeyPatch, splits: dict[str, list[Any]], **more: Any) -> dict[str, Any]:
    """Put a stand-in for `datasets` in its place; gives what it was asked for."""
    asked: dict[str, Any] = {}
    module = "datasets.packaged_modules." + more.get("kind", "parquet.parquet")

    class Builder:
        info = SimpleNamespace(splits=dict.fromkeys(splits))

        def download_and_prepare(self) -> None:
            asked["prepared"] = True

        def as_dataset(self, split: str) -> list[Any]:
            asked["split"] = split
            return splits[split]

    Builder.__module__ = more.get("module", module)

    def load_dataset_builder(path: str, name: str | None, revision: str | None) -> Builder:
        asked.update(path=path, name=name, revision=revision)
        if "error" in more:
            raise more["error"]
        return Builder()

    fake = ModuleType("datasets")
    fake.__dict__.update(__version__=more.get("version", "5.2.0"), load_dataset_builder=load_dataset_builder)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", HubName("owner/name", sure=False)),
        ("owner/na.me_x:config/train", HubName("owner/na.me_x", None, "config", "train", sure=False)),
        ("owner/name@v1.0/test", HubName("owner/name", "v1.0", None, "test", sure=False)),
        ("hf://datasets/owner/name", HubName("owner/name")),
        ("hf://datasets/owner/name:c/s", HubName("owner/name", None, "c", "s")),
        ("hf://datasets/owner/name@v1/a/b.jsonl.gz", HubName("owner/name", "v1", file="a/b.jsonl.gz")),
        ("data/train.jsonl", None),
        ("train", None),
        ("./owner/name", HubName("owner/name", sure=False)),  # what pathlib makes of it
        ("/abs/owner", None),
        ("../owner/name", None),
    ],
)
def test_names(text: str, expected: HubName | None) -> None:
    assert hub.parse(Path(text)) == expected


@pytest.mark.parametrize(
    "text", ["hf://datasets/name", "hf://models/owner/name", "hf://x", "hf://datasets/o/n/../../x.json"]
)
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match=r"hf://.*: give a dataset as hf://datasets/owner/name"):
        hub.parse(Path(text))


def test_a_file_that_exists_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name").write_text('{"text": "here"}\n')
    assert open_source(Path("owner/name")).form == "JSON lines"


def test_rows_are_read_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = library(monkeypatch, {"test": [], "train": [PAIR, PAIR | {"prompt": "q"}]})
    collected = read_rankings([Path("hf://datasets/owner/name@abc:config")])
    assert len(collected.rankings) == 2
    assert asked == {"path": "owner/name", "name": "config", "revision": "abc", "prepared": True, "split": "train"}
    assert {str(place) for place in collected.places.values()} == {
        "hf://datasets/owner/name@abc:config, row 1",
        "hf://datasets/owner/name@abc:config, row 2",
    }


def test_the_only_split_is_taken_and_a_choice_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = library(monkeypatch, {"test": [PAIR]})
    read_rankings([Path("owner/name")])
    assert asked["split"] == "test"
    library(monkeypatch, {"a": [PAIR], "b": [PAIR]})
    with pytest.raises(InputError, match=r"owner/name: has several splits; name one of a, b as owner/name\["):
        read_rankings([Path("owner/name")])
    with pytest.raises(InputError, match=r"has no split 'c'; name one of a, b"):
        read_rankings([Path("owner/name/c")])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"version": "3.6.0"}, r"datasets 3.6.0 may run a dataset's own code; install version 4"),
        ({"module": "datasets_modules.datasets.evil"}, r"is not made of json, csv, parquet, arrow, text files"),
        ({"kind": "webdataset.webdataset"}, r"is not made of json, csv, parquet, arrow, text files"),
        ({"error": DatasetNotFoundError("Dataset 'x' doesn't exist\non the Hub.")}, r"doesn't exist\); check the name"),
        ({"error": ConnectionError("Couldn't reach it")}, r"Couldn't reach it\); check the network, or unset HF_HUB"),
        ({"error": ValueError("Config name is missing.\nPick")}, r"Config name is missing\); give it as owner/name\["),
        ({"error": RuntimeError()}, r"the hub does not give it \(RuntimeError\)"),
    ],
)
def test_each_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], message: str) -> None:
    library(monkeypatch, {"train": [PAIR]}, **more)
    with pytest.raises(InputError, match=message) as error:
        read_rankings([Path("hf://datasets/owner/name")])
    assert "\n" not in str(error.value)


def test_a_full_disk_is_not_the_names_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, {}, error=OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        read_rankings([Path("owner/name")])


def test_without_the_library_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        InputError, match=r"^owner/name: no such file; if it is meant as .*: pip install 'preceptor\[hub\]'"
    ):
        read_rankings([Path("owner/name")])
    with pytest.raises(InputError, match=r"^hf://datasets/owner/name: is a dataset of the hub, install"):
        read_rankings([Path("hf://datasets/owner/name")])


def test_one_file_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_text('{"prompt": "p", "chosen": "a", "rejected": "a b"}\n{"x": 1}\n')
    fake = ModuleType("huggingface_hub")
    asked: list[Any] = []

    def download(*arguments: Any, **named: Any) -> str:
        asked.append((arguments, named))
        return str(tmp_path / "f")

    fake.__dict__["hf_hub_download"] = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    with pytest.raises(InputError, match=r"^hf://datasets/o/n/d/f.jsonl:2: a record with the fields 'x'"):
        read_rankings([Path("hf://datasets/o/n/d/f.jsonl")])
    assert asked == [(("o/n", "d/f.jsonl"), {"repo_type": "dataset", "revision": None})]
