"""What params.yaml may say of a model in use: who becomes champion. The sections behind the pipeline; it reads none."""

from typing import Annotated

from pydantic import Field

from assay.section import MetricName, Name, Section


class Promote(Section):
    model: Name = Field("assay", description="name in MLflow's registry of the model that is in use")
    storage: str | None = Field(
        None, description="database of the decisions; null: MLflow's own, or mlruns/decisions.db where that is a server"
    )
    metric: MetricName = Field("auto", description="what a challenger must be better by; auto is the task's own")
    alpha: Annotated[float, Field(gt=0, le=0.5)] = Field(0.05, description="probability of a wrong promotion in a year")
    slots: Annotated[int, Field(ge=1, le=1000)] = Field(52, description="looks at the test split in a year, at most")
    screen: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="p on the validation split above which the test split is not looked at"
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        0.005, description="how much worse than an earlier champion of the year the next may be"
    )
    wanted: Annotated[float, Field(gt=0)] | None = Field(
        None, description="gain that matters; it is said how many test samples would show it"
    )
    max_ece: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="calibration error on the test samples above which none becomes champion; of classes only"
    )
    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="milliseconds for one sample on this machine's CPU, at most; decoding not counted"
    )
    max_size_mb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="megabytes (1,000,000 bytes) of the model's weights, at most"
    )
