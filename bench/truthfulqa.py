"""TruthfulQA by choice: ours against lm-evaluation-harness on one file and one model, in one process.

Prints MC1 and MC2 of both, the largest difference of any question, and how many times faster ours is. The harness's own
task is used, its prompt included, but for the data, which it reads from the user's file; float32 on both sides.
Needs `pip install lm_eval==0.4.13` (in an environment of its own: it brings many packages).

    python bench/truthfulqa.py --model SmolLM2-135M-Instruct --file mc_task.json --limit 40
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is on the disk

from preceptor.allocation import settle

settle()

import lm_eval  # noqa: E402
import torch  # noqa: E402
from jinja2 import Template  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from machine import Clock, add_options  # noqa: E402

from preceptor.evaluation.truthfulqa import Question, measure, read_questions  # noqa: E402
from preceptor.models.checkpoint import open_language_model  # noqa: E402

MEASURES = ("mc1", "mc2")


def write_tasks(questions: list[Question], directory: Path) -> str:
    """The harness's tasks over the questions, in ``directory``; gives the examples of its prompt."""
    rows = []
    for one in questions:
        row: dict[str, Any] = {"question": one.question}
        for name in MEASURES:
            answers = one.targets()[name]
            # The harness takes the first answer of MC1 for the true one.
            ordered = sorted(answers, key=lambda answer: -answers[answer]) if name == "mc1" else list(answers)
            row[f"{name}_targets"] = {"choices": ordered, "labels": [answers[answer] for answer in ordered]}
        rows.append(row)
    (directory / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = Path(lm_eval.__file__).parent / "tasks" / "truthfulqa"
    for name in MEASURES:
        (directory / f"{name}.yaml").write_text(
            f"include: {tasks / f'truthfulqa_{name}.yaml'}\n"
            f"task: local_{name}\ndataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs: {{data_files: {{validation: {directory / 'questions.jsonl'}}}}}\n"
        )
    manager = TaskManager(include_path=str(directory), include_defaults=False)
    config = manager.load(["local_mc1"])["tasks"]["local_mc1"].config
    return str(Template(config.doc_to_text).render(question="?")).removesuffix("\n\nQ: ?\nA:")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a model directory")
    parser.add_argument("--file", type=Path, required=True, help="TruthfulQA's mc_task.json")
    parser.add_argument("--limit", type=int, default=40, help="the first N questions")
    parser.add_argument("--batch", type=int, default=8, help="the harness's batch size")
    add_options(parser)
    args = parser.parse_args()
    clock = Clock(args)
    questions = read_questions(args.file)[: args.limit]
    ours, tokenizer = open_language_model(args.model)
    theirs = HFLM(pretrained=str(args.model), dtype="float32", device="cpu", batch_size=args.batch)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        examples = write_tasks(questions, Path(scratch))
        manager = TaskManager(include_path=scratch, include_defaults=False)
        tasks = [f"local_{name}" for name in MEASURES]

        def run_theirs() -> None:
            found["theirs"] = lm_eval.simple_evaluate(theirs, tasks=tasks, task_manager=manager, bootstrap_iters=0)

        def run_ours() -> None:
            found["ours"] = list(measure(ours, tokenizer, questions, examples))

        list(measure(ours, tokenizer, questions[:1], examples))  # the first pass of a process is slow
        their_time, our_time = clock.seconds(run_theirs), clock.seconds(run_ours)
    figures: dict[str, Any] = {"questions": len(questions), "threads": clock.threads, "torch": torch.__version__}
    for name in MEASURES:
        rows = sorted(found["theirs"]["samples"][f"local_{name}"], key=lambda row: row["doc_id"])
        pairs = [(float(row["acc"]), item[name]) for row, item in zip(rows, found["ours"], strict=True)]
        figures[name] = {
            "harness": round(sum(a for a, _ in pairs) / len(pairs), 6),
            "preceptor": round(sum(b for _, b in pairs) / len(pairs), 6),
            "largest_difference": max(abs(a - b) for a, b in pairs),
        }
    figures |= {"harness_seconds": round(their_time, 1), "preceptor_seconds": round(our_time, 1)}
    print(json.dumps(figures | {"ratio": round(their_time / our_time, 2)}))


if __name__ == "__main__":
    main()
