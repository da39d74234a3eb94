"""Talking to a model in a terminal."""

import sys
from collections.abc import Sequence
from pathlib import Path

from preceptor.errors import InputError
from preceptor.generation.engine import Engine, Generation
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.text.conversation import Message, render_prompt

HELP = "Type a message. /new starts over, /quit or Ctrl-D ends."


def chat(directory: Path, sampling: SamplingConfig, system: str | None = None) -> None:
    """Read messages from standard input and print the model's replies until the input ends.

    What no longer fits into the context is forgotten, oldest exchange first; the system message stays.
    """
    model, tokenizer = open_language_model(directory)
    place(model, COMPUTE)
    context = model.context
    room = context - sampling.max_new_tokens
    if room < 8:
        raise InputError(
            f"--max-new-tokens {sampling.max_new_tokens} leaves no room for a message in the context of {context}; "
            "lower it"
        )
    # Once: it copies the weights.
    engine = Engine(model, eos_id=tokenizer.eos_ids, pad_id=tokenizer.pad_id, max_slots=1)
    at_keyboard = sys.stdin.isatty()
    if at_keyboard:
        print(HELP)
    start = [Message(role="system", content=system)] if system else []
    messages, turn = list(start), 0
    while True:
        try:
            text = input("you> " if at_keyboard else "").strip()
        except EOFError:
            return
        if text == "/quit":
            return
        if text == "/new":
            messages = list(start)
            continue
        if not text:
            continue
        messages.append(Message(role="user", content=text))
        prompt = render_prompt(tokenizer, messages, room)
        answer = tokenizer.decode(_reply(engine, prompt.ids, sampling, turn).ids).strip()
        print(answer, flush=True)
        messages.append(Message(role="assistant", content=answer))
        turn += 1


def _reply(engine: Engine, prompt: Sequence[int], sampling: SamplingConfig, turn: int) -> Generation:
    (ticket,) = engine.submit(prompt, sampling, key=("chat", turn))
    finished: dict[int, Generation] = {}
    while ticket not in finished:
        finished = engine.step()
    return finished[ticket]
