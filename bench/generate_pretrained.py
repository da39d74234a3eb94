"""Generation with a pretrained model of 135M parameters: our engine against transformers' generate, in one process.

Two kinds of work: sampling a batch of prompts, as rollouts do, and one stream decoded greedily, as a chat does. Same
weights, float32, neither side stops early. The sides alternate, because a machine's speed drifts; the ratio of the
medians is the figure. The floor is what the matrix products alone would take at the speed of large ones (a batch), or
what reading every weight once a token would at the speed of reading one large array (a single stream).

    python bench/generate_pretrained.py                    # SmolLM2-135M's shape with random weights
    python bench/generate_pretrained.py --model SmolLM2-135M-Instruct
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from preceptor.allocation import settle

settle()

import torch  # noqa: E402
from machine import Clock, Peak, add_options, attention_flops, head_flops, matrices, reading_speed  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from preceptor.generation.engine import Engine, generate  # noqa: E402
from preceptor.generation.sampling import SamplingConfig  # noqa: E402
from preceptor.models.checkpoint import load_language_model, write_model  # noqa: E402
from preceptor.models.config import TransformerConfig  # noqa: E402
from preceptor.models.transformer import Transformer  # noqa: E402

SMOLLM2_135M = TransformerConfig(
    family="llama", vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
    num_attention_heads=9, num_key_value_heads=3, head_dim=64, max_position_embeddings=8192,
    position="rotary", norm="rmsnorm", mlp="swiglu", bias=False, rope_theta=100_000.0,
)  # fmt: skip


def random_weights(directory: Path) -> None:
    """Save a model of SmolLM2-135M's shape."""
    model = Transformer(SMOLLM2_135M)
    model.initialise(torch.Generator().manual_seed(0))
    write_model(model, directory)


def alternate(
    clock: Clock, theirs: Callable[[], object], ours: Callable[[], object], repeats: int
) -> tuple[float, float, list[float]]:
    """Median seconds of both, and the ratio of each pair."""
    theirs(), ours()
    times = [(clock.seconds(theirs), clock.seconds(ours)) for _ in range(repeats)]
    their_time, our_time = (statistics.median(side) for side in zip(*times, strict=True))
    return their_time, our_time, [round(a / b, 2) for a, b in times]


class Work:
    """Both sides on the same prompts."""

    def __init__(self, directory: Path):
        self.ours = load_language_model(directory)
        self.chat: Engine | None = None
        self.theirs = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()

    def prompts(self, batch: int, length: int) -> torch.Tensor:
        """Random tokens."""
        return torch.randint(20, self.ours.config.vocab_size, (batch, length), generator=torch.manual_seed(0))

    def run_theirs(self, ids: torch.Tensor, new: int, sampled: bool) -> None:
        """transformers."""
        how = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0} if sampled else {"do_sample": False}
        with torch.inference_mode():
            self.theirs.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new, pad_token_id=0, **how
            )

    def run_ours(self, ids: torch.Tensor, new: int, sampled: bool) -> None:
        """Our engine. A batch prepares the weights each time, as rollouts must; a chat does so when it begins."""
        sampling = SamplingConfig(max_new_tokens=new, temperature=1.0 if sampled else 0.0)
        if sampled:
            generate(self.ours, ids.tolist(), sampling, eos_id=None, pad_id=0, max_slots=len(ids))
            return
        if self.chat is None:
            self.chat = Engine(self.ours, eos_id=None, pad_id=0, max_slots=1)
        self.chat.submit(ids[0].tolist(), sampling)
        while self.chat.busy:
            self.chat.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model directory; default: SmolLM2-135M's shape, random weights")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=40, help="prompt length, random tokens")
    parser.add_argument("--new", type=int, default=48, help="new tokens a prompt when a batch is sampled")
    parser.add_argument("--chat-new", type=int, default=64, help="new tokens of the single stream")
    parser.add_argument("--repeats", type=int, default=5)
    add_options(parser)
    args = parser.parse_args()
    clock = Clock(args)
    with tempfile.TemporaryDirectory() as scratch:
        directory = args.model or Path(scratch)
        if args.model is None:
            random_weights(directory)
        work = Work(directory)
    model, peak = work.ours, Peak(clock)
    peak.measure()
    tokens = args.prompt + args.new - 1
    flops = 2 * matrices(model) * tokens + attention_flops(model, tokens) + head_flops(model) * args.new
    weights = 4 * (matrices(model) + head_flops(model) // 2)
    cases = {
        "sample": (args.batch, args.new, True, args.batch * flops / peak.flops),
        "chat": (1, args.chat_new, False, args.chat_new * weights / reading_speed(clock)),
    }
    for name, (batch, new, sampled, floor) in cases.items():
        ids = work.prompts(batch, args.prompt)
        their_time, our_time, ratios = alternate(
            clock,
            lambda: work.run_theirs(ids, new, sampled),  # noqa: B023
            lambda: work.run_ours(ids, new, sampled),  # noqa: B023
            args.repeats,
        )
        figures = {
            "work": name, "batch": batch, "prompt": args.prompt, "new": new,
            "threads": clock.threads, "clock": "processor" if clock.cpu_time else "wall",
            "transformers_tokens_per_second": round(batch * new / their_time, 1),
            "preceptor_tokens_per_second": round(batch * new / our_time, 1),
            "floor_tokens_per_second": round(batch * new / floor, 1),
            "ratio": round(their_time / our_time, 2),
            "ratios": ratios,
        }  # fmt: skip
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
