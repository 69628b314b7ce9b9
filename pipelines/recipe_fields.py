"""What recipe settings are built from: a frozen base, kinds of fields, mistakes with a place."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys; attribute docstrings describe the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def mistake(text: str, *at: str | int) -> PydanticCustomError:
    """A validator's error whose place is the field `at` (a path below the model that raises it)."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "at": at})


def require_exactly_one(settings: BaseModel, *names: str) -> None:
    """Raise a `mistake` unless exactly one of the alternatives is given."""
    given = [name for name in names if getattr(settings, name) is not None]
    wanted = f"give exactly one of {', '.join(names)}"
    if not given:
        raise mistake(f"{wanted}; none is given")
    if len(given) > 1:
        raise mistake(f"{wanted}; {' and '.join(given[:-1])} is given too (null takes it out)", given[-1])


LARGEST = 10**15  # no count of a recipe is larger; a slip such as 1e60 is caught instead of planned

Count = Annotated[int, Field(ge=1, le=LARGEST)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(gt=0)]
Size = Annotated[float, Field(ge=1, le=10**13)]  # parameters of a model
Fraction = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
