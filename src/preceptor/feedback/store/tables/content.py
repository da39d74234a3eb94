"""What is judged: prompts and the responses to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from preceptor.feedback.store.tables.base import Base, Json, Utc


class StoredPrompt(Base):
    """A prompt; ``id`` is the public one, of the documented format."""

    __tablename__ = "prompts"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    user: Mapped[str] = mapped_column(Text, index=True)
    messages: Mapped[Any] = mapped_column(Json)  # [{"role", "content"}...]
    source: Mapped[str] = mapped_column(Text, default="")
    kind: Mapped[str] = mapped_column(Text, default="other")  # the use case
    created: Mapped[str] = mapped_column(Text, default="")  # as the file said it
    author_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"), index=True)  # the labeler who wrote it
    added_at: Mapped[datetime] = mapped_column(Utc)


class StoredResponse(Base):
    """One output for a prompt, and the model or person that gave it. The same text may stand here twice."""

    __tablename__ = "responses"
    __table_args__ = (Index("ix_responses_prompt_id_text_hash", "prompt_id", "text_hash"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"))
    text: Mapped[str] = mapped_column(Text)
    text_hash: Mapped[str] = mapped_column(String(32))  # of the text without outer spaces: equal ones are shown once
    model: Mapped[str] = mapped_column(Text, default="")
    author_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"), index=True)  # of a demonstration
    added_at: Mapped[datetime] = mapped_column(Utc)
