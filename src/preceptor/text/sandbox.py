"""Renders a chat template from a stranger; a script that runs by itself, in a process of its own.

It reads ``{"template", "variables", "jobs": [{"messages", "add_generation_prompt"}...], "limits"}`` as JSON from
standard input and writes ``{"literals": [...], "answers": [{"text"} or {"error"}...]}``, an answer for each job.

Jinja's sandbox keeps a template from Python's insides; the limits of the process keep it from running forever and
from filling the memory, which no check inside of the interpreter can promise (``x ~ x`` in a short loop is enough).
The script imports nothing of ours, to start in a moment.
"""

import contextlib
import json
import sys
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

# Templates that print today's date get this one (Llama 3's own default): the same conversation must give the same
# ids tomorrow, or no run could be resumed.
TODAY = datetime(2024, 7, 26)


class _Generation(Extension):
    """``{% generation %}``, with which some templates surround the assistant's text; the text is all we need of it."""

    tags = {"generation"}  # noqa: RUF012  (as the base class declares it)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: Any = None, **options: Any) -> str:
    """Hugging Face's `tojson`: Jinja's own escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def environment() -> ImmutableSandboxedEnvironment:
    """What Hugging Face's chat templates expect to find, and no more."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = TODAY.strftime
    return made


def _literals(template: nodes.Template) -> list[str]:
    """Every piece of text that a template holds."""
    texts = [node.data for node in template.find_all(nodes.TemplateData)]
    return texts + [node.value for node in template.find_all(nodes.Const) if isinstance(node.value, str)]


def _render(template: jinja2.Template, variables: dict[str, str], job: dict[str, Any], longest: int) -> dict[str, str]:
    pieces, length = [], 0
    try:
        for piece in template.generate(**variables, **job, tools=None, documents=None):
            pieces.append(piece)
            length += len(piece)
            if length > longest:
                return {"error": f"it writes more than {longest} characters"}
    except (Exception, RecursionError, MemoryError) as error:  # a stranger's code may raise anything
        return {"error": _reason(error)}
    return {"text": "".join(pieces)}


def _reason(error: BaseException) -> str:
    """What an error says, on one line of printable characters: it is a stranger's text."""
    words = " ".join(str(error)[:1000].split()) or type(error).__name__
    return "".join(letter for letter in words if letter.isprintable())[:200]


def _limit(seconds: int, memory: int) -> None:
    """CPU seconds and bytes of this process, and no files; on systems that know such limits."""
    try:
        import resource
    except ImportError:  # Windows: the time limit of the parent is left
        return
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0)):
        with contextlib.suppress(ValueError, OSError):  # macOS takes no limit on memory
            resource.setrlimit(kind, (most, most))


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    limits = request["limits"]
    _limit(limits["seconds"], limits["memory"])
    jobs, made = request["jobs"], environment()
    try:
        literals = _literals(made.parse(request["template"]))
        template = made.from_string(request["template"])
    except (Exception, RecursionError, MemoryError) as error:
        literals, answers = [], [{"error": _reason(error)}] * len(jobs)
    else:
        answers = [_render(template, request["variables"], job, limits["characters"]) for job in jobs]
    json.dump({"literals": literals, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
