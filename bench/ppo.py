"""PPO: episodes/s of our stage against TRL's trainer, the same model, prompts and shapes, in the same run.

Ours is the stage's own code: ``collect`` (rollout, reference, critic and reward model) and the learner's
step, without PPO-ptx, which TRL does not have. All responses have the full length on both sides: neither
lets the end token end one. The two alternate, because a machine's speed drifts; the figures are medians. The
floor is what the matrix products alone would take at the speed of large ones, measured in between. Memory is the most
that either process ever held. ``--lora-rank`` trains adapters over one frozen trunk on our side; TRL trains everything.

TRL 0.24 was the last with PPO, and pins an older `transformers`, so it needs an environment of its own:

    python -m venv TRL
    TRL/bin/pip install torch==2.13.0 trl==0.24.0 transformers==4.57.1 accelerate datasets
    python bench/ppo.py --trl-python TRL/bin/python
    python bench/ppo.py --trl-python TRL/bin/python --model SmolLM2-135M-Instruct --batch 16 --iterations 1
"""

import argparse
import copy
import json
import resource
import statistics
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from preceptor.allocation import settle

settle()

import torch  # noqa: E402
from machine import Clock, Peak, add_options, attention_flops, head_flops, matrices  # noqa: E402
from peer import Peer  # noqa: E402

from preceptor.generation.sampling import SamplingConfig  # noqa: E402
from preceptor.models.checkpoint import load_language_model, write_model  # noqa: E402
from preceptor.models.config import ModelConfig  # noqa: E402
from preceptor.models.families import family  # noqa: E402
from preceptor.models.heads import ScalarModel  # noqa: E402
from preceptor.models.lora import LoRAConfig, fork, fresh_adapters  # noqa: E402
from preceptor.models.transformer import Transformer  # noqa: E402
from preceptor.stages.ppo_config import PPOConfig  # noqa: E402
from preceptor.stages.ppo_learner import Learner  # noqa: E402
from preceptor.stages.ppo_models import Models  # noqa: E402
from preceptor.training.rollout import collect  # noqa: E402

# Stands for a tokenizer: no token ends a response; the reward model reads each with token 1 as its end.
NO_END = SimpleNamespace(pad_id=0, eos_ids=(), eos_id=1)


def full_models(directory: Path) -> Models:
    """Four models, each with its weights for itself, as TRL has them."""
    reference = load_language_model(directory)
    scorer = ScalarModel(copy.deepcopy(reference))
    scorer.initialise_head(torch.Generator().manual_seed(0))
    return Models(copy.deepcopy(reference), reference, copy.deepcopy(scorer), scorer)


def lora_models(directory: Path, rank: int) -> Models:
    """The same four over one frozen trunk, as the stage loads what the recipe has trained."""
    reference, lora = load_language_model(directory), LoRAConfig(rank=rank)
    scorer = ScalarModel(fresh_adapters(reference, lora, 0, "reward"))
    scorer.initialise_head(torch.Generator().manual_seed(0))
    return Models(fresh_adapters(reference, lora, 0, "ppo"), reference, fork(scorer), scorer)


class Ours:
    """Our stage on prompts of ids."""

    def __init__(self, directory: Path, prompts: list[list[int]], args: argparse.Namespace):
        self.prompts, self.batch, self.iterations = prompts, args.batch, args.iterations
        self.config = PPOConfig(
            batch=args.batch, minibatch=args.batch, max_new_tokens=args.response, ptx_coef=0.0, lr=1e-6, critic_lr=1e-6
        )
        self.models = lora_models(directory, args.lora_rank) if args.lora_rank else full_models(directory)
        self.learner = Learner(self.config, self.models, None, 0)
        self.sampling = SamplingConfig(max_new_tokens=args.response)
        self.done = 0

    def train(self) -> None:
        """Some iterations of PPO."""
        for _ in range(self.iterations):
            at = self.done * self.batch % len(self.prompts)
            rollout = collect(
                self.models.policy, self.prompts[at : at + self.batch],
                reference=self.models.reference, critic=self.models.critic, reward_model=self.models.reward,
                tokenizer=NO_END, sampling=self.sampling, no_end_penalty=self.config.no_end_penalty,
                keys=[("ppo", self.done, place) for place in range(self.batch)],
            )  # fmt: skip
            assert bool((rollout.lengths == self.config.max_new_tokens).all())
            self.learner.learn(self.done, rollout)
            self.done += 1


def theirs_for(directory: Path, prompts: Path, args: argparse.Namespace, clock: Clock) -> Peer:
    """TRL on the same prompts."""
    options = {
        "model": directory, "prompts": prompts, "batch": args.batch, "iterations": args.iterations,
        "micro": args.batch // 4, "response": args.response,
    }  # fmt: skip
    return Peer("trl_ppo.py", args.trl_python, options, clock)


def episode_flops(model: Transformer, prompt: int, response: int, lora: bool) -> float:
    """Products of one episode without any waste, in passes forward: the rollout, reference, critic and reward
    model once each, policy and critic three times (there and back) in the update, twice over frozen weights."""
    tokens, update = prompt + response - 1, 2 if lora else 3
    passes = 1 + 3 + 2 * update
    blocks = passes * (2 * matrices(model) * tokens + attention_flops(model, tokens))
    return blocks + (2 + update) * head_flops(model) * response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", help="the interpreter of the environment with TRL; without it, ours alone")
    parser.add_argument("--model", type=Path, help="a Llama directory; default: one of 0.9 M random parameters")
    parser.add_argument("--lora-rank", type=int, default=0, help="adapters of this rank on our side; 0: everything")
    parser.add_argument("--prompt", type=int, default=40, help="prompt length, random tokens")
    parser.add_argument("--response", type=int, default=48)
    parser.add_argument("--batch", type=int, default=64, help="episodes of an iteration and of an optimizer step")
    parser.add_argument("--iterations", type=int, default=2, help="iterations of one measurement")
    parser.add_argument("--repeats", type=int, default=5)
    add_options(parser)
    args = parser.parse_args()
    clock = Clock(args)
    with tempfile.TemporaryDirectory() as scratch:
        directory = args.model or Path(scratch)
        if not args.model:
            small = Transformer(family("llama", "bench").configure(ModelConfig(), 1024))
            small.initialise(torch.Generator().manual_seed(0))
            write_model(small, directory)
        shape = (args.batch * args.iterations, args.prompt)
        prompts = torch.randint(7, 1024, shape, generator=torch.manual_seed(0)).tolist()
        listed = Path(scratch) / "prompts.json"
        listed.write_text(json.dumps(prompts))
        ours, peak = Ours(directory, prompts, args), Peak(clock)
        model = ours.models.reference
        theirs = theirs_for(directory, listed, args, clock) if args.trl_python else None
        ours.train(), theirs and theirs.train()
        our_times, their_times = [], []
        for _ in range(args.repeats):
            peak.measure()
            our_times.append(clock.seconds(ours.train))
            if theirs:
                their_times.append(theirs.train())
    episodes, our_time = args.batch * args.iterations, statistics.median(our_times)
    floor = peak.flops / episode_flops(model, args.prompt, args.response, args.lora_rank > 0)
    figures = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "lora_rank": args.lora_rank,
        "prompt": args.prompt,
        "response": args.response,
        "batch": args.batch,
        "threads": clock.threads,
        "preceptor_episodes_per_second": round(episodes / our_time, 3),
        "preceptor_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "floor_episodes_per_second": round(floor, 3),
        "peak_gflops": round(peak.flops / 1e9),
        "share_of_floor": round(episodes / our_time / floor, 3),
    }
    if theirs:
        their_bytes = theirs.peak_bytes()
        theirs.close()
        their_time = statistics.median(their_times)
        figures |= {
            "trl_episodes_per_second": round(episodes / their_time, 3),
            "trl_peak_bytes": their_bytes,
            "ratio": round(their_time / our_time, 2),
            "ratio_of_best_times": round(min(their_times) / min(our_times), 2),
            "ratios": [round(b / a, 2) for a, b in zip(our_times, their_times, strict=True)],
        }
    print(json.dumps(figures))
    if not theirs:
        print("for the peer: --trl-python, see --help", file=sys.stderr)


if __name__ == "__main__":
    main()
