"""What models are called."""

from pathlib import Path

import pytest

from preceptor.errors import InputError
from preceptor.models.names import name_models


def test_a_model_has_the_name_it_is_given_or_its_own(tmp_path: Path) -> None:
    (tmp_path / "runs" / "ppo").mkdir(parents=True)
    (tmp_path / "a=b").mkdir()
    (tmp_path / "tiny.gguf").touch()
    ppo, odd, gguf = str(tmp_path / "runs" / "ppo"), str(tmp_path / "a=b"), str(tmp_path / "tiny.gguf")
    assert name_models([ppo, f"other={ppo}", f"{ppo}/.."]) == {"ppo": ppo, "other": ppo, "runs": f"{ppo}/.."}
    assert name_models([odd, gguf, "owner/name"]) == {"a=b": odd, "tiny": gguf, "owner/name": "owner/name"}
    assert name_models([f"owner/name:8bit={gguf}"]) == {"owner/name:8bit": gguf}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["sft="], "names no model; give it as NAME=MODEL"),
        (["=runs/sft"], "'' is no name"),
        (["a b=runs/sft"], "'a b' is no name"),
        (["a\nb=runs/sft"], "is no name"),
        (["x=runs/sft", "x=runs/ppo"], "two models are called x"),
        (["runs/sft", "runs/sft"], "give one another name with NAME=MODEL"),
    ],
)
def test_what_is_no_name_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        name_models(options)
