"""Adapters on disk, as PEFT writes and reads them: adapter_config.json and adapter_model.safetensors.

Beside these two ours have base.json, the hash of the weights that they were trained over. PEFT's config takes no key of
others without a warning, and the order of several keys in a file of tensors changes from one run to the next.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from preceptor.errors import InputError
from preceptor.files import directory_atomic, file_atomic, read_json, write_json
from preceptor.models.checkpoint import Model, load_model, save_model, write_model
from preceptor.models.families import OUTSIDE_BLOCKS, family
from preceptor.models.heads import ScalarModel
from preceptor.models.lora import ALL_LINEAR, LoRAConfig, Pair, adapted, adapter_pairs, linear_layers
from preceptor.models.transformer import Transformer
from preceptor.models.vocabulary import check_vocabulary, give_rows
from preceptor.models.weights import digest
from preceptor.text.huggingface import GENERATION, TOKENIZER, tokenizer_files
from preceptor.text.tokenizer import Tokenizer

CONFIG, TENSORS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"
FOLDER = "adapter"  # beside the merged weights of what was trained with LoRA
_MERGE_FIRST = "merge the adapters with peft and name the result"
_PREFIX = "base_model.model."
_PAIR = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])(\.default)?\.weight")
# Ways of beginning that change the weights of the base, so that the adapters alone do not say what was trained.
_CHANGING_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
# What would compute something else than W x + scale * B A x. Each has a tensor of its own or is refused by name.
_REFUSED = ("use_dora", "lora_bias", "layer_replication", "alora_invocation_tokens", "use_qalora", "velora_config")


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds adapters and no model of its own."""
    return (directory / CONFIG).is_file() and not (directory / "config.json").is_file()


# writing -----------------------------------------------------------------------------------------


def save_adapters(model: Model, directory: Path, config: LoRAConfig, base: Path) -> None:
    """Write the adapters of ``model``, with its scalar head if it has one, over the model in ``base``."""
    trunk = model.trunk if isinstance(model, ScalarModel) else model
    scalar = trunk is not model
    names = family(trunk.config.family, "model")
    pairs = adapter_pairs(trunk)
    tensors: dict[str, Tensor] = {}
    for name, pair in pairs.items():
        for side, tensor in (("A", pair.down), ("B", pair.up)):
            tensors[f"{_PREFIX}{names.TRUNK}{name}.lora_{side}.weight"] = tensor.cpu().contiguous()
    if isinstance(model, ScalarModel):
        tensors |= {f"{_PREFIX}{names.SCORE}.{name}": one.cpu() for name, one in model.score.state_dict().items()}
    scores = "TOKEN_CLS" if "ForToken" in names.SCORES else "SEQ_CLS"
    every = ALL_LINEAR in config.targets
    leaves = list(dict.fromkeys(name.rpartition(".")[2] for name in pairs))
    name_or_path, revision = _base_name(base)
    write_json(
        directory / CONFIG,
        {
            "peft_type": "LORA",
            "task_type": scores if scalar else "CAUSAL_LM",
            "base_model_name_or_path": name_or_path,
            "revision": revision,
            "r": config.rank,
            "lora_alpha": int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
            "lora_dropout": config.dropout,
            "target_modules": leaves if every else list(config.targets),
            "modules_to_save": [names.SCORE] if scalar else None,
            "bias": "none",
            "fan_in_fan_out": trunk.config.family == "gpt2",  # its matrices are stored input first
            "use_rslora": False,
            "use_dora": False,
            "init_lora_weights": True,
            "inference_mode": True,
        },
    )
    write_json(directory / BASE, {"sha256": digest(base)})
    with file_atomic(directory / TENSORS) as partial:
        save_file(tensors, partial, metadata={"format": "pt"})


def _base_name(base: Path) -> tuple[str, str | None]:
    """The name of a base and its revision: of what lies in the hub's cache its id, else the whole path.

    A path from the directory of today would be looked for on the hub by whoever stands in another tomorrow.
    """
    found = re.search(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})/?$", base.absolute().as_posix())
    return (f"{found[1]}/{found[2]}", found[3]) if found else (str(base.absolute()), None)


# reading -----------------------------------------------------------------------------------------


def read_config(directory: Path) -> dict[str, Any]:
    """adapter_config.json. An :class:`InputError` for what is not LoRA, or LoRA of a kind that is not computed here."""
    path = directory / CONFIG
    config = read_json(path)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else "no object"
        raise InputError(f"{path}: holds adapters of the type {kind}; only LORA is read")
    start = config.get("init_lora_weights")
    unusual = [key for key in _REFUSED if config.get(key)]
    if isinstance(start, str) and start.lower().startswith(_CHANGING_STARTS):
        unusual.append(f"init_lora_weights = {start}")
    if config.get("bias", "none") != "none":
        unusual.append(f"bias = {config['bias']}")
    if unusual:
        raise InputError(f"{path}: {unusual[0]} is not supported; {_MERGE_FIRST}")
    return config


def base_of(directory: Path) -> str:
    """What the adapters name as their base: a path or a hub id, with its revision if there is one."""
    config = read_config(directory)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(base, str) or not base:
        raise InputError(f"{directory / CONFIG}: names no base_model_name_or_path; write there what they were made for")
    return f"{base}@{revision}" if isinstance(revision, str) and not Path(base).exists() else base


def fits(directory: Path, base: Path) -> bool:
    """Whether adapters of ours lie in ``directory`` that were trained over exactly the weights in ``base``."""
    path = directory / BASE
    return path.is_file() and bool(read_json(path) == {"sha256": digest(base)})


def load_adapters(base: Transformer, directory: Path) -> Model:
    """A model over the weights of ``base`` (frozen by this) with the adapters in ``directory``.

    It is a :class:`ScalarModel` if a scalar head is among them. Adapters for another model, or for something other
    than the linear layers inside the blocks, are an :class:`InputError`.
    """
    config, path = read_config(directory), directory / TENSORS
    with _opened(directory) as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    names, layers = family(base.config.family, "model"), linear_layers(base.config)
    sides: dict[str, dict[str, Tensor]] = {}
    head: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        found, part = _PAIR.fullmatch(key), key.removeprefix(_PREFIX)
        outside = next((one for one in part.split(".") if one in OUTSIDE_BLOCKS), None)
        if part in (f"{names.SCORE}.weight", f"{names.SCORE}.bias"):
            head[part.rpartition(".")[2]] = tensor
        elif outside:
            raise InputError(
                f"{path}: changes {outside} ({key}), and embeddings and heads get no adapters here; {_MERGE_FIRST}"
            )
        elif found:
            layer = found["layer"].removeprefix(_PREFIX)
            name = next((one for one in layers if f".{layer}".endswith(f".{one}")), layer)
            sides.setdefault(name, {})[found["side"]] = tensor
        else:
            raise InputError(f"{path}: has {key}, which is no LoRA of a linear layer; {_MERGE_FIRST}")
    try:
        pairs = {name: _pair(name, both, config) for name, both in sides.items()}
        trunk = adapted(base, pairs)
        return _with_head(trunk, head) if head else trunk
    except ValueError as error:
        raise InputError(f"{path}: the adapters are for another base model ({error})") from None


def _pair(name: str, sides: Mapping[str, Tensor], config: Mapping[str, Any]) -> Pair:
    if set(sides) != {"A", "B"} or any(one.ndim != 2 for one in sides.values()):
        raise ValueError(f"{name} has no pair of matrices A and B")
    rank = sides["A"].shape[0]
    patterns = config.get("alpha_pattern") or {}
    pattern = next((key for key in patterns if re.match(rf"(.*\.)?({key})$", name)), None)
    alpha = config.get("lora_alpha", 8) if pattern is None else patterns[pattern]
    return Pair(sides["A"], sides["B"], alpha / (rank**0.5 if config.get("use_rslora") else rank))


def _with_head(trunk: Transformer, head: Mapping[str, Tensor]) -> ScalarModel:
    model = ScalarModel(trunk)
    weight, bias = head.get("weight"), head.get("bias", torch.zeros(1))
    if weight is None or weight.shape != model.score.weight.shape or bias.shape != (1,):
        raise ValueError(f"the head should be 1x{trunk.config.hidden_size} with one bias or none")
    model.score.weight.data.copy_(weight)
    model.score.bias.data.copy_(bias)
    return model.to(trunk.embed.weight.device)


def _opened(directory: Path) -> Any:
    """The file of tensors, as a context."""
    path = directory / TENSORS
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        pickled = (directory / "adapter_model.bin").exists()
        why = "adapter_model.bin would have to be unpickled; save them as safetensors" if pickled else "copy it again"
        raise InputError(f"{path}: no such file; {why}") from None
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: is not a whole safetensors file ({' '.join(str(error).split())}); copy it again"
        ) from None


# merging -----------------------------------------------------------------------------------------


def merge_adapters(base: Path, directory: Path, out: Path) -> None:
    """Write base and adapters as one plain Hugging Face directory; all of it or nothing.

    The files of the tokenizer are the adapters' own if some lie with them, else those of the base. They are not
    changed: a language model comes out as its base is but for the weights, so that whoever opens either gives it the
    same role markers and the same rows for them. Reward models are opened without that, so these have both written.
    """
    model = load_model(base)
    if isinstance(model, ScalarModel):
        raise InputError(f"{base}: is a reward model; adapters are read over language models")
    known = model.config.vocab_size
    whole = load_adapters(model, directory)
    tokens = directory if (directory / TOKENIZER).is_file() else base
    with directory_atomic(out) as partial:
        write_model(whole, partial)
        generation = [base / GENERATION] if (base / GENERATION).is_file() else []
        for file in (*generation, *tokenizer_files(tokens)):
            shutil.copyfile(file, partial / file.name)
        text = _fitting_tokenizer(partial, known, tokens, base)
        if isinstance(whole, ScalarModel):
            give_rows(whole.trunk, text.added.values(), min(known, text.vocab_size - len(text.added)))
            save_model(whole, partial, text)


def _fitting_tokenizer(partial: Path, rows: int, tokens: Path, base: Path) -> Tokenizer:
    """The tokenizer beside weights of so many ``rows``, copied from ``tokens``, which errors name."""
    try:
        check_vocabulary(partial, rows)
    except InputError:
        raise InputError(
            f"{tokens}: its tokenizer has more tokens than {base}; adapters for grown models are not read"
        ) from None
    try:
        return Tokenizer.load(partial)
    except InputError as error:
        raise InputError(str(error).replace(str(partial), str(tokens))) from None
