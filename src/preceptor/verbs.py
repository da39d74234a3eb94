"""The stages as commands: what each reads, and what its verb calls it. Loads nothing of them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["file", "directory", "files", "model", "named models"]
METAVARS = {"file": "FILE", "directory": "DIR", "files": "FILE", "model": "MODEL", "named models": "NAME=MODEL"}
MODELS = ("model", "named models")


@dataclass(frozen=True)
class Argument:
    """A path or a model that a stage reads: the keyword argument of its function and the option of its verb."""

    name: str
    help: str
    kind: Kind = "file"  # a model is anything that models/sources.py finds
    required: bool = True
    key: str | None = None  # the key of the recipe that the option sets, where the stage reads it from there

    @property
    def option(self) -> str:
        """The option, ``--prompts-dev`` for ``prompts_dev``."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Verb:
    """A stage as a command: what it does, what it reads, and what it writes besides ``--out``."""

    help: str
    arguments: tuple[Argument, ...] = ()
    out: str = "directory to write"
    tables: tuple[str, ...] = ()  # tables of the recipe that the stage takes besides its own
    more_outs: tuple[str, ...] = ()
    function: str | None = None  # of the stage, and its file, where it is not the verb's name
    table: str | None = None  # of the stage, likewise


_CORPUS = Argument("corpus", "documents, JSONL with a text a line")
_DEMONSTRATIONS = Argument("demonstrations", "demonstrations, JSONL")
_PROMPTS = Argument("prompts", "prompts, JSONL")

STAGES: dict[str, Verb] = {
    "data": Verb("make the built-in world, or read and split files of people"),
    "tokenizer": Verb("learn a byte-level BPE vocabulary from a corpus", (_CORPUS,)),
    "import": Verb(
        "take in a pretrained model: a directory, a GGUF file, a wheel that holds one, or a hub id",
        (Argument("model", "the model", "model", key="model.start"),),
        function="import_model",
        table="model",
    ),
    "pretrain": Verb(
        "train a new language model on a corpus",
        (
            _CORPUS,
            Argument("heldout", "documents that only measure the loss"),
            Argument("tokenizer", "a tokenizer's directory", "directory"),
        ),
        tables=("model", "compute"),
    ),
    "sft": Verb(
        "fine-tune a language model on demonstrations",
        (
            Argument("model", "the language model to start from", "model"),
            _DEMONSTRATIONS,
            Argument("corpus", "documents to mix in, against forgetting", required=False),
            Argument("reward", "a reward model that chooses among the checkpoints", "directory", required=False),
        ),
        tables=("lora", "compute"),
    ),
    "sample": Verb(
        "write K responses to each prompt, for people to rank",
        (Argument("models", "the models that answer, as NAME=MODEL", "named models"), _PROMPTS),
        out="file of samples to write",
        tables=("compute",),
    ),
    "rank": Verb(
        "rank sampled responses by simulated labelers, or take over rankings of people",
        (
            Argument("samples", "samples, JSONL", required=False),
            Argument("gold", "gold.jsonl of the built-in world", required=False),
        ),
        out="file of rankings to write",
    ),
    "reward": Verb(
        "fit a reward model to rankings",
        (
            Argument("model", "the language model to start from", "model"),
            Argument("rankings", "rankings, JSONL", "files"),
            _DEMONSTRATIONS,
        ),
        tables=("lora", "compute"),
        more_outs=("check_out",),
    ),
    "ppo": Verb(
        "optimise a policy against a reward model under a KL penalty",
        (
            Argument("model", "the policy to start from, and the reference", "model"),
            Argument("reward", "the reward model", "model"),
            Argument("check", "a second reward model that only watches", "model", required=False),
            _PROMPTS,
            Argument("prompts_dev", "prompts on which the policy to keep is chosen"),
            Argument("demonstrations", "demonstrations that prove the reward model's zero", required=False),
            Argument("corpus", "documents for the pretraining loss (PPO-ptx)", required=False),
        ),
        tables=("lora", "compute"),
    ),
    "evaluate": Verb(
        "measure models on held-out prompts",
        (
            Argument("models", "base, sft, reward, reward-check, ppo as NAME=MODEL", "named models"),
            Argument("data", "the data directory", "directory"),
            Argument("rankings", "rankings that measure the reward model", "files", required=False),
            Argument("rankings_train", "rankings that models have learnt from", "files", required=False),
        ),
        tables=("compute",),
    ),
    "foundations": Verb(
        "train an LSTM, a causal and a masked transformer of one size and measure them beside each other",
        (
            _CORPUS,
            Argument("heldout", "documents that only measure"),
            Argument("tokenizer", "a tokenizer's directory", "directory"),
        ),
        tables=("model", "compute"),
    ),
    "report": Verb(
        "write the report of a run",
        (Argument("run", "the run directory", "directory"),),
        out="HTML file to write",
    ),
}


def stage_function(name: str) -> Callable[..., dict[str, Any]]:
    """The function of a stage: ``preceptor.stages.ppo.ppo``."""
    name = STAGES[name].function or name
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(f"preceptor.stages.{name}"), name)
    return function
