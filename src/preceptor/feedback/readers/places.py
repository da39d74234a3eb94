"""Where a record stands, so that errors can name it, and the check of its shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from preceptor.errors import InputError
from preceptor.files import first_fault

Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True)
class Place:
    """A line of a file; a row, counted from 1, where the format has no lines."""

    path: Path | str  # a string names a dataset of the hub
    number: int
    is_row: bool = False

    def __str__(self) -> str:
        return f"{self.path}, row {self.number}" if self.is_row else f"{self.path}:{self.number}"

    def error(self, message: str) -> InputError:
        """An error that says ``message`` of this place."""
        return InputError(f"{self}: {message}")


def validate(shape: type[Shape], value: Any, place: Place, mend: str) -> Shape:
    """``value`` as a ``shape``, or an error that names place, field and mend."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise place.error(f"{first_fault(error)}; {mend}") from None
    except RecursionError:
        raise place.error("is nested too deeply; cut the record") from None
