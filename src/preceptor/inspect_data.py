"""``preceptor data inspect``: what files hold, as tables for a terminal or as JSON."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from preceptor.errors import InputError
from preceptor.feedback.inspection import Contents, figures, read_contents, sample
from preceptor.files import read_text
from preceptor.printable import printable
from preceptor.text.conversation import Message, Rendered, render, render_prompt
from preceptor.text.tokenizer import Tokenizer

EXAMPLES = 3
# Of a message of a thousand lines the beginning and the end tell enough.
HEAD_CHARACTERS, TAIL_CHARACTERS = 500, 200
TRAINED = "bold green"
PLAIN_TRAINED = ("[[", "]]")  # how trained text is marked where there is no colour
KINDS = ("prompts", "demonstrations", "rankings", "documents")


class Inspector:
    """Looks into sources one after the other; those that cannot be read are errors to collect."""

    def __init__(self, model: Path | None, context: int | None, name: str | None, document_characters: int) -> None:
        if context is not None and model is None:
            raise InputError("--context counts tokens; name the model whose tokenizer makes them by --model")
        if context is not None and context < 8:
            raise InputError(f"--context {context}: must be at least 8")
        self.context, self.name, self.document_characters = context, name, document_characters
        self.tokenizer = None if model is None else Tokenizer.load(model)
        # Names of the special tokens, which the tokenizer itself never decodes.
        self.vocabulary = None if model is None else tokenizers.Tokenizer.from_str(read_text(model / "tokenizer.json"))

    def read(self, source: Path) -> tuple[Contents, dict[str, Any]]:
        """The contents of one source and their figures."""
        contents = read_contents(source, self.name, self.document_characters)
        return contents, figures(contents, self.tokenizer, self.context)


def inspect_data(
    sources: Sequence[Path], inspector: Inspector, *, as_json: bool, console: Console | None = None
) -> list[InputError]:
    """Print what each source holds; give the errors of those that cannot be read."""
    if console is None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that has no emoji shows their numbers
            sys.stdout.reconfigure(errors="backslashreplace")
        console = Console(highlight=False)
    errors: list[InputError] = []
    reports: list[dict[str, Any]] = []
    for source in sources:
        try:
            contents, summary = inspector.read(source)
        except InputError as error:
            errors.append(error)
            reports.append({"source": str(source), "error": str(error)})
            continue
        reports.append(summary)
        if not as_json:
            _show(summary, console)
            examples = [_example(*one, inspector, console) for one in sample(contents, EXAMPLES)]
            examples += [Text(_shown(text)) for text in contents.documents.texts[:1]]
            for number, example in enumerate(examples, start=1):
                console.print(Rule(f"example {number}", align="left", style="dim"))
                console.print(example)
            console.print()
    if as_json:
        # Nothing but ASCII: what stands in the data cannot act on a terminal, and no encoding can fail.
        print(json.dumps(reports, indent=2))
    return errors


# tables ------------------------------------------------------------------------------------------


def _show(summary: dict[str, Any], console: Console) -> None:
    """The tables of one source."""
    console.print(Rule(Text(printable(summary["source"]), style="bold"), align="left"))
    console.print(_overview(summary))
    for table in (_lengths(summary), _rankings(summary.get("rankings", {})), _skipped(summary)):
        if table.row_count:
            console.print(table)


def _overview(summary: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    packing = f", packed by {summary['packing']}" if summary["packing"] else ""
    table.add_row("read as", summary["form"] + packing)
    readers = ", ".join(f"{name} ({count:,} records)" for name, count in summary["readers"].items())
    table.add_row("format", readers or "documents to pretrain on")
    counts = summary["counts"]
    table.add_row("gives", ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind]) or "nothing")
    if summary["users"]:
        table.add_row("users", f"{summary['users']:,}")
    if summary["undecodable_bytes"]:
        table.add_row("not UTF-8", f"{summary['undecodable_bytes']:,} bytes, read as spaces")
    if "assistant_turns" in summary:
        turns = summary["assistant_turns"]
        table.add_row("turns learnt", f"{turns['total']:,}, at most {turns['max']:,} in one demonstration")
    if "trained_share" in summary:
        table.add_row("tokens learnt", f"{summary['trained_share']:.1%} of those of the demonstrations")
    return table


def _lengths(summary: dict[str, Any]) -> Table:
    table = Table(title="Lengths", title_justify="left")
    table.add_column("", overflow="fold")
    for name in ("median", "95 %", "max"):
        table.add_column(name, justify="right")
    over = summary.get("longer_than_context")
    if over is not None:
        table.add_column(f"> {summary['context']:,}", justify="right")
    for unit in ("characters", "tokens"):
        for kind, lengths in summary.get(unit, {}).items():
            cells = [f"{lengths[key]:,.0f}" for key in ("median", "p95", "max")]
            if over is not None:
                count = summary["counts"].get(kind)
                share = f" ({over[kind] / count:.1%})" if unit == "tokens" and count else ""
                cells.append(f"{over[kind]:,}{share}" if unit == "tokens" else "")
            table.add_row(f"{kind}, {unit}", *cells)
    return table


def _rankings(rankings: dict[str, Any]) -> Table:
    table = Table(title="Rankings", title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    if not rankings:
        return table
    sizes = ", ".join(f"K = {size}: {count:,}" for size, count in rankings["responses"].items())
    table.add_row("responses ranked", sizes)
    table.add_row("pairs", f"{rankings['pairs']:,}")
    table.add_row("pairs that tie", f"{rankings['ties']:.1%}")
    if rankings["all_tied"]:
        table.add_row("rankings of ties alone", f"{rankings['all_tied']:,}, which teach nothing")
    if rankings["longer_wins"] is not None:
        table.add_row("the longer wins", f"{rankings['longer_wins']:.1%} of the strict pairs")
    agreed = rankings.get("agreement")
    by_labeler = agreed["by_labeler"] if agreed else {}
    if rankings["labelers"]:
        shown = [_labeler(name, count, by_labeler) for name, count in list(rankings["labelers"].items())[:10]]
        more = len(rankings["labelers"]) - len(shown)
        table.add_row("labelers", "\n".join(shown) + (f"\nand {more:,} more" if more > 0 else ""))
    if agreed:
        error = f" +- {agreed['standard_error']:.1%}" if agreed["standard_error"] is not None else ""
        table.add_row("agreement", f"{agreed['share']:.1%}{error} of {agreed['pairs']:,} pairs judged twice")
        if agreed["strict_share"] is not None:
            table.add_row("without ties", f"{agreed['strict_share']:.1%} of {agreed['strict_pairs']:,} pairs")
    return table


def _labeler(name: str, count: int, agreed: dict[str, float]) -> str:
    share = f", agrees with the others on {agreed[name]:.1%}" if name in agreed else ""
    return f"{printable(name)}: {count:,}{share}"


def _skipped(summary: dict[str, Any]) -> Table:
    table = Table(title="Left out", title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for of, reasons in summary["skipped"].items():
        for reason, count in reasons.items():
            table.add_row(f"{of}: {printable(reason)}", f"{count:,}")
    for reason, count in summary.get("not_rendered", {}).items():
        table.add_row(f"not rendered: {printable(reason)}", f"{count:,}")
    return table


# examples ----------------------------------------------------------------------------------------


def _example(messages: list[Message], responses: list[tuple[str, str]], inspector: Inspector, console: Console) -> Text:
    """One conversation: as the model reads it if there is a tokenizer, else the text under the roles' names."""
    text = Text()
    tokenizer = inspector.tokenizer
    if tokenizer is None:
        for message in messages:
            text.append(f"{message.role}\n", style="bold cyan" if message.role == "assistant" else "bold")
            text.append(_shown(message.content) + "\n")
    else:
        draw = render if messages[-1].role == "assistant" else render_prompt
        try:
            drawn = draw(tokenizer, messages, inspector.context)
        except InputError as error:
            return Text(printable(str(error)), style="red")
        coloured = console.is_terminal and not console.no_color
        text.append_text(_tokens(drawn, inspector, coloured))
        text.append("\n")
        if drawn.truncated:
            text.append(f"(cut to {inspector.context} tokens)\n", style="yellow")
    for rank, response in responses:
        text.append(f"rank {rank}\n", style="bold")
        text.append(_shown(response) + "\n")
    return text


def _tokens(drawn: Rendered, inspector: Inspector, coloured: bool) -> Text:
    """Rendered ids as text, special tokens by name, and the trained ones in colour or in double brackets."""
    text = Text()
    start = 0
    for stop in range(1, len(drawn.ids) + 1):
        if stop < len(drawn.ids) and drawn.mask[stop] == drawn.mask[start]:
            continue
        shown = _shown(_decoded(drawn.ids[start:stop], inspector))
        if drawn.mask[start]:
            before, after = ("", "") if coloured else PLAIN_TRAINED
            text.append(before + shown + after, style=TRAINED)
        else:
            text.append(shown)
        start = stop
    return text


def _decoded(ids: list[int], inspector: Inspector) -> str:
    """The text of ids; what decodes to nothing is a special token and is shown by its name."""
    tokenizer, vocabulary = inspector.tokenizer, inspector.vocabulary
    if tokenizer is None or vocabulary is None:
        return ""
    text, run = "", list[int]()
    for token in ids:
        if tokenizer.decode([token]):
            run.append(token)
            continue
        text += tokenizer.decode(run) + (vocabulary.id_to_token(token) or f"<{token}>")
        run = []
    return text + tokenizer.decode(run)


def _shown(text: str) -> str:
    """Safe to print, line breaks and tabs kept, without its middle if it is long."""
    if len(text) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        left_out = len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS
        text = f"{text[:HEAD_CHARACTERS]} ... {left_out:,} characters more ... {text[-TAIL_CHARACTERS:]}"
    return printable(text.replace("\r\n", "\n"), keep="\n\t")
