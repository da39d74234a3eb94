"""Pretraining: tokens/s of our step, its share of the machine's matrix-product peak, and a plain eager peer.

Ours is the stage's own step (packed documents that do not see each other, micro-batches, clipping,
Muon); the peer is `transformers`' Llama of the same shape, with its own loss on whole rows and
torch's AdamW. Large products, our step and the peer's alternate, because a machine's speed drifts; the
figures are medians, and the best beside them, which other users of the machine disturb least.

    python bench/pretrain.py
    python bench/pretrain.py --set model.hidden_size=256 --set model.intermediate_size=704
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from preceptor.allocation import settle

settle()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from machine import Clock, Peak, add_options, attention_flops, head_flops, matrices  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from preceptor.models.checkpoint import write_model  # noqa: E402
from preceptor.models.families import family  # noqa: E402
from preceptor.models.transformer import Transformer  # noqa: E402
from preceptor.recipe import Recipe  # noqa: E402
from preceptor.text.packing import pack_documents  # noqa: E402
from preceptor.training.corpus import Corpus, next_token_loss, next_token_mask  # noqa: E402
from preceptor.training.loop import optimize  # noqa: E402
from preceptor.training.optimizer import Optimizer  # noqa: E402


def random_corpus(rows: int, length: int, vocabulary: int, document: float) -> Corpus:
    """Packed documents of random tokens, ``document`` long on average, as the built-in corpus has them."""
    rng, shortest = np.random.default_rng(0), 8
    documents = []
    while sum(map(len, documents)) < rows * length:
        tokens = shortest + int(rng.exponential(document - shortest))
        documents.append(rng.integers(7, vocabulary, tokens).tolist())
    ids, segments = pack_documents(documents, length)
    return Corpus(torch.from_numpy(ids[:rows]).long(), torch.from_numpy(segments[:rows]).long())


def step_flops(model: Transformer, corpus: Corpus) -> float:
    """Products of one training step without any waste: attention inside the documents, the vocabulary where
    a token is predicted; twice the forward pass again for the way back."""
    segments = corpus.segments[:, :-1]
    lengths = [int(n) for row in segments for n in torch.bincount(row)[1:]]
    forward = 2 * matrices(model) * segments.numel() + head_flops(model) * corpus.tokens
    return 3 * (forward + sum(attention_flops(model, length) for length in lengths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the quickstart recipe")
    parser.add_argument("--document", type=float, default=30, help="mean tokens of a document")
    parser.add_argument("--repeats", type=int, default=15)
    add_options(parser)
    args = parser.parse_args()
    clock = Clock(args)
    recipe = Recipe.load("quickstart", args.set)
    config, length = recipe.pretrain, recipe.model.max_position_embeddings
    shape = family(recipe.model.family, "model.family").configure(recipe.model, recipe.tokenizer.vocab_size)
    ours = Transformer(shape)
    ours.initialise(torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as scratch:
        write_model(ours, Path(scratch))
        theirs = AutoModelForCausalLM.from_pretrained(scratch, dtype=torch.float32).train()
    corpus = random_corpus(config.batch_rows, length, shape.vocab_size, args.document)
    chosen = next_token_mask(corpus.segments)
    parts = [slice(at, at + config.micro_rows) for at in range(0, config.batch_rows, config.micro_rows)]
    optimizer = Optimizer(ours, config)
    adamw = torch.optim.AdamW(theirs.parameters(), lr=1e-4)

    def losses() -> Iterator[torch.Tensor]:
        for part in parts:
            ids, segments = corpus.ids[part], corpus.segments[part]
            loss = next_token_loss(ours, ids, segments, chosen[part], isolate=config.isolate_documents)
            yield loss / corpus.tokens

    def run_ours() -> None:
        optimize(optimizer, losses(), scale=0.01, where="bench")

    def run_theirs() -> None:
        for part in parts:
            loss = theirs(input_ids=corpus.ids[part], labels=corpus.ids[part]).loss / len(parts)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()

    peak = Peak(clock)
    run_ours(), run_theirs()
    times = []
    for _ in range(args.repeats):
        peak.measure()
        times.append((clock.seconds(run_ours), clock.seconds(run_theirs)))
    our_times, their_times = zip(*times, strict=True)
    our_time, their_time = statistics.median(our_times), statistics.median(their_times)
    tokens, flops = corpus.ids.numel(), step_flops(ours, corpus)
    print(
        json.dumps(
            {
                "parameters": sum(p.numel() for p in ours.parameters()),
                "rows": config.batch_rows,
                "length": length,
                "threads": clock.threads,
                "peak_gflops": round(peak.flops / 1e9),
                "preceptor_tokens_per_second": round(tokens / our_time),
                "preceptor_gflops": round(flops / our_time / 1e9),
                "share_of_peak": round(flops / our_time / peak.flops, 3),
                "share_of_peak_at_best": round(flops / min(our_times) / max(peak.seen), 3),
                "transformers_tokens_per_second": round(tokens / their_time),
                "ratio": round(their_time / our_time, 2),
                "ratio_at_best": round(min(their_times) / min(our_times), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
