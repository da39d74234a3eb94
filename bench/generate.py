"""Sampling throughput: our engine against transformers' generate, the same model in the same process.

The two alternate, because a machine's speed drifts; the ratio of the medians is the figure (on a
machine that others use, the ratio of the best times is the steadier one).
Two floors stand beside it: what the matrix products alone would take at the speed of one large
product, and what reading the weights and the keys and values once a step would take at the
speed of reading one large array. A step cannot do both at once for free.

    python bench/generate.py                 # a model of the quickstart's size, random weights
    python bench/generate.py --model runs/quickstart/base
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from preceptor.allocation import settle

settle()

import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from preceptor.generation.engine import generate  # noqa: E402
from preceptor.generation.sampling import SamplingConfig  # noqa: E402
from preceptor.models.checkpoint import load_language_model, write_model  # noqa: E402
from preceptor.models.config import ModelConfig, TransformerConfig  # noqa: E402
from preceptor.models.families import family  # noqa: E402
from preceptor.models.transformer import Transformer  # noqa: E402


def quickstart_size(directory: Path) -> None:
    """Save a randomly initialised model of the quickstart's shape."""
    config: TransformerConfig = family("llama", "bench").configure(ModelConfig(), 1536)
    model = Transformer(config)
    model.initialise(torch.Generator().manual_seed(0))
    write_model(model, directory)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_flops() -> float:
    """Floating-point operations a second of one large float32 product."""
    a = torch.randn(1024, 1024)
    return 2 * 1024**3 / min(seconds(lambda: a @ a) for _ in range(10))


def product_flops(model: Transformer, batch: int, prompt: int, new: int) -> float:
    """Operations in the matrix products, attention included, of generating without any waste."""
    config = model.config
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name)
    matrices -= model.head.weight.numel() if not config.tie_word_embeddings else 0
    matrices -= sum(p.numel() for name, p in model.named_parameters() if name == "positions.weight")
    tokens = prompt + new - 1
    width = config.num_attention_heads * config.head_dim * config.num_hidden_layers
    attention = 4 * width * tokens * (tokens + 1) / 2
    return batch * (2 * matrices * tokens + attention + 2 * config.hidden_size * config.vocab_size * new)


def read_bytes_per_second() -> float:
    """Bytes a second of reading one large array (the size of a cache of keys and values)."""
    a = torch.ones(1 << 22)
    return a.numel() * 4 / min(seconds(lambda: a.sum()) for _ in range(10))


def bytes_read(model: Transformer, batch: int, prompt: int, new: int) -> float:
    """Bytes of weights, keys and values that the steps must read, each once a step."""
    config = model.config
    weights = sum(p.numel() for p in model.parameters()) * 4
    token = 2 * config.num_key_value_heads * config.head_dim * config.num_hidden_layers * 4
    return new * (weights + batch * token * (prompt + new / 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model directory; default: the quickstart's shape, random weights")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=32, help="prompt length, random tokens")
    parser.add_argument("--new", type=int, default=64, help="new tokens a sequence; neither side stops earlier")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        directory = args.model or Path(scratch)
        if args.model is None:
            quickstart_size(directory)
        ours = load_language_model(directory)
        theirs = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    low = min(7, ours.config.vocab_size // 2)  # past the special tokens
    ids = torch.randint(low, ours.config.vocab_size, (args.batch, args.prompt), generator=torch.manual_seed(0))
    prompts = ids.tolist()
    sampling = SamplingConfig(max_new_tokens=args.new)

    def run_theirs() -> None:
        with torch.inference_mode():
            theirs.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
                max_new_tokens=args.new, min_new_tokens=args.new, pad_token_id=0,
            )  # fmt: skip

    def run_ours() -> None:
        generate(ours, prompts, sampling, eos_id=None, pad_id=0, max_slots=args.batch)

    seconds(run_theirs), seconds(run_ours)
    times = [(seconds(run_theirs), seconds(run_ours)) for _ in range(args.repeats)]
    tokens = args.batch * args.new
    their_time, our_time = (statistics.median(side) for side in zip(*times, strict=True))
    reading = bytes_read(ours, args.batch, args.prompt, args.new) / read_bytes_per_second()
    floor = product_flops(ours, args.batch, args.prompt, args.new) / peak_flops()
    print(
        json.dumps(
            {
                "batch": args.batch,
                "prompt": args.prompt,
                "new": args.new,
                "transformers_tokens_per_second": round(tokens / their_time),
                "preceptor_tokens_per_second": round(tokens / our_time),
                "arithmetic_floor_tokens_per_second": round(tokens / floor),
                "memory_floor_tokens_per_second": round(tokens / reading),
                "ratio": round(their_time / our_time, 2),
                "ratio_of_best_times": round(min(a for a, _ in times) / min(b for _, b in times), 2),
                "ratios": [round(a / b, 2) for a, b in times],
            }
        )
    )


if __name__ == "__main__":
    main()
