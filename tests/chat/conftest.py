"""Two tiny models on disk to talk to."""

from pathlib import Path

import pytest

from preceptor.keyed import torch_rng
from preceptor.models.checkpoint import new_model, save_model
from preceptor.models.config import ModelConfig
from preceptor.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Tokenizer) -> dict[str, Path]:
    """Models by name. Their weights are random: they say something else each, and never come to an end soon."""
    root = tmp_path_factory.mktemp("models")
    shape = ModelConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2
    )
    for seed, name in enumerate(("one", "two")):
        model = new_model(shape, tiny_tokenizer, causal=True, generator=torch_rng(seed, "weights"))
        model.embed.weight.data.mul_(20)  # far from each other: what is likeliest differs from place to place
        save_model(model, root / name, tiny_tokenizer)
    return {name: root / name for name in ("one", "two")}
