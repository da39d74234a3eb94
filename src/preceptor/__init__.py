"""Preceptor: from raw text and human judgement to an assistant, the InstructGPT recipe in one tool."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["load_model"]

if TYPE_CHECKING:
    from preceptor.models.checkpoint import load_model


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and ``preceptor --help`` must not."""
    if name == "load_model":
        from preceptor.models.checkpoint import load_model

        return load_model
    raise AttributeError(f"module 'preceptor' has no attribute {name!r}")
