"""Which reader a record needs: our own formats, or one of those that others publish."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.feedback.readers import oasst, qa_feedback, self_instruct
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.records import Place, read_records, validate
from preceptor.feedback.schema import Demonstration, Prompt, Ranking
from preceptor.text.conversation import Message

Wanted = Literal["prompts", "demonstrations", "rankings"]

PROMPT = 'a prompt is {"id", "user", "messages": [..., {"role": "user", "content"}]}'
DEMONSTRATION = 'a demonstration is {"prompt_id", "messages": [..., {"role": "assistant", "content"}], "labeler"}'
RANKING = 'a ranking is {"prompt_id", "messages", "responses": [{"text", "model"}, ...], "ranks", "labeler"}'


def read_demonstrations(paths: Sequence[Path], into: Collected | None = None) -> Collected:
    """The demonstrations (and their prompts) of files in any known format; none is an error."""
    return _read(paths, "demonstrations", into)


def read_rankings(paths: Sequence[Path], into: Collected | None = None) -> Collected:
    """The rankings (and their prompts) of files in any known format; none is an error."""
    return _read(paths, "rankings", into)


def read_prompts(paths: Sequence[Path], into: Collected | None = None) -> Collected:
    """The prompts of files in any known format; none is an error."""
    return _read(paths, "prompts", into)


def _read(paths: Sequence[Path], wanted: Wanted, into: Collected | None) -> Collected:
    """Add what is wanted of each file to ``into``, with the prompts it belongs to.

    A record may hold more than is wanted (a tree has demonstrations and rankings): the rest is left.
    """
    into = Collected() if into is None else into
    for path in paths:
        found = Collected(prompts=into.prompts, places=into.places)  # ids are unique over all files
        records = 0
        for place, record in read_records(path):
            _reader(record, wanted, place)(record, place, found)
            records += 1
        if not records:
            raise InputError(f"{path}: is empty; it needs at least one record with {wanted}")
        if wanted != "prompts" and not getattr(found, wanted):
            left_out = "".join(f"; left out: {count} {reason}" for _, reason, count in _skipped(found, wanted))
            raise InputError(f"{path}: none of its {records} records gives {wanted}{left_out}; leave the file out")
        if wanted == "demonstrations":
            into.demonstrations += found.demonstrations
        elif wanted == "rankings":
            into.rankings += found.rankings
        for of, reason, count in _skipped(found, wanted):
            into.skip(of, reason, count)
    return into


def _skipped(found: Collected, wanted: Wanted) -> list[tuple[str, str, int]]:
    """(wanted, reason, count) of what was left out of what is wanted, and of all records alike."""
    return [
        (wanted, reason, count) for of in ("records", wanted) for reason, count in found.skipped.get(of, {}).items()
    ]


def _reader(record: dict[str, Any], wanted: Wanted, place: Place) -> Callable[[dict[str, Any], Place, Collected], None]:
    """The reader for a record, by what it holds."""
    if oasst.is_tree(record):
        return oasst.read_tree
    if qa_feedback.is_record(record):
        return qa_feedback.read_record
    if self_instruct.is_task(record):
        if wanted == "rankings":
            raise place.error("is a self-instruct task, which ranks nothing; list the file under demonstrations")
        return self_instruct.read_task
    if {"message_id", "parent_id", "text"} <= record.keys():
        raise place.error("is a single message of Open Assistant's; export trees (message_tree_id, prompt, replies)")
    is_ranking = "ranks" in record or "responses" in record
    if wanted == "rankings" and ("messages" in record or is_ranking):
        return _read_ranking
    if is_ranking:
        raise place.error(f"is a ranking and not one of the {wanted}; list the file under rankings")
    if wanted == "demonstrations" and ("messages" in record or "prompt_id" in record):
        return _read_demonstration
    if wanted == "prompts" and "messages" in record:
        return _read_prompt
    shape = {"prompts": PROMPT, "demonstrations": DEMONSTRATION, "rankings": RANKING}[wanted]
    raise place.error(
        f"a record with the fields {', '.join(map(repr, list(record)[:6])) or '(none)'} is of no known format; {shape}"
    )


def _read_prompt(record: dict[str, Any], place: Place, into: Collected) -> None:
    prompt = validate(Prompt, record, place, PROMPT)
    if not prompt.messages[-1].content.strip():
        raise place.error(f"messages: the prompt must end with words of the user; {PROMPT}")
    into.add_prompt(prompt, place)


def _read_demonstration(record: dict[str, Any], place: Place, into: Collected) -> None:
    row = validate(Demonstration, record, place, DEMONSTRATION)
    into.add_prompt(_prompt(row.prompt_id, row.messages[:-1], place, DEMONSTRATION), place)
    into.demonstrations.append(row)


def _read_ranking(record: dict[str, Any], place: Place, into: Collected) -> None:
    if isinstance(record.get("responses"), list) and len(record["responses"]) == 1:
        raise place.error("ranks a single response, which compares nothing; give at least 2")
    row = validate(Ranking, record, place, RANKING)
    into.add_prompt(_prompt(row.prompt_id, row.messages, place, RANKING), place)
    into.rankings.append(row)


def _prompt(prompt_id: str, messages: list[Message], place: Place, mend: str) -> Prompt:
    """The prompt of a demonstration or ranking. The formats name no user: each prompt is its own."""
    if messages[-1].role != "user" or not messages[-1].content.strip():
        raise place.error(f"messages: the prompt must end with words of the user; {mend}")
    return Prompt(id=prompt_id, user=prompt_id, messages=messages)
