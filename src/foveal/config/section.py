"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the file. An unknown key is an error; values are never changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def fail(where: str, message: str) -> PydanticCustomError:
    """An error of the field ``where`` (dotted, seen from the section) that needs several fields to find."""
    return PydanticCustomError("rule", "{message}", {"where": where, "message": message})
