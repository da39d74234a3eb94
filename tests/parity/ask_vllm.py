"""Run in vLLM's own environment by test_vllm.py: QUESTION.json names a model and chats, ANSWER.json gets ids.

Nothing of Preceptor is imported here.
"""

import json
import sys
from pathlib import Path

from vllm import LLM, SamplingParams


def main() -> None:
    question = json.loads(Path(sys.argv[1]).read_text())
    llm = LLM(
        question["model"],
        dtype="float32",
        enforce_eager=True,
        max_model_len=128,
        max_num_seqs=8,
        enable_prefix_caching=False,
    )
    greedy = SamplingParams(temperature=0, max_tokens=question["tokens"])
    made = llm.chat(question["chats"], greedy, use_tqdm=False)
    answer = [{"prompt": list(one.prompt_token_ids), "reply": list(one.outputs[0].token_ids)} for one in made]
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":  # vLLM starts processes that import this file again
    main()
