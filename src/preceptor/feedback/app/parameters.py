"""Kinds of parameters that many routes take. What a database could not hold is refused here, in one line."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

LARGEST = 2**31 - 1  # of an id, as PostgreSQL counts
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"

Line = Annotated[str, StringConstraints(max_length=200, pattern=NO_CONTROLS)]
Language = Annotated[str, StringConstraints(max_length=20, pattern="^[A-Za-z-]*$")]
Number = Annotated[int, Path(ge=1, le=LARGEST)]
AssignmentId = Annotated[str, Path(max_length=64, pattern=NO_CONTROLS)]
QueueName = Annotated[str | None, Query(max_length=200, pattern=NO_CONTROLS)]
Limit = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[int | None, Query(ge=1, le=LARGEST)]


class Body(BaseModel):
    """A body of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Shape(BaseModel):
    """A body of an answer, which may be made from a row or a dataclass."""

    model_config = ConfigDict(from_attributes=True)
