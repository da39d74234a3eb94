"""One instruction and its answer a record: Alpaca's, Dolly's, and prompt with completion.

``instruction`` and ``input`` (Dolly: ``context``) are the user's message, a blank line between; ``output``
(Dolly: ``response``) is the answer. LLaMA-Factory adds ``system`` and ``history``, a list of earlier
exchanges; both are kept. An answer that is empty leaves the prompt and is counted.
"""

from typing import Any

from pydantic import BaseModel, Field

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.readers.turns import add_conversation, check_turns, is_transcript, messages_of, transcript
from preceptor.text.conversation import Message

ALPACA = '{"instruction", "input", "output"}'
COMPLETION = '{"prompt", "completion"}'
KINDS = {  # Dolly's categories in InstructGPT's words
    **{kind: kind for kind in ("open_qa", "closed_qa", "classification", "brainstorming", "summarization")},
    "information_extraction": "extraction",
    "creative_writing": "generation",
    "general_qa": "open_qa",
}


class Instruction(BaseModel):
    """A record of Alpaca's or Dolly's; fields that are not needed are ignored."""

    instruction: str = Field(min_length=1)
    input: str | None = ""
    context: str | None = ""
    output: str | None = None
    response: str | None = None
    system: str | None = ""
    history: list[tuple[str, str]] | None = None
    category: str | None = ""


def is_alpaca(record: dict[str, Any]) -> bool:
    """Whether a record is an instruction with its answer."""
    return "instruction" in record and bool({"output", "response"} & record.keys())


def is_completion(record: dict[str, Any]) -> bool:
    """Whether a record is a prompt with a completion to learn. With a label (KTO) it may be one to avoid."""
    return "completion" in record and "prompt" in record and "label" not in record


def read_alpaca(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one instruction and its answer."""
    row = validate(Instruction, record, place, "a record is " + ALPACA)
    more = row.input or row.context or ""
    user = "\n\n".join(part for part in (row.instruction.strip(), more.strip()) if part)
    messages = [Message(role="system", content=row.system)] if row.system and row.system.strip() else []
    for asked, answered in row.history or []:
        messages += [Message(role="user", content=asked), Message(role="assistant", content=answered)]
    messages.append(Message(role="user", content=user))
    _add(messages, (row.output if row.output is not None else row.response) or "", "alpaca", place, into, row.category)


def read_completion(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one prompt and its completion; each is a text or a list of messages."""
    prompt, completion = record["prompt"], record["completion"]
    if is_transcript(prompt):
        messages = transcript(prompt)
    elif isinstance(prompt, str):
        messages = [Message(role="user", content=prompt.strip())]
    else:
        messages = messages_of(prompt, place, "prompt")
    if isinstance(completion, str):
        _add(messages, completion, "completions", place, into)
        return
    messages += messages_of(completion, place, "completion")
    check_turns(messages)
    add_conversation(messages, "completions", place, into)


def _add(
    messages: list[Message], answer: str, source: str, place: Place, into: Collected, category: str | None = ""
) -> None:
    check_turns(messages)
    if answer.strip():
        messages = [*messages, Message(role="assistant", content=answer.strip())]
    add_conversation(messages, source, place, into, KINDS.get(category or "", "other"))
