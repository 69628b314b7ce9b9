"""The building blocks of recipe settings: the strict frozen base, whole-number fields, mistakes with a place."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys, coerce nothing, and describe themselves by attribute docstrings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def mistake(text: str, *at: str | int) -> PydanticCustomError:
    """A validator's error whose place is the field `at` (a path below the model that raises it)."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "at": at})


def require_exactly_one(settings: BaseModel, *names: str) -> None:
    """Raise a `mistake` unless exactly one of the alternatives is given."""
    given = [name for name in names if getattr(settings, name) is not None]
    choices = ", ".join(names)
    if not given:
        raise mistake(f"give exactly one of {choices}; none is given")
    if len(given) > 1:
        raise mistake(f"give exactly one of {choices}; {' and '.join(given)} are given: remove all but one")


def _whole(value: Any) -> Any:
    """Let a float that is a whole number (YAML's `1e6`) pass as the integer it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


LARGEST = 10**15  # no count of a recipe is larger; a slip such as 1e60 is caught instead of planned

Count = Annotated[int, Field(ge=1, le=LARGEST), BeforeValidator(_whole)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(_whole)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
# YAML gives lists, settings are frozen: the sequence is made a tuple, its items stay strict.
Texts = Annotated[tuple[str, ...], Strict(False)]
Counts = Annotated[tuple[Count, ...], Strict(False)]
Positives = Annotated[tuple[Positive, ...], Strict(False)]
