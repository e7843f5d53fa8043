"""What every part of params.yaml is made of: the strict section, and kinds of values that several sections have."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MetricName = Literal["auto", "loss", "accuracy", "balanced_accuracy", "f1", "r2", "rmse", "mae"]
UNITS_S = {"s": 1, "min": 60, "h": 3600}
AMOUNT = r"([1-9]\d*(\.\d+)?|0\.\d*[1-9]\d*)"  # above 0
DURATION, NAME = rf"^{AMOUNT} ?({'|'.join(UNITS_S)})$", r"^[\w. -]{1,200}$"
Duration = Annotated[str, Field(pattern=DURATION)]
Name = Annotated[str, Field(pattern=NAME)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of params.yaml: unknown names are refused, types are strict, nothing is changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def seconds_of(duration: str) -> float:
    """Of a `Duration`."""
    number, unit = re.findall(r"[\d.]+|[a-z]+", duration)
    return float(number) * UNITS_S[unit]


def whole(value: Any) -> Any:
    """Nothing but a whole number: true equals 1, and 3.0 equals 3, so a choice among numbers would take them."""
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value
