"""What params.yaml may say of a model in use: who becomes champion, when its data have drifted. Owns the sections
behind the pipeline; it reads none.
"""

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


class Drift(Section):
    alpha: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.05, description="probability of a false alarm in the whole life of a champion, however often it is looked"
    )
    fewest: Annotated[int, Field(ge=10)] = Field(20, description="new samples below which no look is made")
    permutations: Annotated[int, Field(ge=100, le=10_000_000)] = Field(
        200_000, description="of the test on features, at most; as many as chance needs, else"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of folds, permutations and resamples")
