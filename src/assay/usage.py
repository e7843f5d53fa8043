"""What params.yaml may say of a model in use: who becomes champion, when it is retrained, when its data have drifted,
how it answers. The sections behind the pipeline; it reads none.
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
    max_ece: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="calibration error on the test samples above which none becomes champion; of classes only"
    )
    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="milliseconds for one sample on this machine's CPU, at most; decoding not counted"
    )
    max_size_mb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="megabytes (1,000,000 bytes) of the model's weights, at most"
    )


class Retrain(Section):
    new_samples: Annotated[float, Field(gt=0)] = Field(
        0.05,
        description="new samples to learn from, as a share of those before, that are reason enough",
    )
    max_age_days: Annotated[float, Field(gt=0)] | None = Field(
        None, description="days since the last retraining that are reason enough; null: no age is"
    )
    trials: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        8, description="recipes tried round the champion's, which is one of them; 0: it is trained again as it is"
    )
    around: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="share of each range of the space, round the champion's value, that is searched"
    )
    schedule: str | None = Field(
        None, description="when it is due, as a crontab line in this machine's time; `assay schedule` keeps to it"
    )
    notify: str | None = Field(
        None, description="who hears of it: a web address that takes JSON, or a command that reads it; null: nobody"
    )


class Serve(Section):
    host: str = Field("127.0.0.1", description="address to listen at; one that others reach asks for a token")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen at; 0: any free one")
    poll_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        5.0, description="seconds between two looks at who is champion"
    )
    batch: Annotated[int, Field(ge=1, le=4096)] = Field(64, description="samples that are answered at once, at most")
    wait_ms: Annotated[float, Field(ge=0, le=1000)] = Field(
        5.0, description="milliseconds that a batch waits for requests that have arrived, at most"
    )
    max_bytes: Annotated[int, Field(ge=1024)] = Field(16_777_216, description="bytes of a request, at most")
    max_pixels: Annotated[int, Field(ge=64)] = Field(40_000_000, description="pixels of a picture, at most")
    max_samples: Annotated[int, Field(ge=1)] = Field(256, description="samples of a request, at most")
    max_requests: Annotated[int, Field(ge=1)] = Field(64, description="requests under way at once, at most")
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(30.0, description="seconds until a request is given up")


class Drift(Section):
    alpha: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.05, description="probability of a false alarm in the whole life of a champion, however often it is looked"
    )
    fewest: Annotated[int, Field(ge=10)] = Field(20, description="new samples below which no look is made")
    permutations: Annotated[int, Field(ge=100, le=10_000_000)] = Field(
        200_000, description="of the test on features, at most; as many as chance needs, else"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of folds, permutations and resamples")
