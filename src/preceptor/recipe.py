"""The recipe: one typed, frozen object that says everything a run does.

A recipe is a TOML file with one table a stage. Every key has a default, so a file only says
what it changes; a key that does not exist or a value of the wrong type is an error that names
it. Each table's class stands beside the stage that reads it.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_jsonable_python

from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.files import read_text
from preceptor.models.compute import ComputeConfig
from preceptor.models.config import ModelConfig
from preceptor.models.families import OUTSIDE_BLOCKS
from preceptor.models.lora import ALL_LINEAR, NO_LORA, LoRAConfig
from preceptor.stages.data import DataConfig
from preceptor.stages.evaluate import EvaluateConfig
from preceptor.stages.foundations import FoundationsConfig
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.pretrain import PretrainConfig
from preceptor.stages.rank import RankConfig
from preceptor.stages.report import ReportConfig
from preceptor.stages.reward import RewardConfig
from preceptor.stages.sample import SampleConfig
from preceptor.stages.sft import SFTConfig
from preceptor.stages.tokenizer import TokenizerConfig


class Recipe(Config):
    """Everything a run does. The tables are in the order of the stages that read them."""

    name: str = Field("recipe", min_length=1, description="What the run is called in the report.")
    kind: Literal["assistant", "foundations"] = Field(
        "assistant",
        description="`assistant`: the whole recipe. `foundations`: an LSTM, a causal and a masked transformer beside "
        "each other, and nothing more.",
    )
    seed: int = Field(0, ge=0, description="Every random draw of the run depends on it and on nothing else.")
    rounds: int = Field(1, ge=1, description="How often sample, rank, reward and ppo are done, one after the other.")
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    compute: ComputeConfig = ComputeConfig()
    pretrain: PretrainConfig = PretrainConfig()
    lora: LoRAConfig = NO_LORA
    sft: SFTConfig = SFTConfig()
    sample: SampleConfig = SampleConfig()
    rank: RankConfig = RankConfig()
    reward: RewardConfig = RewardConfig()
    ppo: PPOConfig = PPOConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    foundations: FoundationsConfig = FoundationsConfig()
    report: ReportConfig = ReportConfig()

    @field_validator("lora")
    @classmethod
    def _only_inside_the_blocks(cls, lora: LoRAConfig) -> LoRAConfig:
        """Embeddings and heads are refused before anything is trained; a layer that a family lacks, with its model."""
        outside = [target for target in lora.targets if target.rpartition(".")[2] in OUTSIDE_BLOCKS]
        if outside:
            raise ValueError(
                f"targets names {outside[0]}, but embeddings and heads get no adapters; "
                f"name layers inside the blocks, or {ALL_LINEAR} for every one of them"
            )
        return lora

    @classmethod
    def load(cls, name_or_path: str | Path, overrides: list[str] | None = None) -> Self:
        """Read a built-in recipe (by name) or a TOML file (by path), then apply ``KEY=VALUE`` overrides."""
        source, text, name = _find(str(name_or_path))
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{source}: not valid TOML: {error}") from None
        table.setdefault("name", name)
        return cls.from_table(table, source, overrides)

    @classmethod
    def from_table(cls, table: dict[str, Any], source: str = "recipe", overrides: Sequence[str] | None = None) -> Self:
        """Check a table as read from TOML, changed by ``KEY=VALUE`` overrides; ``steps = "5"`` is not a number."""
        for override in overrides or ():
            _override(table, override)
        try:
            # As JSON, since pydantic's strict mode takes a list for a tuple and text for a path only there.
            return cls.model_validate_json(json.dumps(table, default=str), strict=True)
        except ValidationError as error:
            raise InputError(f"{source}: {_explain(cls, error)}") from None

    def to_toml(self) -> str:
        """The whole recipe with every default spelled out; :meth:`load` reads it back to an equal one."""
        table = self.model_dump(mode="json", exclude_none=True)
        top = {key: value for key, value in table.items() if not isinstance(value, dict)}
        tables = {key: value for key, value in table.items() if isinstance(value, dict)}
        return (
            "\n\n".join([_lines(top), *(f"[{key}]\n{_lines(value)}".rstrip() for key, value in tables.items())]) + "\n"
        )


def built_in() -> list[str]:
    """Names of the recipes that come with Preceptor."""
    files = resources.files("preceptor.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _find(name_or_path: str) -> tuple[str, str, str]:
    """Where a recipe is, its text, and its name."""
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return name_or_path, read_text(path), path.stem
    if name_or_path not in built_in():
        near = get_close_matches(name_or_path, built_in(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"there is no built-in recipe {name_or_path}; {hint}"
            f"give {', '.join(built_in())} or the path of a .toml file"
        )
    file = resources.files("preceptor.recipes") / f"{name_or_path}.toml"
    return f"{name_or_path}.toml", file.read_text(encoding="utf-8"), name_or_path


def _override(table: dict[str, Any], override: str) -> None:
    """Set one dotted key, as in ``ppo.kl_coef=0.05``. The value is TOML; what is not TOML is text."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {override}: give it as KEY=VALUE, for example --set ppo.kl_coef=0.05")
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {override}: {part} is a value, not a table; nothing can be set inside it")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    table[parts[-1]] = parsed["value"] if parsed.keys() == {"value"} else text.strip()


# errors ------------------------------------------------------------------------------------------


def _explain(recipe: type[BaseModel], error: ValidationError) -> str:
    """The first mistake in words; unknown keys come before wrong values, being their usual cause."""
    errors = error.errors(include_url=False)
    first = next((item for item in errors if item["type"] == "extra_forbidden"), errors[0])
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(recipe, first)
    if first["type"] == "missing":
        return f"{key} is missing; set it"
    if first["type"] == "value_error":
        return f"{key}: {first['msg'].removeprefix('Value error, ')}"
    if first["type"] in ("model_type", "model_attributes_type"):
        return f"{key} must be a table, not {_show(first['input'])}; write it as [{key}]"
    wanted = first["msg"].removeprefix("Input should be ").replace("a valid integer", "a whole number")
    return f"{key} must be {wanted.replace('a valid ', 'a ')}, not {_show(first['input'])}"


def _unknown(recipe: type[BaseModel], error: ErrorDetails) -> str:
    """Name an unknown key and the nearest known one: in its own table, or a good match in another."""
    *tables, wrong = (str(part) for part in error["loc"])
    key = ".".join([*tables, wrong])
    keys = [name for name, _ in walk(recipe)]
    own = {name.rpartition(".")[2]: name for name in keys if name.split(".")[:-1] == tables}
    if not tables:
        own |= {name.partition(".")[0]: name.partition(".")[0] for name in keys}
    every = {name.rpartition(".")[2]: name for name in reversed(keys)}
    for candidates, cutoff in ((own, 0.6), (every, 0.75), (own or every, 0.0)):
        for near in get_close_matches(wrong, candidates, n=1, cutoff=cutoff):
            return f"unknown key {key}; did you mean {candidates[near]}?"
    return f"unknown key {key}; remove it"


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


# writing -----------------------------------------------------------------------------------------


def _lines(table: dict[str, Any]) -> str:
    return "\n".join(f"{_key(key)} = {_toml(value)}" for key, value in table.items())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(part)}" for key, part in value.items() if part is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's other scalars are TOML's


def walk(model: type[BaseModel], prefix: str = "") -> list[tuple[str, FieldInfo]]:
    """Every key with its field, as a dotted name, tables opened."""
    rows = []
    for name, field in model.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, BaseModel):
            rows += walk(table, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, field))
    return rows


def describe_keys() -> str:
    """docs/recipe-keys.md: every key with its type, default and meaning. `tools/recipe_keys.py` writes it."""
    parts = [
        "# Every recipe key",
        "",
        "Made from the models by `python tools/recipe_keys.py`; do not edit. The defaults hold for keys that neither",
        "the recipe nor `--set table.key=value` names.",
    ]
    table = None
    for name, field in walk(Recipe):
        head, _, key = name.rpartition(".")
        if head != table:
            table = head
            title = f"`[{head}]`" if head else "The top of the file"
            parts += ["", f"## {title}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        default = to_jsonable_python(field.get_default(call_default_factory=True))
        shown = f"`{_toml(default)}`" if default is not None else "none"
        cells = [f"`{key}`", _type_name(field), shown, " ".join((field.description or "").split())]
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def _type_name(field: FieldInfo) -> str:
    """The type in TOML's words, with its bounds."""
    name = _words(field.annotation)
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    bounds = [
        f"{signs[type(mark)][0]} {getattr(mark, signs[type(mark)][1]):g}"
        for mark in field.metadata
        if type(mark) in signs
    ]
    return ", ".join([name, *bounds])


def _words(kind: Any) -> str:
    simple = {int: "integer", float: "number", str: "text", bool: "true or false", Path: "path", type(None): "nothing"}
    origin, parts = get_origin(kind), get_args(kind)
    if kind in simple:
        return simple[kind]
    if origin is Literal:
        return " or ".join(f"`{_toml(part)}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(_words(part) for part in parts if part is not type(None))
    if origin in (list, tuple):
        return "list of " + " and ".join(dict.fromkeys(_words(part) for part in parts if part is not Ellipsis))
    if origin is dict:
        return f"table of {_words(parts[1])}"
    return str(getattr(kind, "__name__", kind))
