"""What a file of feedback or text holds, in figures: the first thing to know about data before training on it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from preceptor.errors import InputError
from preceptor.feedback.agreement import agreement, judged_twice
from preceptor.feedback.pairs import FIRST, TIE, pairs_from_ranks
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.documents import Documents, add_documents, is_corpus
from preceptor.feedback.readers.formats import read_all
from preceptor.feedback.readers.known import reader_named
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.records import Opened, open_source
from preceptor.feedback.schema import Ranking
from preceptor.text.conversation import Message, Rendered, render, render_prompt
from preceptor.text.tokenizer import Tokenizer

Item = TypeVar("Item")


@dataclass
class Contents:
    """What one source holds."""

    source: str
    form: str
    packing: str
    readers: dict[str, int] = field(default_factory=dict)  # name -> records
    collected: Collected = field(default_factory=Collected)
    documents: Documents = field(default_factory=Documents)


def read_contents(source: Path, name: str | None, document_characters: int) -> Contents:
    """Read all of a source, by the format ``name`` or by the one that each record fits."""
    opened = open_source(source)
    contents = Contents(str(opened.name), opened.form, opened.packing)
    if name is None and (opened.form in ("zip", "text") or _is_text(opened)):
        add_documents(opened, document_characters, contents.documents)
        if not contents.documents.texts:
            raise InputError(f"{source}: holds neither records nor text; it is empty")
        return contents
    if name is not None:
        reader_named(name)
    contents.readers = read_all(opened.records(), contents.collected, name)
    if not contents.readers:
        raise InputError(f"{source}: is empty; it needs at least one record")
    return contents


def _is_text(opened: Opened) -> bool:
    """Whether the records are documents: the first has a text and nothing that a conversation has."""
    first: tuple[Place, dict[str, Any]] | None = next(iter(opened.records()), None)
    others = {"messages", "conversations", "prompt", "prompt_id", "message_id", "instruction", "chosen", "history"}
    return first is not None and "text" in first[1] and not others & first[1].keys() and is_corpus(opened)


# figures -----------------------------------------------------------------------------------------


def figures(contents: Contents, tokenizer: Tokenizer | None = None, context: int | None = None) -> dict[str, Any]:
    """Counts, lengths, and what rankings look like; with a tokenizer in tokens too, and what ``context`` cuts."""
    collected = contents.collected
    summary: dict[str, Any] = {
        "source": contents.source,
        "form": contents.form,
        "packing": contents.packing,
        "readers": contents.readers,
        "counts": {
            "prompts": len(collected.prompts),
            "demonstrations": len(collected.demonstrations),
            "rankings": len(collected.rankings),
            "documents": len(contents.documents.texts),
        },
        "users": len({collected.prompts[prompt_id].user for prompt_id in collected.with_users}),
        "skipped": collected.skipped,
        "undecodable_bytes": contents.documents.undecodable_bytes,
        "characters": _characters(contents),
    }
    if collected.demonstrations:
        turns = [sum(turn.role == "assistant" for turn in row.messages) for row in collected.demonstrations]
        summary["assistant_turns"] = spread(turns)
    if collected.rankings:
        summary["rankings"] = ranking_figures(collected.rankings)
    if tokenizer is not None:
        summary |= _token_figures(contents, tokenizer, context)
    return summary


def spread(lengths: Sequence[int]) -> dict[str, float]:
    """Median, 95th percentile (the smallest length that 95 % do not exceed) and maximum."""
    ordered = sorted(lengths)
    return {
        "median": median(ordered),
        "p95": ordered[max(ceil(0.95 * len(ordered)) - 1, 0)],
        "max": ordered[-1],
        "total": sum(ordered),
    }


def _characters(contents: Contents) -> dict[str, dict[str, float]]:
    collected = contents.collected
    lengths = {
        "prompts": [_length(prompt.messages) for prompt in collected.prompts.values()],
        "demonstrations": [_length(row.messages) for row in collected.demonstrations],
        "responses": [len(one.text) for ranking in collected.rankings for one in ranking.responses],
        "documents": [len(text) for text in contents.documents.texts],
    }
    return {kind: spread(values) for kind, values in lengths.items() if values}


def _length(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)


def ranking_figures(rankings: Sequence[Ranking]) -> dict[str, Any]:
    """How many responses are ranked, how often they tie, whether the longer wins, and who judged.

    "Longer wins" is the share of strict pairs whose better response has more characters; equal lengths
    count half. It is what a reward model must beat to have learnt more than length.
    """
    pairs = ties = 0
    longer = 0.0
    for ranking in rankings:
        lengths = [len(one.text) for one in ranking.responses]
        for (a, b), judgement in pairs_from_ranks(ranking.ranks).items():
            pairs += 1
            if judgement == TIE:
                ties += 1
                continue
            better, worse = (lengths[a], lengths[b]) if judgement == FIRST else (lengths[b], lengths[a])
            longer += 1.0 if better > worse else 0.5 if better == worse else 0.0
    sizes = Counter(len(ranking.responses) for ranking in rankings)
    labelers = Counter(ranking.labeler for ranking in rankings if ranking.labeler)
    result: dict[str, Any] = {
        "responses": {str(size): sizes[size] for size in sorted(sizes)},
        "pairs": pairs,
        "ties": ties / pairs,
        "longer_wins": longer / (pairs - ties) if pairs > ties else None,
        "all_tied": sum(len(set(ranking.ranks)) == 1 for ranking in rankings),
        "labelers": dict(labelers.most_common()),
    }
    agreed = agreement(judged_twice(rankings))
    if agreed.pairs:
        result["agreement"] = asdict(agreed)
    return result


# tokens ------------------------------------------------------------------------------------------


def _token_figures(contents: Contents, tokenizer: Tokenizer, context: int | None) -> dict[str, Any]:
    """Lengths as the stages will render them, and what a context of so many tokens cuts."""
    collected = contents.collected
    refused: Counter[str] = Counter()
    answered = [
        [*ranking.messages, Message(role="assistant", content=one.text)]
        for ranking in collected.rankings
        for one in ranking.responses
    ]

    def of(items: Sequence[Item], draw: Callable[[Item], Rendered]) -> list[Rendered]:
        drawn = []
        for item in items:
            try:
                drawn.append(draw(item))
            except InputError as error:  # a template that knows no system message, say
                refused[str(error)] += 1
        return drawn

    def whole(messages: Sequence[Message]) -> Rendered:
        return render(tokenizer, messages)

    rendered = {
        "prompts": of([one.messages for one in collected.prompts.values()], lambda one: render_prompt(tokenizer, one)),
        "demonstrations": of([row.messages for row in collected.demonstrations], whole),
        "ranked responses with their prompt": of(answered, whole),
    }
    lengths = {kind: [len(one.ids) for one in rows] for kind, rows in rendered.items()}
    lengths["documents"] = [len(ids) for ids in tokenizer.encode_batch(contents.documents.texts)]
    result: dict[str, Any] = {"tokens": {kind: spread(values) for kind, values in lengths.items() if values}}
    if rendered["demonstrations"]:
        trained = sum(sum(one.mask) for one in rendered["demonstrations"])
        result["trained_share"] = trained / sum(lengths["demonstrations"])
    if context is not None:
        result["context"] = context
        result["longer_than_context"] = {
            kind: sum(length > context for length in values) for kind, values in lengths.items() if values
        }
    if refused:
        result["not_rendered"] = dict(refused)
    return result


def sample(contents: Contents, count: int) -> list[tuple[list[Message], list[tuple[str, str]]]]:
    """The first few conversations to show: messages, and (rank, response) for each response of a ranking.

    Demonstrations come first, then rankings, then prompts.
    """
    collected = contents.collected
    shown: list[tuple[list[Message], list[tuple[str, str]]]] = [
        (row.messages, []) for row in collected.demonstrations[:count]
    ]
    for ranking in collected.rankings[: count if not shown else 1]:
        ordered = sorted(zip(ranking.ranks, ranking.responses, strict=True), key=lambda pair: pair[0])
        shown.append((ranking.messages, [(str(rank), one.text) for rank, one in ordered]))
    if not shown:
        shown = [(prompt.messages, []) for prompt in list(collected.prompts.values())[:count]]
    return shown
