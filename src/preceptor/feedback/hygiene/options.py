"""The settings of an import."""

import os
import re
from pathlib import Path

from pydantic import Field, field_validator

from preceptor.config import Config
from preceptor.feedback.hygiene.examining import Action

PARTS = {"train": 0.85, "dev": 0.05, "heldout": 0.1}  # the shares of `data`
_RESERVED = {"findings", "index", "settings", "reports"}


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ImportOptions(Config):
    """How prompts are cleaned. The defaults are InstructGPT's where it has any."""

    per_user: int = Field(200, ge=1)
    prefix_words: int = Field(20, ge=1)
    max_characters: int = Field(100_000, ge=1)
    languages: tuple[str, ...] = ()
    pii: Action = "redact"
    names: str | None = "auto"  # a spaCy model or its directory; auto: the one that is installed, if one is
    recognizers: Path | None = None
    use_cases: Path | None = None
    parts: dict[str, float] = Field(default_factory=lambda: dict(PARTS))
    seed: int = 0
    user: str = ""
    format: str | None = None
    workers: int = Field(default_factory=cores, ge=0)  # 0: in this process

    @field_validator("parts")
    @classmethod
    def _are_file_names(cls, parts: dict[str, float]) -> dict[str, float]:
        for name, share in parts.items():
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,40}", name) or name in _RESERVED:
                raise ValueError(f"{name!r} cannot name a part; use small letters, digits, _ and -")
            if share < 0:
                raise ValueError(f"the share of {name} is negative")
        if sum(parts.values()) <= 0:
            raise ValueError("the shares sum to 0; give at least one")
        return parts
