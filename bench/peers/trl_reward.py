"""TRL's pairwise reward trainer as a peer of bench/reward_kwise.py, in an environment that has trl==0.24.0 (see
bench/ppo.py).

It sets up one trainer, then waits: every line on standard input is answered by one call of ``train``, which takes one
optimizer step on all pairs, and its seconds on standard output.
"""

import argparse
import json
import os
import sys
import tempfile
import time

answers = os.fdopen(os.dup(1), "w")  # what TRL itself prints goes to standard error
os.dup2(2, 1)

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, models  # noqa: E402
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast  # noqa: E402
from trl import RewardConfig, RewardTrainer  # noqa: E402


def make_trainer(args: argparse.Namespace, scratch: str) -> RewardTrainer:
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = 0
    # The trainer wants a tokenizer for its special ids alone: the pairs are ids already.
    words = {f"t{i}": i for i in range(model.config.vocab_size)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t0")), pad_token="t0", eos_token="t2"
    )
    with open(args.pairs) as file:
        pairs = [{f"{name}_input_ids": ids for name, ids in row.items()} for row in json.load(file)]
    config = RewardConfig(
        output_dir=scratch, report_to=[], save_strategy="no", logging_strategy="no", use_cpu=True, bf16=False,
        max_steps=1, per_device_train_batch_size=args.micro, gradient_accumulation_steps=len(pairs) // args.micro,
        gradient_checkpointing=False, max_length=None, learning_rate=1e-6, disable_tqdm=True,
    )  # fmt: skip
    return RewardTrainer(model=model, args=config, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a Llama directory")
    parser.add_argument("--pairs", required=True, help='a JSON list of {"chosen": ids, "rejected": ids}')
    parser.add_argument("--micro", type=int, required=True, help="pairs of one backward pass")
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
