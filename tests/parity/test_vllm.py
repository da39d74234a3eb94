"""vLLM serves what we write as it is: from our directory, and the messages of a chat, it makes our own greedy tokens.

vLLM wants an environment of its own: `PRECEPTOR_VLLM_PYTHON` names the interpreter there. Without it these tests are
skipped. `PRECEPTOR_VLLM_MODEL` names one more model directory to ask.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import open_language_model, save_model
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.tokenizer import Tokenizer

PYTHON, MODEL = os.environ.get("PRECEPTOR_VLLM_PYTHON"), os.environ.get("PRECEPTOR_VLLM_MODEL")
PATIENCE = 540  # seconds that vLLM may take to start and answer; most of it goes into its imports
CHATS = ["What is the capital of France?", "Name three colours of the rainbow.", "ann likes bob. dan sees eve."]
ASK = Path(__file__).with_name("ask_vllm.py")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(PATIENCE + 60),
    pytest.mark.skipif(PYTHON is None, reason="PRECEPTOR_VLLM_PYTHON names no interpreter that has vLLM"),
]


def vllm_says(directory: Path, scratch: Path, tokens: int) -> list[dict[str, list[int]]]:
    """The ids of prompt and greedy reply of each chat, by vLLM with the template and tokenizer in the files."""
    assert PYTHON is not None
    question, answer = scratch / "question.json", scratch / "answer.json"
    chats = [[{"role": "user", "content": text}] for text in CHATS]
    question.write_text(json.dumps({"model": str(directory.resolve()), "chats": chats, "tokens": tokens}))
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    told = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    told["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # one process: a second would import everything again
    done = subprocess.run(
        [PYTHON, str(ASK), str(question), str(answer)],
        env=kept | told,
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(answer.read_text())


def we_say(directory: Path, tokens: int) -> list[dict[str, list[int]]]:
    """The same by our own engine."""
    model, tokenizer = open_language_model(directory)
    prompts = [render_prompt(tokenizer, [Message(role="user", content=text)]).ids for text in CHATS]
    greedy = SamplingConfig(temperature=0, max_new_tokens=tokens)
    made = generate(model, prompts, greedy, eos_id=tokenizer.eos_ids, pad_id=tokenizer.pad_id)
    return [{"prompt": prompt, "reply": one.ids} for prompt, (one,) in zip(prompts, made, strict=True)]


def least_lead(directory: Path, said: list[dict[str, list[int]]]) -> float:
    """By how much, in logits, the token taken led the next best where that was least: rounding must not decide."""
    model, _ = open_language_model(directory)
    leads = []
    for one in said:
        with torch.no_grad():
            logits = model(torch.tensor([one["prompt"] + one["reply"]]))[0, len(one["prompt"]) - 1 : -1]
        best = logits.topk(2, dim=-1).values
        leads.append((best[:, 0] - best[:, 1]).min().item())
    return min(leads)


def ours(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, directory: Path) -> Path:
    """A model with random weights, in the smallest shape whose heads (32 wide) vLLM computes on a CPU."""
    shape = {"hidden_size": 128, "intermediate_size": 96, "max_position_embeddings": 128}
    directory.mkdir()
    save_model(tiny_model(**shape), directory, tiny_tokenizer)
    return directory


def test_a_model_of_ours(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    directory = ours(tiny_model, tiny_tokenizer, tmp_path / "model")
    mine = we_say(directory, tokens=24)
    assert len({tuple(one["reply"]) for one in mine}) == len(CHATS)  # what it says depends on what it is told
    assert least_lead(directory, mine) > 1e-3
    assert vllm_says(directory, tmp_path, tokens=24) == mine


def test_other_weights_are_noticed(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """The comparison would fail if vLLM put one matrix of one layer elsewhere."""
    directory = ours(tiny_model, tiny_tokenizer, tmp_path / "model")
    mine = we_say(directory, tokens=24)
    model, tokenizer = open_language_model(directory)
    with torch.no_grad():
        weights: Any = model.get_parameter("blocks.1.attention.out.weight")
        weights.copy_(weights.flip(0))
    save_model(model, directory, tokenizer)
    theirs = vllm_says(directory, tmp_path, tokens=24)
    assert [one["prompt"] for one in theirs] == [one["prompt"] for one in mine]
    assert [one["reply"] for one in theirs] != [one["reply"] for one in mine]


@pytest.mark.skipif(MODEL is None, reason="PRECEPTOR_VLLM_MODEL names no model directory")
def test_the_model_that_is_named(tmp_path: Path) -> None:
    assert MODEL is not None
    assert vllm_says(Path(MODEL), tmp_path, tokens=32) == we_say(Path(MODEL), tokens=32)
