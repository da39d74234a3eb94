"""The base of every configuration: frozen, typed, and strict about its keys."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A table of a recipe. An unknown key or a wrong type is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)
