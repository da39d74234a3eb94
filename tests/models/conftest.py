"""Bases for adapters: of every family, and one of ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from tests.models.adapters import SHAPES, shake

from preceptor.models.checkpoint import save_model
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer


@pytest.fixture(params=SHAPES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make_base(tmp_path: Path) -> Callable[[str], Path]:
    """make_base(family): a base model's directory, as transformers writes it."""

    def make(family: str, name: str = "base", **shape: Any) -> Path:
        kind, config = SHAPES[family]
        text = "Text" if kind == "Gemma3" else ""
        model = getattr(transformers, kind + ("LMHeadModel" if kind == "GPT2" else "ForCausalLM"))(
            getattr(transformers, f"{kind}{text}Config")(**config | shape)
        )
        shake(model.parameters(), 0.2)
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def base(make_base: Callable[[str], Path], family: str) -> Path:
    return make_base(family)


@pytest.fixture
def tiny_base(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A base model of ours, with its tokenizer."""
    save_model(tiny_model(), tmp_path / "tiny", tiny_tokenizer)
    return tmp_path / "tiny"
