"""A model's own chat template: rendered in a sandbox, and cut into the frames of its layout.

The template never sees a text of anybody. Its messages hold *sentinels*, words that nobody can guess, so what it writes
depends on the roles alone; each such rendering is cut at the sentinels and remembered. What stands between is the
format's own, and only there a special token is one. Hence what a template may not do: look at a text to
decide something, change it, drop it, say it twice. White space that it strips from a text's ends is found out and
stripped by us.
"""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from preceptor.errors import InputError
from preceptor.text import sandbox
from preceptor.text.layout import Role, Roles

# What a template may take, whatever it does: CPU seconds and memory of its process (where the system can limit
# them), seconds on the clock, characters of one rendering and of the template.
LIMITS = {"seconds": 5, "memory": 1 << 30, "characters": 200_000}
WALL_SECONDS = 120
MAX_TEMPLATE = 1_000_000

# Every conversation is rendered twice, once with this around the sentinels: what the template leaves of it tells
# what it strips (as `str.strip` takes it).
_PAD = "\n \f"
_STRIPS: tuple[tuple[str, str | None], ...] = (("\n \f", ""), (" \f", "\n"), ("\f", " \n\t"), ("", None))

# Templates of models that can think aloud first are told not to: a reply is trained, ranked and shown as it is. The
# switch is thrown in the template itself, so that whoever serves the saved model gets the same prompts.
NO_THINKING = "{%- set enable_thinking = enable_thinking | default(false) %}"


class Sketch(NamedTuple):
    """A rendering with the texts taken out."""

    text: str  # the format's own text and bare sentinels
    contents: list[tuple[int, int]]  # where the sentinel of each message stands in it
    strips: list[tuple[str | None, str | None]]  # see Frame
    replies: dict[int, int]  # message of the assistant -> where what the model writes begins


class Template:
    """A chat template and the variables it is rendered with (``bos_token`` and the like)."""

    def __init__(self, source: str, variables: Mapping[str, str], where: Path) -> None:
        if len(source) > MAX_TEMPLATE:
            raise InputError(f"{where}: the chat template has {len(source)} characters; {MAX_TEMPLATE} are the most")
        self.source, self.variables, self.where = source, dict(variables), where
        key = secrets.token_hex(8)
        # Case and an ampersand, so that a template which changes case or escapes text is found out.
        self._sentinel = f"Xy{key}&{{}}z"
        self._pattern = re.compile(f"Xy{key}&([0-9]+)z")
        self._sketches: dict[Roles, Sketch | InputError] = {}
        self.literals: list[str] = []
        self._throw_switch()
        # One process draws what nearly every conversation needs.
        common: list[Roles] = [(*head, *("user", "assistant") * n) for head in ((), ("system",)) for n in range(1, 5)]
        self._draw(common)

    def sketch(self, roles: Roles) -> Sketch:
        """The rendering of a conversation with these roles; it ends with the assistant."""
        if roles not in self._sketches:
            self._draw([roles])
        found = self._sketches[roles]
        if isinstance(found, InputError):
            raise found
        return found

    def _throw_switch(self) -> None:
        if "enable_thinking" not in self.source:
            return
        jobs = [self._job(roles, True) for roles in (("user",), ("user", "assistant", "user"))]
        quiet = NO_THINKING + self.source
        if self._render(quiet, jobs) != self._render(self.source, jobs):
            self.source = quiet

    def _draw(self, wanted: Sequence[Roles]) -> None:
        """Render and remember the frames of these roles, errors too."""
        jobs: list[dict[str, Any]] = []
        places: list[tuple[Roles, int, list[int]]] = []
        for roles in wanted:
            before = [i for i, role in enumerate(roles) if role == "assistant"]
            places.append((roles, len(jobs), before))
            jobs += [
                self._job(roles, False),
                self._job(roles, False, _PAD),
                *(self._job(roles[:i], True) for i in before),
            ]
        answers = self._render(self.source, jobs)
        for roles, at, before in places:
            prompts = {i: answers[at + 2 + n].get("text") for n, i in enumerate(before)}
            try:
                self._sketches[roles] = self._cut(roles, answers[at], answers[at + 1], prompts)
            except InputError as error:
                self._sketches[roles] = error

    def _job(self, roles: Sequence[Role], add_generation_prompt: bool, pad: str = "") -> dict[str, Any]:
        texts = (pad + self._sentinel.format(i) + pad[::-1] for i in range(len(roles)))
        messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        return {"messages": messages, "add_generation_prompt": add_generation_prompt}

    def _render(self, source: str, jobs: list[dict[str, Any]]) -> list[dict[str, str]]:
        request = {"template": source, "variables": self.variables, "jobs": jobs, "limits": LIMITS}
        # -P: the directory of the script must not hide modules of the standard library.
        command = [sys.executable, "-P", sandbox.__file__]
        try:
            done = subprocess.run(
                command, input=json.dumps(request).encode(), capture_output=True, timeout=WALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            done = None
        if done is None or done.returncode:
            raise InputError(
                f"{self.where}: the chat template does not finish within {LIMITS['seconds']} s and "
                f"{LIMITS['memory'] >> 20} MiB; repair it or take it out"
            )
        found = json.loads(done.stdout)
        self.literals = found["literals"]
        answers: list[dict[str, str]] = found["answers"]
        return answers

    def _cut(
        self, roles: Roles, bare: dict[str, str], padded: dict[str, str], prompts: dict[int, str | None]
    ) -> Sketch:
        """Take the texts out of a rendering. ``prompts`` end before each of the assistant's turns."""
        text, pieces = self._pieces(roles, bare)
        _, wider = self._pieces(roles, padded)
        contents = [(found.start(), found.end()) for found in self._pattern.finditer(text)]
        replies = {}
        for index, prompt in prompts.items():
            # A turn begins where its prompt ended, if that is how the conversation goes on; else with its text.
            earliest = contents[index - 1][1] if index else 0
            start = contents[index][0]
            goes_on = prompt is not None and earliest <= len(prompt) <= start and text.startswith(prompt)
            replies[index] = len(prompt) if prompt is not None and goes_on else start
        return Sketch(text, contents, self._strips(pieces, wider), replies)

    def _pieces(self, roles: Roles, answer: dict[str, str]) -> tuple[str, list[str]]:
        """A rendering, and what stands between its sentinels."""
        if "text" not in answer:
            raise InputError(f"{self.where}: the chat template refuses {_said(roles)}: {answer['error']}")
        text = answer["text"]
        pieces = self._pattern.split(text)
        numbers = [int(one) for one in pieces[1::2]]
        if numbers != list(range(len(roles))):
            raise InputError(f"{self.where}: the chat template {_fault(numbers, roles)}, so it cannot be trained with")
        return text, pieces[::2]

    def _strips(self, bare: list[str], padded: list[str]) -> list[tuple[str | None, str | None]]:
        """What is stripped left and right of each message: of the pad, each piece shows what was left."""
        rights: list[str | None] = []  # right of the message before a piece
        lefts: list[str | None] = []
        for number, (narrow, wide) in enumerate(zip(bare, padded, strict=True)):
            outer = (("", None),)  # nothing before the first and behind the last
            for (before, right), (behind, left) in product(
                _STRIPS if number else outer, _STRIPS if number < len(bare) - 1 else outer
            ):
                if wide == before[::-1] + narrow + behind:
                    rights.append(right)
                    lefts.append(left)
                    break
            else:
                raise InputError(
                    f"{self.where}: the chat template changes the text of a message; it must leave it alone"
                )
        return list(zip(lefts[:-1], rights[1:], strict=True))


def _said(roles: Roles) -> str:
    if len(roles) > 6:
        return f"a conversation of {len(roles)} messages ({', '.join(roles[:3])}, ...)"
    return f"a conversation of {', '.join(roles)}"


def _fault(numbers: list[int], roles: Roles) -> str:
    """What a template did to the texts that stand in it as ``numbers`` say."""
    for index, role in enumerate(roles):
        count = numbers.count(index)
        if count != 1:
            what = "drops or changes" if count == 0 else "repeats"
            return f"{what} the text of message {index + 1} ({role}) of {_said(roles)}"
    return f"changes the order of the messages of {_said(roles)}"
