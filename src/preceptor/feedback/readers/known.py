"""Every format that is read: what its records look like, what they give, and which reader takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.feedback.readers import (
    bare,
    chats,
    comparisons,
    forums,
    instructions,
    many_answers,
    oasst,
    own,
    pandalm,
    qa_feedback,
    self_instruct,
)
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.evaluation_sets import evaluation_set
from preceptor.feedback.readers.places import Place

Wanted = Literal["prompts", "demonstrations", "rankings"]
MAX_FIELDS_NAMED = 8
MAX_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Reader:
    """A format. Prompts come from all of them; ``gives`` is what comes besides."""

    name: str
    title: str  # "is <title>", in errors
    shape: str
    fields: tuple[str, ...]  # that a record must have
    gives: tuple[Wanted, ...]
    fits: Callable[[dict[str, Any]], bool]
    read: Callable[[dict[str, Any], Place, Collected], None]


_BOTH: tuple[Wanted, ...] = ("demonstrations", "rankings")
_DEMONSTRATIONS: tuple[Wanted, ...] = ("demonstrations",)
_RANKINGS: tuple[Wanted, ...] = ("rankings",)

# The first that fits takes a record, so the narrower ones come first.
READERS = (
    Reader(
        "open-assistant",
        "a conversation tree of Open Assistant's",
        '{"message_tree_id", "prompt": {"text", "role", "replies": [...]}}',
        ("message_tree_id", "prompt"),
        _BOTH,
        oasst.is_tree,
        oasst.read_tree,
    ),
    Reader(
        "qa-feedback",
        "a question of QA-feedback",
        '{"question", "passages", "prediction 1" to "prediction 4", "preference"}',
        ("question", "preference", "prediction 1"),
        _BOTH,
        qa_feedback.is_record,
        qa_feedback.read_record,
    ),
    Reader(
        "self-instruct",
        "a self-instruct task",
        '{"id", "instruction", "instances": [{"input", "output"}]}',
        ("instruction", "instances"),
        _DEMONSTRATIONS,
        self_instruct.is_task,
        self_instruct.read_task,
    ),
    Reader(
        "pandalm",
        "a judged pair of PandaLM's",
        pandalm.PANDALM,
        ("instruction", "response1", "response2", "annotator1"),
        _RANKINGS,
        pandalm.is_judged,
        pandalm.read_judged,
    ),
    Reader(
        "ultrafeedback",
        "a set of rated completions of UltraFeedback's",
        many_answers.ULTRAFEEDBACK,
        ("instruction", "completions"),
        _RANKINGS,
        many_answers.is_ultrafeedback,
        many_answers.read_ultrafeedback,
    ),
    Reader(
        "nectar",
        "a list of ranked answers",
        many_answers.NECTAR,
        ("prompt", "answers"),
        _RANKINGS,
        many_answers.is_nectar,
        many_answers.read_nectar,
    ),
    Reader(
        "shp",
        "a pair of replies of SHP's",
        forums.SHP,
        ("history", "human_ref_A", "human_ref_B", "labels"),
        _RANKINGS,
        forums.is_shp,
        forums.read_shp,
    ),
    Reader(
        "summaries",
        "a comparison of summaries",
        forums.SUMMARIES,
        ("info", "summaries", "choice"),
        _RANKINGS,
        forums.is_summaries,
        forums.read_summaries,
    ),
    Reader(
        "hh-rlhf",
        "a pair of transcripts",
        comparisons.HH,
        ("chosen", "rejected"),
        _RANKINGS,
        comparisons.is_hh,
        comparisons.read_hh,
    ),
    Reader(
        "preferences",
        "a preferred and a rejected response",
        comparisons.PAIR,
        ("prompt", "chosen", "rejected"),
        _RANKINGS,
        comparisons.is_pair,
        comparisons.read_pair,
    ),
    Reader(
        "rankings",
        "a ranking",
        own.RANKING,
        ("prompt_id", "messages", "responses", "ranks"),
        _RANKINGS,
        own.is_ranking,
        own.read_ranking,
    ),
    Reader(
        "demonstrations",
        "a demonstration",
        own.DEMONSTRATION,
        ("prompt_id", "messages"),
        _DEMONSTRATIONS,
        own.is_demonstration,
        own.read_demonstration,
    ),
    Reader("prompts", "a prompt", own.PROMPT, ("id", "user", "messages"), (), own.is_prompt, own.read_prompt),
    Reader(
        "messages",
        "a conversation in messages",
        chats.MESSAGES,
        ("messages",),
        _DEMONSTRATIONS,
        chats.is_messages,
        chats.read_messages,
    ),
    Reader(
        "sharegpt",
        "a conversation of ShareGPT's kind",
        chats.SHAREGPT,
        ("conversations",),
        _DEMONSTRATIONS,
        chats.is_sharegpt,
        chats.read_sharegpt,
    ),
    Reader(
        "alpaca",
        "an instruction with its answer",
        instructions.ALPACA,
        ("instruction", "output"),
        _DEMONSTRATIONS,
        instructions.is_alpaca,
        instructions.read_alpaca,
    ),
    Reader(
        "completions",
        "a prompt with its completion",
        instructions.COMPLETION,
        ("prompt", "completion"),
        _DEMONSTRATIONS,
        instructions.is_completion,
        instructions.read_completion,
    ),
    Reader("bare-prompts", "a prompt alone", bare.BARE, ("prompt",), (), bare.is_bare, bare.read_bare),
)
BY_NAME = {reader.name: reader for reader in READERS}


def reader_named(name: str) -> Reader:
    """The reader that a key or an option names."""
    if name not in BY_NAME:
        raise InputError(f"there is no format {name!r}; use one of {', '.join(BY_NAME)}")
    return BY_NAME[name]


def reader_for(record: dict[str, Any], wanted: Wanted | None, place: Place) -> Reader:
    """The reader that a record fits; if none does, the error says what was found and what would fit."""
    for reader in READERS:
        if reader.fits(record):
            return reader
    if {"message_id", "parent_id", "text"} <= record.keys():
        raise place.error("is a single message of Open Assistant's; export trees (message_tree_id, prompt, replies)")
    known = evaluation_set(record)
    if known is not None:
        raise place.error(known.sentence())
    near = _nearest(record, wanted)
    shapes = "; ".join(f"{reader.title} ({reader.name}) is {reader.shape}" for reader in near)
    others = ", ".join(reader.name for reader in READERS if reader not in near)
    raise place.error(f"a record with the fields {_fields(record)} fits no format; {shapes}; the others are {others}")


def _nearest(record: dict[str, Any], wanted: Wanted | None) -> list[Reader]:
    """The two that share most of their fields with the record, the more general first; else our own format."""

    def shared(reader: Reader) -> float:
        return len(record.keys() & set(reader.fields)) / len(reader.fields)

    of_use = [reader for reader in reversed(READERS) if wanted in (None, "prompts", *reader.gives)]
    close = sorted((reader for reader in of_use if shared(reader)), key=shared, reverse=True)[:2]
    ours = [BY_NAME[wanted]] if wanted else [BY_NAME["messages"], BY_NAME["preferences"]]
    return [*dict.fromkeys(close or ours)]


def _fields(record: dict[str, Any]) -> str:
    """The names of a record's fields, as many as a line can take, so quoted that nothing in them acts."""
    names = [repr(name if len(name) <= MAX_NAME_CHARACTERS else name[:MAX_NAME_CHARACTERS] + "...") for name in record]
    more = len(names) - MAX_FIELDS_NAMED
    return (", ".join(names[:MAX_FIELDS_NAMED]) or "(none)") + (f" and {more} more" if more > 0 else "")
