"""What a prompt asks for: one of the ten use cases of InstructGPT, by rules that anybody can read and edit.

A rule is a row of a TOML file (``use_cases.toml`` beside this file says how). That is worse than a trained classifier
and better to argue with: whoever disagrees with a use case changes a line and imports again.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preceptor.errors import InputError
from preceptor.feedback.schema import USE_CASES
from preceptor.files import read_text
from preceptor.text.conversation import Message

HEAD, TAIL = 2000, 500  # characters that are looked at: a rule is on what is asked, not on a long text that is given
_SENTENCE = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\u201d]?\s+|\n\s*")
_GIVEN = re.compile(r"(?:given|considering|based on|using|with|for|in|from|as)\b[^,.\n]{1,200}, ")
_POLITE = re.compile(
    r"(?:\s|[\"'\u201c(*#>-]|\b(?:please|pls|kindly|ok|okay|so|now|then|and|could you|can you|would you|will you|"
    r"i want you to|i need you to|i would like you to|i'd like you to|help me(?: to)?|"
    r"you (?:will )?need to|you should|you must|try to|we need to|your task is to|in this task,?)\b[,.!:]?)*"
)


class Rule(BaseModel):
    """One row of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    begins: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    turns: int = Field(0, ge=0)
    material: int = Field(0, ge=0)
    words: int | None = Field(None, ge=1)

    @cached_property
    def _begins(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{one})" for one in self.begins))

    @cached_property
    def _contains(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{one})" for one in self.contains), re.MULTILINE)

    def compile(self) -> None:
        """Compile the expressions; one that is none raises :class:`re.error`."""
        _ = self._begins, self._contains

    def fits(self, asked: "Asked") -> bool:
        """Whether all that the rule states holds."""
        return (
            asked.turns >= self.turns
            and (not self.begins or any(self._begins.match(asked.text, start) for start in asked.starts))
            and (not self.contains or self._contains.search(asked.text) is not None)
            and (not self.material or asked.material >= self.material)
            and (self.words is None or asked.words <= self.words)
        )


class Asked:
    """What the rules look at."""

    def __init__(self, messages: Sequence[Message]) -> None:
        whole = messages[-1].content.strip()
        # In small letters once, and not by each of the expressions: that is twice as fast.
        self.text = (whole if len(whole) <= HEAD + TAIL else f"{whole[:HEAD]}\n{whole[-TAIL:]}").lower()
        self.starts = tuple(dict.fromkeys(map(self._behind_politeness, self._sentences())))
        self.turns = sum(message.role == "user" for message in messages)
        self._whole = whole

    def _sentences(self) -> Iterator[int]:
        """Where the first, the second and the last sentence begin, and what follows "Given these names, ..."."""
        yield 0
        ends = [end.end() for end in _SENTENCE.finditer(self.text) if end.end() < len(self.text)]
        yield from (*ends[:1], *ends[-1:])
        given = _GIVEN.match(self.text)
        if given is not None:
            yield given.end()

    def _behind_politeness(self, start: int) -> int:
        polite = _POLITE.match(self.text, start)
        return polite.end() if polite is not None and polite.end() < len(self.text) else start

    @cached_property
    def words(self) -> int:
        """Words of the message."""
        return len(self._whole.split())

    @cached_property
    def material(self) -> int:
        """Words behind the first line end, colon or quotation mark, or before the last line if that is longer."""
        behind = re.split(r"[\n:\"\u201c]", self._whole, maxsplit=1)[1:]
        before = self._whole.rpartition("\n")[0]
        return max((len(part.split()) for part in (*behind, before)), default=0)


class UseCases:
    """The rules of one file."""

    def __init__(self, path: Path | None = None) -> None:
        """``path`` is a TOML file of rules; without one those that come with Preceptor are taken."""
        name = "use_cases.toml" if path is None else str(path)
        text = resources.files(__package__).joinpath(name).read_text("utf-8") if path is None else read_text(path)
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{name}: not valid TOML ({error})") from None
        rows = table.get("rule")
        if not isinstance(rows, list) or set(table) != {"rule"}:
            raise InputError(f"{name}: holds no rules; write each as [[rule]] with kind, and begins or contains")
        self.rules = [_rule(row, number, name) for number, row in enumerate(rows, start=1)]

    def of(self, messages: Sequence[Message]) -> str:
        """The use case of a conversation that ends with the user."""
        asked = Asked(messages)
        return next((rule.kind for rule in self.rules if rule.fits(asked)), "other")


def _rule(row: object, number: int, name: str) -> Rule:
    try:
        rule = Rule.model_validate(row)
        rule.compile()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name}, rule {number}: {where}: {first['msg']}") from None
    except re.error as error:
        raise InputError(f"{name}, rule {number}: {error.pattern!r} is no regular expression ({error.msg})") from None
    if rule.kind not in USE_CASES:
        raise InputError(
            f"{name}, rule {number}: there is no use case {rule.kind!r}; use one of {', '.join(USE_CASES)}"
        )
    return rule
