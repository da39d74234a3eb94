"""The reward model's step on whole rankings, K = 9, against the same 36 pairs of each prompt through a pairwise
trainer.

Ours is the stage's own code: the prompt is computed once, each response once, and the loss compares all pairs of the
scores. The pairwise side scores both responses of every pair, 72 passes a prompt, and takes the same mean of the same
losses; it is our own model, so that the ratio says nothing but what the order of computing is worth. With
--trl-python TRL's RewardTrainer does it too (its environment: see bench/ppo.py). All sides take one AdamW step on the
same prompts, in turn.

Beside the ratio stands the arithmetic one: operations in the matrix products of the two sides.

    python bench/reward_kwise.py                                   # a model of the quickstart's size
    python bench/reward_kwise.py --model SmolLM2-135M-Instruct --prompts 1 --repeats 3
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from preceptor.allocation import settle

settle()

import torch  # noqa: E402
from machine import Clock, add_options, attention_flops, matrices  # noqa: E402
from peer import Peer  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from preceptor.algorithms.ranking import kwise_loss_per_prompt  # noqa: E402
from preceptor.models.checkpoint import load_language_model, write_model  # noqa: E402
from preceptor.models.config import ModelConfig  # noqa: E402
from preceptor.models.families import family  # noqa: E402
from preceptor.models.heads import ScalarModel  # noqa: E402
from preceptor.models.transformer import Transformer  # noqa: E402
from preceptor.stages.reward import RankedIds, RewardConfig, ranking_scores  # noqa: E402
from preceptor.training.loop import optimize  # noqa: E402
from preceptor.training.optimizer import Optimizer  # noqa: E402

K = 9
PAIRS = list(combinations(range(K), 2))


class Side:
    """A reward model and its optimizer; takes one step on all prompts."""

    def __init__(self, model: ScalarModel, rankings: list[RankedIds]):
        self.model, self.rankings = copy.deepcopy(model), rankings
        self.optimizer = Optimizer(self.model, RewardConfig(optimizer="adamw", lr=1e-6))
        self.loss = 0.0

    def step(self) -> None:
        """One optimizer step."""
        self.loss = optimize(self.optimizer, self.losses(), scale=1.0, where="bench")["loss"]

    def losses(self) -> Iterator[Tensor]:
        """One a micro-batch; their sum is the mean over prompts."""
        raise NotImplementedError


class KWise(Side):
    """The stage's way: 8 prompts, with all their responses, in a pass."""

    def losses(self) -> Iterator[Tensor]:
        for at in range(0, len(self.rankings), 8):
            scores, ranks, mask, weights = ranking_scores(self.model, self.rankings[at : at + 8], 0)
            yield (kwise_loss_per_prompt(scores, ranks, mask)[0] * weights).sum() / len(self.rankings)


class Pairwise(Side):
    """Every pair an example of its own, both responses with their prompt; ``micro`` pairs in a pass."""

    micro = 12

    def losses(self) -> Iterator[Tensor]:
        for one in self.rankings:
            ranks = one.rankings[0]
            pairs = [(i, j) if ranks[i] < ranks[j] else (j, i) for i, j in PAIRS]
            for at in range(0, len(pairs), self.micro):
                part = pairs[at : at + self.micro]
                ids = torch.tensor([one.ids[i] for i, _ in part] + [one.ids[j] for _, j in part])
                better, worse = self.model(ids)[:, -1].chunk(2)
                yield F.softplus(worse - better).sum() / len(PAIRS) / len(self.rankings)


def random_rankings(args: argparse.Namespace, vocabulary: int) -> list[RankedIds]:
    """Prompts with nine responses of random tokens, ranked without ties."""
    rng = torch.manual_seed(0)

    def tokens(length: int) -> list[int]:
        return torch.randint(7, vocabulary, (length,), generator=rng).tolist()

    prompts = [tokens(args.prompt) for _ in range(args.prompts)]
    ranks = [(torch.randperm(K, generator=rng) + 1).tolist() for _ in prompts]
    return [
        RankedIds([prompt + tokens(args.response) for _ in range(K)], [ranked])
        for prompt, ranked in zip(prompts, ranks, strict=True)
    ]


def flops(model: Transformer, args: argparse.Namespace) -> tuple[float, float]:
    """Operations of one prompt's forward pass, ours and pairwise."""
    whole = args.prompt + args.response
    alone = 2 * matrices(model) * whole + attention_flops(model, whole)
    shared = 2 * matrices(model) * args.prompt + attention_flops(model, args.prompt)
    return shared + K * (alone - shared), 2 * len(PAIRS) * alone


def peer(directory: Path, rankings: list[RankedIds], args: argparse.Namespace, clock: Clock) -> Peer:
    """TRL on the same pairs, in a process of its own."""
    rows = []
    for one in rankings:
        for i, j in PAIRS:
            better, worse = (i, j) if one.rankings[0][i] < one.rankings[0][j] else (j, i)
            rows.append({"chosen": one.ids[better], "rejected": one.ids[worse]})
    (directory / "pairs.json").write_text(json.dumps(rows))
    options = {"model": args.model or directory, "pairs": directory / "pairs.json", "micro": Pairwise.micro}
    return Peer("trl_reward.py", args.trl_python, options, clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a language model's directory; default: the quickstart's shape")
    parser.add_argument("--trl-python", help="the interpreter of the environment with TRL; without it, without TRL")
    parser.add_argument("--prompts", type=int, default=8, help="prompts, of nine responses each, in one step")
    parser.add_argument("--prompt", type=int, default=40, help="prompt length, random tokens")
    parser.add_argument("--response", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    add_options(parser)
    args = parser.parse_args()
    clock = Clock(args)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        if args.model is None:
            fresh = Transformer(family("llama", "bench").configure(ModelConfig(), 1536))
            fresh.initialise(torch.Generator().manual_seed(0))
            write_model(fresh, directory)
        model = ScalarModel(load_language_model(args.model or directory).train())
        model.initialise_head(torch.Generator().manual_seed(0))
        rankings = random_rankings(args, model.trunk.config.vocab_size)
        ours, pairwise = KWise(model, rankings), Pairwise(model, rankings)
        theirs = peer(directory, rankings, args, clock) if args.trl_python else None
        ours.step(), pairwise.step(), theirs and theirs.train()
        assert abs(ours.loss - pairwise.loss) < 1e-4, "both sides take the same mean of the same losses"
        our_times, pair_times, their_times = [], [], []
        for _ in range(args.repeats):
            our_times.append(clock.seconds(ours.step))
            pair_times.append(clock.seconds(pairwise.step))
            if theirs:
                their_times.append(theirs.train())
    our_flops, pair_flops = flops(model.trunk, args)
    our_time, pair_time = statistics.median(our_times), statistics.median(pair_times)
    figures = {
        "k": K, "prompts": args.prompts, "prompt": args.prompt, "response": args.response,
        "threads": clock.threads, "clock": "processor" if clock.cpu_time else "wall",
        "preceptor_prompts_per_second": round(args.prompts / our_time, 2),
        "pairwise_prompts_per_second": round(args.prompts / pair_time, 2),
        "ratio": round(pair_time / our_time, 2),
        "ratio_of_arithmetic": round(pair_flops / our_flops, 2),
        "ratios": [round(b / a, 2) for a, b in zip(our_times, pair_times, strict=True)],
    }  # fmt: skip
    if theirs:
        theirs.close()
        figures |= {
            "trl_prompts_per_second": round(args.prompts / statistics.median(their_times), 2),
            "ratio_to_trl": round(statistics.median(their_times) / our_time, 2),
            "ratios_to_trl": [round(b / a, 2) for a, b in zip(our_times, their_times, strict=True)],
        }
    print(json.dumps(figures))
    if not theirs:
        print("for the peer: --trl-python, see --help", file=sys.stderr)


if __name__ == "__main__":
    main()
