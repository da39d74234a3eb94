"""Models on disk: Hugging Face directories that transformers reads unchanged. Never pickle."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from preceptor.errors import InputError
from preceptor.files import read_json, write_atomic, write_json
from preceptor.models.config import ModelConfig, TransformerConfig
from preceptor.models.families import family
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

Model = Transformer | ScalarModel


def new_model(config: ModelConfig, tokenizer: Tokenizer, *, causal: bool, generator: torch.Generator) -> Transformer:
    """A freshly initialised decoder for a tokenizer."""
    shape = family(config.family, "model.family").configure(config, tokenizer.vocab_size)
    model = Transformer(replace(shape, causal=causal, **_special_ids(tokenizer)))
    model.initialise(generator)
    return model


def save_model(model: Model, directory: Path, tokenizer: Tokenizer) -> None:
    """Write tokenizer, chat template, configs and weights; each file whole or not at all, the weights last."""
    tokenizer.save(directory)
    ends = {"eos_token_id": list(tokenizer.eos_ids)} if len(tokenizer.eos_ids) > 1 else {}
    write_model(model, directory, _special_ids(tokenizer) | ends)


def write_model(model: Model, directory: Path, special_ids: Mapping[str, Any] | None = None) -> None:
    """Write config.json, generation_config.json and model.safetensors into ``directory``.

    ``special_ids`` are the ids of begin, end (one or several) and pad, if the model's config is not to say them.
    """
    trunk = model.trunk if isinstance(model, ScalarModel) else model
    config, names = trunk.config, family(trunk.config.family, "model")
    ours = {name: tensor.detach() for name, tensor in trunk.state_dict().items()}
    weights = {names.TRUNK + name: tensor for name, tensor in names.export_weights(config, ours).items()}
    if isinstance(model, ScalarModel):
        weights |= {f"{names.SCORE}.{name}": tensor.detach() for name, tensor in model.score.state_dict().items()}
    elif not config.tie_word_embeddings:
        weights[names.LM_HEAD + ".weight"] = ours["head.weight"]
    shared = {
        "architectures": [names.SCORES if isinstance(model, ScalarModel) else names.LM],
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "is_causal": config.causal,
        "pad_token_id": config.pad_token_id,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "dtype": str(trunk.embed.weight.dtype).removeprefix("torch."),
    }
    shared |= special_ids or {}
    if isinstance(model, ScalarModel):
        shared |= {"num_labels": 1, "id2label": {"0": "score"}, "label2id": {"score": 0}}
    else:
        ids = {key: shared[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id")}
        write_json(directory / "generation_config.json", ids)
    write_json(directory / "config.json", names.write_config(config) | shared)
    whole = {name: tensor.contiguous().clone() for name, tensor in weights.items()}
    write_atomic(directory / "model.safetensors", save(whole, metadata={"format": "pt"}))


def load_model(path: str | Path) -> Model:
    """The model in a Hugging Face directory, in float32 and evaluation mode.

    A language model comes as :class:`Transformer`, a reward model or critic as
    :class:`ScalarModel`. Raises :class:`InputError` for what is missing, torn or unknown.
    """
    directory = Path(path)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such model directory; check the path")
    hf = read_json(directory / "config.json")
    if not isinstance(hf, dict):
        raise InputError(f"{directory / 'config.json'}: must hold a JSON object")
    names = family(hf.get("model_type"), str(directory / "config.json"))
    try:
        config = replace(names.read_config(hf), **{key: hf.get(key) for key in _ID_KEYS})
    except (KeyError, ValueError, AssertionError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{directory / 'config.json'}: {reason}") from None
    weights = _read_weights(directory / "model.safetensors")
    scores = names.SCORE + ".weight" in weights
    model = _build(config, weights, names, scores, directory)
    return model.eval()


def load_language_model(path: str | Path) -> Transformer:
    """:func:`load_model`, for a place that needs logits."""
    model = load_model(path)
    if not isinstance(model, Transformer):
        raise InputError(f"{path}: is a reward model; name a language model here")
    return model


def load_scalar_model(path: str | Path) -> ScalarModel:
    """:func:`load_model`, for a place that needs scores."""
    model = load_model(path)
    if not isinstance(model, ScalarModel):
        raise InputError(f"{path}: is a language model; name a reward model here")
    return model


_ID_KEYS = ("pad_token_id", "bos_token_id", "eos_token_id")


def _special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    return dict(zip(_ID_KEYS, (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id), strict=True))


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the model directory is incomplete") from None
    except SafetensorError as error:
        raise InputError(f"{path}: is not a whole safetensors file ({error}); copy it again") from None


def _build(config: TransformerConfig, weights: dict[str, Tensor], names: Any, scores: bool, directory: Path) -> Model:
    trunk = Transformer(config)
    model: Model = ScalarModel(trunk) if scores else trunk
    try:
        # Some exporters write the trunk alone, without its prefix.
        prefix = names.TRUNK if any(name.startswith(names.TRUNK) for name in weights) else ""
        bare = {name.removeprefix(prefix): tensor.float() for name, tensor in weights.items()}
        state = names.import_weights(config, bare)
        tied = config.tie_word_embeddings or scores
        state["head.weight"] = state["embed.weight"] if tied else weights[names.LM_HEAD + ".weight"].float()
        trunk.load_state_dict(state)
        if isinstance(model, ScalarModel):
            model.score.weight.data.copy_(weights[names.SCORE + ".weight"])
            bias = weights.get(names.SCORE + ".bias")
            model.score.bias.data.copy_(torch.zeros(1) if bias is None else bias)
    except KeyError as error:
        raise InputError(f"{directory}: the weights lack {error}; the model directory is incomplete") from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{directory}: the weights do not fit config.json ({reason[:200]})") from None
    return model
