"""TRL's PPO trainer as a peer of bench/ppo.py, in an environment that has trl==0.24.0 (see there).

It sets up one trainer with policy, reference, critic and reward model of the same directory, then waits:
every line on standard input is answered by one call of ``train`` and its seconds on standard output.
"""

import argparse
import json
import os
import sys
import tempfile
import time

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
answers = os.fdopen(os.dup(1), "w")  # what TRL itself prints goes to standard error
os.dup2(2, 1)

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, models  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)
from trl import PPOConfig, PPOTrainer  # noqa: E402


def make_trainer(args: argparse.Namespace, scratch: str) -> PPOTrainer:
    def load(kind: type, **options: int) -> torch.nn.Module:
        model = kind.from_pretrained(args.model, dtype=torch.float32, **options)
        model.config.pad_token_id = 0
        return model

    policy = load(AutoModelForCausalLM)
    # PPOTrainer wants a tokenizer for its special ids alone: the prompts are ids already.
    words = {f"t{i}": i for i in range(policy.config.vocab_size)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t0")),
        pad_token="t0", eos_token="t2", padding_side="left",
    )  # fmt: skip
    with open(args.prompts) as file:
        prompts = Dataset.from_list([{"input_ids": ids} for ids in json.load(file)])
    config = PPOConfig(
        output_dir=scratch, report_to=[], save_strategy="no", use_cpu=True, bf16=False, fp16=False,
        total_episodes=args.batch * args.iterations, num_ppo_epochs=1, num_mini_batches=1,
        per_device_train_batch_size=args.micro, gradient_accumulation_steps=args.batch // args.micro,
        local_rollout_forward_batch_size=args.batch, response_length=args.response,
        temperature=1.0, num_sample_generations=0, learning_rate=1e-6,
    )  # fmt: skip
    return PPOTrainer(
        args=config, processing_class=tokenizer, train_dataset=prompts, eval_dataset=prompts.select(range(2)),
        model=policy, ref_model=load(AutoModelForCausalLM),
        value_model=load(AutoModelForSequenceClassification, num_labels=1),
        reward_model=load(AutoModelForSequenceClassification, num_labels=1),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a Llama directory")
    parser.add_argument("--prompts", required=True, help="a JSON list of lists of ids")
    parser.add_argument("--batch", type=int, required=True, help="episodes of an iteration")
    parser.add_argument("--iterations", type=int, required=True, help="iterations of one call of train")
    parser.add_argument("--micro", type=int, required=True, help="episodes of one backward pass")
    parser.add_argument("--response", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cpu-time", action="store_true", help="answer with processor seconds")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    now = time.process_time if args.cpu_time else time.perf_counter
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make_trainer(args, scratch)
        print(json.dumps("ready"), file=answers, flush=True)
        for _ in sys.stdin:
            start = now()
            trainer.train()
            print(json.dumps(now() - start), file=answers, flush=True)


main()
