"""Adapters of ours and of the peft library over the same tiny bases."""

from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from torch import Tensor

from preceptor.models.checkpoint import load_language_model
from preceptor.models.config import ModelConfig
from preceptor.models.lora import LoRAConfig, fresh_adapters, own_parameters
from preceptor.models.transformer import Transformer
from preceptor.stages.import_model import import_model
from preceptor.training.progress import Progress

VOCAB = 60
SMALL = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 48, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GQA = SMALL | {"num_key_value_heads": 2}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", GQA),
    "qwen2": ("Qwen2", GQA),
    "gemma3": (
        "Gemma3",
        GQA
        | {"head_dim": 16, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "neox": ("GPTNeoX", SMALL | {"rotary_pct": 0.25, "hidden_dropout": 0.0, "classifier_dropout": 0.0}),
    "gpt2": (
        "GPT2",
        {"vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    ),
}  # fmt: skip
TARGETS = {
    "llama": ["q_proj", "v_proj", "down_proj"],
    "qwen2": ["k_proj", "up_proj"],
    "gemma3": ["o_proj", "gate_proj"],
    "neox": ["query_key_value", "dense_4h_to_h"],
    "gpt2": ["c_attn", "mlp.c_proj"],
}
IDS = torch.randint(3, VOCAB, (2, 11), generator=torch.Generator().manual_seed(0))


def shake(parameters: Any, scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in parameters:
        centre = parameter.data.mean() if parameter.ndim == 1 else 0.0
        parameter.data = centre + scale * torch.randn(parameter.shape, generator=generator)


def near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=1e-5)


def ours(base: Path, config: LoRAConfig) -> Transformer:
    model = fresh_adapters(load_language_model(base), config, 0, "x")
    shake(own_parameters(model).values(), 0.3)
    return model


def theirs(base: Path, targets: Any, out: Path, **keys: Any) -> Any:
    """peft's adapters, saved in ``out``, and its model."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=targets, **{"r": 4, "lora_alpha": 12} | keys)
    adapted = peft.get_peft_model(model, config).eval()
    shake([p for name, p in adapted.named_parameters() if "lora_" in name], 0.3)
    adapted.save_pretrained(out)
    return adapted


def take_in(source: Path, out: Path) -> dict[str, Any]:
    """`preceptor import`."""
    return import_model(ModelConfig(start=source), out=out, seed=0, progress=Progress(quiet=True))
