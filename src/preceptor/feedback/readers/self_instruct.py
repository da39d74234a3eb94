"""Self-instruct's tasks: an instruction with worked instances, written by people.

Two files are known: the seed tasks and the user-oriented instructions. Each instance is a
demonstration: instruction, a blank line, the input if there is one; then the output.
"""

from typing import Any

from pydantic import BaseModel, Field

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.schema import Demonstration, Prompt
from preceptor.text.conversation import Message

SOURCE = "self-instruct"
MEND = 'a task is {"id", "instruction", "instances": [{"input", "output"}]}'


class Instance(BaseModel):
    """An input (may be empty) and what a person wrote for it."""

    input: str = ""
    output: str


class Task(BaseModel):
    """A line of the file; fields that are not needed are ignored."""

    id: str
    instruction: str = Field(min_length=1)
    instances: list[Instance] = Field(min_length=1)
    is_classification: bool = False


def is_task(record: dict[str, Any]) -> bool:
    """Whether a record is a task."""
    return "instruction" in record and "instances" in record


def read_task(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add the prompt and the demonstration of each instance of one task."""
    task = validate(Task, record, place, MEND)
    if not task.instruction.strip():
        raise place.error("instruction: is blank; " + MEND)
    for number, instance in enumerate(task.instances):
        content = "\n\n".join(part for part in (task.instruction.strip(), instance.input.strip()) if part)
        prompt = Prompt(
            id=task.id if number == 0 else f"{task.id}/{number}",
            user=task.id,
            messages=[Message(role="user", content=content)],
            source=SOURCE,
            kind="classification" if task.is_classification else "other",
        )
        into.add_prompt(prompt, place)
        if instance.output.strip():
            answer = Message(role="assistant", content=instance.output.strip())
            into.demonstrations.append(Demonstration(prompt_id=prompt.id, messages=[*prompt.messages, answer]))
        else:
            into.skip("demonstrations", "instances without an output")
