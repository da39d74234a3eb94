"""What all tests share: one thread, tiny models, and a toy world in which every stage was run once.

The toy world is made on first use, in seconds: five names, four verbs, and labelers who like neither "hates" nor eve.
"""

import json
import random
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from preceptor.files import write_jsonl
from preceptor.keyed import torch_rng
from preceptor.models.checkpoint import new_model
from preceptor.models.config import ModelConfig
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress

torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """What the command line sets in one test is not left to the next: another count of threads rounds otherwise."""
    yield
    torch.set_num_threads(1)


NAMES = ["ann", "bob", "cat", "dan", "eve"]
VERBS = ["likes", "sees", "hates", "hears"]
PROMPTS = 60


# Stated here, so that the toy learns the same whatever the stages' defaults are tuned to.
SCHEDULE = {"warmup": 0.02, "final_lr": 0.1, "clip_norm": 1.0, "weight_decay": 0.0}
ADAMW = SCHEDULE | {"optimizer": "adamw"}
PRETRAIN = SCHEDULE | {"optimizer": "muon", "lr": 5e-3, "muon_lr": 0.02, "micro_rows": 16, "evaluations": 10}
SFT = ADAMW | {"lr": 5e-3, "pretrain_rows": 2, "pretrain_coef": 0.3, "heldout_share": 0.05}
SFT |= {"keep": "last"}  # tests of what is kept say so
REWARD = ADAMW | {"lr": 2e-3, "batch": 8, "heldout_share": 0.2, "check_share": 0.3}
PPO = ADAMW | {
    "lr": 2e-3,
    "critic_lr": 2e-3,
    "batch": 32,
    "minibatch": 16,
    "epochs": 1,
    "max_new_tokens": 12,
    "no_end_penalty": 1.0,
    "kl_coef": 0.05,
    "ptx_coef": 0.5,
    "ptx_rows": 2,
    "max_kl": 20.0,
}


class Toy:
    """The files of the toy world. A stage runs when its output is first asked for; ``summaries`` keeps what it said."""

    tables: ClassVar[dict[str, dict[str, Any]]] = {"pretrain": PRETRAIN, "sft": SFT, "reward": REWARD, "ppo": PPO}

    shape = ModelConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=48,
    )

    def __init__(self, root: Path) -> None:
        self.root = root
        self.progress = Progress(quiet=True)
        self.summaries: dict[str, dict[str, Any]] = {}
        r = random.Random(0)

        def sentence() -> str:
            return f"{r.choice(NAMES)} {r.choice(VERBS)} {r.choice(NAMES)}."

        def documents(count: int) -> list[dict[str, str]]:
            return [{"text": " ".join(sentence() for _ in range(r.randint(1, 6)))} for _ in range(count)]

        def prompt(i: int) -> dict[str, Any]:
            words = f"Say {r.choice(NAMES)} {i}"
            return {"id": f"p{i}", "user": f"u{i % 9}", "messages": [{"role": "user", "content": words}]}

        prompts = [prompt(i) for i in range(PROMPTS)]
        self.corpus = self._write("corpus.jsonl", documents(400))
        self.heldout = self._write("heldout.jsonl", documents(20))
        self.prompts = self._write("prompts.jsonl", prompts)
        self.demonstrations = self._write("demonstrations.jsonl", [self._demonstration(r, one) for one in prompts])

    def _write(self, name: str, rows: list[dict[str, Any]]) -> Path:
        write_jsonl(self.root / name, rows)
        return self.root / name

    @staticmethod
    def _demonstration(r: random.Random, prompt: dict[str, Any]) -> dict[str, Any]:
        name = prompt["messages"][0]["content"].split()[1]
        answer = {"role": "assistant", "content": f"{name} {r.choice(VERBS)} {r.choice(NAMES)}."}
        return {"prompt_id": prompt["id"], "messages": [*prompt["messages"], answer]}

    def _run(self, name: str, stage: Callable[..., dict[str, Any]], config: Any, **inputs: Any) -> Path:
        out = self.root / name
        self.summaries[name] = stage(config, **inputs, out=out, seed=0, progress=self.progress)
        return out

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """The lines of a stage's metrics.jsonl."""
        return read_lines(self.root / name / "metrics.jsonl")

    @cached_property
    def tokenizer(self) -> Path:
        from preceptor.stages.tokenizer import TokenizerConfig, tokenizer

        return self._run("tokenizer", tokenizer, TokenizerConfig(vocab_size=290), corpus=self.corpus)

    @cached_property
    def text(self) -> Tokenizer:
        return Tokenizer.load(self.tokenizer)

    @cached_property
    def base(self) -> Path:
        from preceptor.stages.pretrain import PretrainConfig, pretrain

        inputs = {"model": self.shape, "corpus": self.corpus, "heldout": self.heldout, "tokenizer": self.tokenizer}
        return self._run("base", pretrain, PretrainConfig(**PRETRAIN, tokens=72_000, batch_rows=16), **inputs)

    @cached_property
    def sft(self) -> Path:
        from preceptor.stages.sft import SFTConfig, sft

        inputs = {"model": self.base, "demonstrations": self.demonstrations, "corpus": self.corpus}
        return self._run("sft", sft, SFTConfig(**SFT, epochs=16, batch=16), **inputs)

    @cached_property
    def samples(self) -> Path:
        from preceptor.stages.sample import SampleConfig, sample

        config = SampleConfig(prompts=PROMPTS, responses=4, oversample=1.5, max_new_tokens=12)
        return self._run("samples.jsonl", sample, config, models={"sft": self.sft}, prompts=self.prompts)

    @cached_property
    def rankings(self) -> Path:
        rows = read_lines(self.samples)
        for row in rows:
            faults = [2 * ("hates" in one["text"]) + ("eve" in one["text"]) for one in row["responses"]]
            row["ranks"] = [1 + sorted(set(faults)).index(fault) for fault in faults]
        return self._write("rankings.jsonl", rows)

    @cached_property
    def reward(self) -> Path:
        from preceptor.stages.reward import RewardConfig, reward

        inputs = {"model": self.sft, "rankings": [self.rankings], "demonstrations": self.demonstrations}
        config = RewardConfig(**REWARD, epochs=4)
        return self._run("reward", reward, config, **inputs, check_out=self.root / "check")

    @cached_property
    def check(self) -> Path:
        assert self.reward  # makes it
        return self.root / "check"

    @cached_property
    def ppo_config(self) -> Any:
        """Everything that has a state is on: the adaptive controller, the average of weights, the corpus mix."""
        from preceptor.stages.ppo_config import PPOConfig

        return PPOConfig(
            **PPO,
            episodes=384,
            kl_control="adaptive",
            kl_target=0.5,
            kl_horizon=300,
            ema_decay=0.8,
            snapshots=4,
            snapshot_prompts=16,
        )

    @cached_property
    def ppo(self) -> Path:
        from preceptor.stages.ppo import ppo

        return self._run("ppo", ppo, self.ppo_config, **self.ppo_inputs)

    @cached_property
    def ppo_inputs(self) -> dict[str, Any]:
        """What the stage reads, by keyword."""
        return {
            "model": self.sft,
            "reward": self.reward,
            "check": self.check,
            "prompts": self.prompts,
            "prompts_dev": self.prompts,
            "demonstrations": self.demonstrations,
            "corpus": self.corpus,
        }


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return Toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def lines() -> Callable[[Path], list[dict[str, Any]]]:
    """lines(path): the objects of a JSONL file."""
    return read_lines


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Tokenizer:
    """Bytes and a few merges."""
    return Tokenizer.train(["ann likes bob. dan sees eve."] * 9, 270)


@pytest.fixture
def tiny_model(tiny_tokenizer: Tokenizer) -> Callable[..., Transformer]:
    """tiny_model(family="llama", seed=0, causal=True, **shape): a fresh decoder with weights large enough to matter."""

    def make(family: str = "llama", seed: int = 0, causal: bool = True, **shape: Any) -> Transformer:
        sizes = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2 if family == "llama" else 4,
            "max_position_embeddings": 32,
        }
        config = ModelConfig(family=family, **sizes | shape)  # type: ignore[arg-type]
        model = new_model(config, tiny_tokenizer, causal=causal, generator=torch_rng(seed, "weights"))
        with torch.no_grad():
            for number, (name, parameter) in enumerate(model.named_parameters()):
                noise = torch.randn(parameter.shape, generator=torch_rng(seed, "noise", number))
                parameter += noise * (0.1 if name.endswith("bias") or parameter.ndim < 2 else 0.2)
        return model

    return make


@pytest.fixture
def tiny_scalar(tiny_model: Callable[..., Transformer]) -> Callable[..., ScalarModel]:
    """tiny_scalar(bias=0.0, ...): a reward model or critic on a tiny decoder."""

    def make(bias: float = 0.0, seed: int = 0, **shape: Any) -> ScalarModel:
        model = ScalarModel(tiny_model(seed=seed, **shape))
        model.initialise_head(torch_rng(seed, "head"))
        model.score.bias.data.fill_(bias)
        return model

    return make
