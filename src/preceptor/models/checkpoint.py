"""Models on disk: Hugging Face directories that transformers reads unchanged. Never pickle."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

from preceptor.errors import InputError
from preceptor.files import file_atomic, read_json, write_json
from preceptor.models.build import MisfitError, assemble
from preceptor.models.config import ModelConfig, TransformerConfig
from preceptor.models.families import family
from preceptor.models.families.pieces import Piece, export_pieces
from preceptor.models.heads import ScalarModel
from preceptor.models.lora import plain_state
from preceptor.models.transformer import Transformer
from preceptor.models.vocabulary import check_vocabulary, give_rows
from preceptor.models.weights import WHOLE, Weights
from preceptor.text.tokenizer import Tokenizer

Model = Transformer | ScalarModel


def new_model(config: ModelConfig, tokenizer: Tokenizer, *, causal: bool, generator: torch.Generator) -> Transformer:
    """A freshly initialised decoder for a tokenizer."""
    shape = family(config.family, "model.family").configure(config, tokenizer.vocab_size)
    model = Transformer(replace(shape, causal=causal, **_special_ids(tokenizer)))
    model.initialise(generator)
    return model


def save_model(model: Model, directory: Path, tokenizer: Tokenizer) -> None:
    """Write tokenizer, chat template, configs and weights; each file whole or not at all, the weights last.

    Adapters are merged into the weights. Raises :class:`InputError`, and writes nothing, if the tokenizer has ids for
    which the weights have no row.
    """
    rows = (model.trunk if isinstance(model, ScalarModel) else model).config.vocab_size
    if tokenizer.vocab_size > rows:
        _check_rows(directory, tokenizer, rows)
    tokenizer.save(directory)
    ends = {"eos_token_id": list(tokenizer.eos_ids)} if len(tokenizer.eos_ids) > 1 else {}
    write_model(model, directory, _special_ids(tokenizer) | ends)


def write_model(model: Model, directory: Path, special_ids: Mapping[str, Any] | None = None) -> None:
    """Write config.json, generation_config.json and model.safetensors into ``directory``.

    ``special_ids`` are the ids of begin, end (one or several) and pad, if the model's config is not to say them.
    """
    trunk = model.trunk if isinstance(model, ScalarModel) else model
    config, names = trunk.config, family(trunk.config.family, "model")
    ours = plain_state(trunk)
    weights = {names.TRUNK + name: tensor for name, tensor in export_pieces(names.pieces(config), ours).items()}
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
        "eos_token_id": list(config.stop_token_ids) or config.eos_token_id,
        "dtype": str(trunk.embed.weight.dtype).removeprefix("torch."),
    }
    shared |= special_ids or {}
    if isinstance(model, ScalarModel):
        shared |= {"num_labels": 1, "id2label": {"0": "score"}, "label2id": {"score": 0}}
    else:
        write_json(directory / "generation_config.json", {key: shared[key] for key in _ID_KEYS})
    write_json(directory / "config.json", names.write_config(config) | shared)
    whole = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    with file_atomic(directory / WHOLE) as partial:
        save_file(whole, partial, metadata={"format": "pt"})


def load_model(path: str | Path) -> Model:
    """The model in a Hugging Face directory, in float32 and evaluation mode.

    A language model comes as :class:`Transformer`, a reward model or critic as
    :class:`ScalarModel`. Raises :class:`InputError` for what is missing, torn or unknown.
    """
    directory = Path(path)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such model directory; check the path")
    if (directory / "adapter_config.json").is_file() and not (directory / "config.json").is_file():
        raise InputError(f"{directory}: holds adapters without their base; merge them first")
    config = _read_config(directory)
    check_vocabulary(directory, config.vocab_size)
    weights = Weights(directory)
    return _build(config, weights, directory).eval()


def load_language_model(path: str | Path) -> Transformer:
    """:func:`load_model`, for a place that needs logits."""
    model = load_model(path)
    if not isinstance(model, Transformer):
        raise InputError(f"{path}: is a reward model; name a language model here")
    return model


def open_language_model(path: str | Path) -> tuple[Transformer, Tokenizer]:
    """The language model in a directory and its tokenizer, fit for each other.

    Tokens that the tokenizer had to be given (see :attr:`Tokenizer.added`) get rows; :func:`give_rows` says which.
    """
    model, tokenizer = load_language_model(path), Tokenizer.load(Path(path))
    known = min(model.config.vocab_size, tokenizer.vocab_size - len(tokenizer.added))
    give_rows(model, tokenizer.added.values(), known)
    return model, tokenizer


def load_scalar_model(path: str | Path) -> ScalarModel:
    """:func:`load_model`, for a place that needs scores."""
    model = load_model(path)
    if not isinstance(model, ScalarModel):
        raise InputError(f"{path}: is a language model; name a reward model here")
    return model


def _check_rows(directory: Path, tokenizer: Tokenizer, rows: int) -> None:
    """Some ids lie beyond the rows. That does no harm if they are those of special tokens that nothing uses."""
    with TemporaryDirectory() as scratch:
        tokenizer.save(Path(scratch))
        try:
            check_vocabulary(Path(scratch), rows)
        except InputError:
            raise InputError(
                f"{directory}: not written: the tokenizer has {tokenizer.vocab_size} tokens and the weights "
                f"{rows} rows of embeddings; take the model in with `preceptor import` first, which adds rows"
            ) from None


_ID_KEYS = ("pad_token_id", "bos_token_id", "eos_token_id")


def _special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    return dict(zip(_ID_KEYS, (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id), strict=True))


def _read_config(directory: Path) -> TransformerConfig:
    """config.json, with the ids that generation_config.json adds to the ends of a response."""
    path = directory / "config.json"
    hf = read_json(path)
    if not isinstance(hf, dict):
        raise InputError(f"{path}: must hold a JSON object")
    names = family(hf.get("model_type"), str(path))
    quantised = hf.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else quantised
        raise InputError(f"{path}: its weights are quantised ({method}); name a model in float32, bf16 or fp16")
    generation = directory / "generation_config.json"
    also = read_json(generation) if generation.is_file() else {}
    ends = [*_ids(hf.get("eos_token_id")), *_ids(also.get("eos_token_id") if isinstance(also, dict) else None)]
    stops = tuple(dict.fromkeys(ends))
    try:
        return replace(
            names.read_config(hf),
            pad_token_id=hf.get("pad_token_id"),
            bos_token_id=hf.get("bos_token_id"),
            eos_token_id=stops[0] if stops else None,
            stop_token_ids=stops if len(stops) > 1 else (),
        )
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: {reason}") from None


def _ids(value: Any) -> list[int]:
    """A field that holds an id, several, or none."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, int)]


def _build(config: TransformerConfig, weights: Weights, directory: Path) -> Model:
    names = family(config.family, "model")
    scores = weights.ending(names.SCORE + ".weight")
    try:
        trunk = assemble(config, _located(config, weights, bool(scores)), weights.__getitem__)
        if not scores:
            return trunk
        model = ScalarModel(trunk)
        weight, bias = weights[scores[0]], scores[0].removesuffix("weight") + "bias"
        if weight.shape != model.score.weight.shape:
            raise MisfitError(f"{scores[0]} has {len(weight)} outputs where 1 is asked for")
        model.score.weight.data.copy_(weight)
        model.score.bias.data.copy_(weights[bias] if bias in weights else torch.zeros(1))
        return model
    except KeyError as error:
        raise InputError(f"{directory}: the weights lack {error}; the model directory is incomplete") from None
    except MisfitError as error:
        raise InputError(f"{directory}: the weights do not fit config.json ({error})") from None


def _located(config: TransformerConfig, weights: Weights, scores: bool) -> list[Piece]:
    """The pieces under the full names that this checkpoint has for them."""
    names = family(config.family, "model")
    pieces = names.pieces(config)
    embedding = next(piece.theirs for piece in pieces if piece.ours == "embed.weight")
    # Some exporters write the trunk alone, without its prefix; a model with eyes has it deeper.
    found = weights.ending(embedding)
    prefix = found[0].removesuffix(embedding) if found else names.TRUNK
    located = [piece._replace(theirs=prefix + piece.theirs) for piece in pieces]
    if not (config.tie_word_embeddings or scores):
        head = names.LM_HEAD + ".weight"
        located.append(Piece(next(iter(weights.ending(head)), head), "head.weight"))
    return located
