"""What params.yaml may say: typed, checked, every field explained, every default once. Reads settings; acts on none.

Names are the contract: `recipe.optimizer.lr` here is so in MLflow, and `optimizer.lr` in the search space.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model

from assay.section import Duration, MetricName, Section, Share, whole
from assay.usage import Drift, Promote, Retrain, Serve

PARAMS_PATH = "params.yaml"

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardswish")
Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardswish"]
LossName = Literal["auto", "cross_entropy", "binary_cross_entropy", "mse", "focal", "huber"]
OptimizerName = Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "nadam", "lion"]
ScheduleName = Literal["constant", "step", "cosine", "one_cycle"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Task = Literal["classification", "multilabel", "regression"]
SamplerName = Literal["auto", "tpe", "gp", "cmaes", "nsga2", "qmc", "random", "grid"]
FinalsName = Literal["off", "small", "full"]
PrunerName = Literal["auto", "asha", "hyperband", "median", "none"]
CostName = Literal["cost/seconds", "cost/parameters"]
ObjectiveName = Literal[MetricName, CostName]

NOT_HERE: Mapping[tuple[str, str], str] = {  # words that a person may know from elsewhere, and why they are none here
    ("search.pruner", "pasha"): "whose trials wait to go on, and one that is stopped here has ended",
    ("search.pruner", "wilcoxon"): "which compares trials over repeated folds, and a trial here has one split",
}
LOSSES_OF_TASK: Mapping[str, tuple[str, ...]] = {  # the first is what `auto` means
    "classification": ("cross_entropy", "focal"),
    "multilabel": ("binary_cross_entropy", "focal"),
    "regression": ("mse", "huber"),
}
METRICS_OF_TASK: Mapping[str, tuple[str, ...]] = {  # the first is what `auto` means
    "classification": ("accuracy", "balanced_accuracy", "f1", "loss"),
    "multilabel": ("f1", "accuracy", "loss"),
    "regression": ("r2", "rmse", "mae", "loss"),
}
SMALLER_IS_BETTER = frozenset({"loss", "rmse", "mae"})


class Splits(Section):
    train: Share = Field(0.7, description="share of samples that teach")
    validation: Share = Field(0.15, description="share of samples that choose: epochs, trials, recipes")
    test: Share = Field(0.15, description="share of samples that judge; read by evaluate only")


class Data(Section):
    modality: str = Field("image", description="kind of sample")
    source: Literal["digits", "folder", "table", "hub"] = Field("digits", description="where samples come from")
    path: str | None = Field(None, description="folder, table file, or data set name or folder of the hub source")
    image: str = Field("image", description="column that holds a picture: a file path relative to the table, or bytes")
    target: str | list[str] = Field("label", description="column to predict, or a list of columns")
    group: str | None = Field(None, description="column whose equal values stay in one split, e.g. a patient")
    task: Literal["auto", "classification", "multilabel", "regression"] = Field("auto", description="what is predicted")
    image_size: Annotated[int, Field(ge=4, le=4096)] | None = Field(
        None, description="side in pixels; null: the pictures' own, where all are equal and square"
    )
    resize: Literal["crop", "pad", "stretch"] = Field("crop", description="how a picture that is not square becomes so")
    channels: Annotated[Literal[1, 3], BeforeValidator(whole)] = Field(3, description="1 grey, 3 RGB")
    splits: Splits = Field(default_factory=Splits, description="shares of train, validation and test; they sum to 1")
    split_key: str = Field("assay", description="key of the hash that splits; another key is another split")
    max_bad: Share = Field(0.01, description="share of unreadable samples that is tolerated")
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field("auto", description="processes that decode")
    pull: str | None = Field(None, description="command that `assay retrain` runs first, to bring new samples")


class Policy(Section):
    """Augmentation: each value is a strength, 0 is off; each sample draws its own amount up to it."""

    crop: Annotated[float, Field(ge=0, le=0.9)] = Field(0.0, description="share of the side cut away, at most")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="degrees, either way")
    flip: Share = Field(0.0, description="probability of left for right; off where it changes the label")
    flip_vertical: Share = Field(0.0, description="probability of top for bottom")
    translate: Share = Field(0.0, description="share of the side, either way")
    scale: Annotated[float, Field(ge=0, le=0.9)] = Field(0.0, description="share larger or smaller, at most")
    shear: Annotated[float, Field(ge=0, le=60)] = Field(0.0, description="degrees, either way")
    brightness: Share = Field(0.0, description="share brighter or darker, at most")
    contrast: Share = Field(0.0, description="share more or less contrast, at most")
    saturation: Share = Field(0.0, description="share more or less colour, at most (RGB)")
    noise: Share = Field(0.0, description="standard deviation of added noise, as a share of the value range, at most")
    blur: Annotated[float, Field(ge=0, le=16)] = Field(0.0, description="largest standard deviation in pixels")
    erase: Annotated[float, Field(ge=0, le=0.9)] = Field(0.0, description="share of the area erased, at most")


class Online(Policy):
    """The same policy, drawn anew for every batch on the training device."""

    strength: Annotated[float, Field(ge=0, le=3)] = Field(1.0, description="multiplies every strength of this policy")
    mixup: Annotated[float, Field(ge=0, le=10)] = Field(0.0, description="alpha of mixup's Beta distribution")
    cutmix: Annotated[float, Field(ge=0, le=10)] = Field(0.0, description="alpha of CutMix's Beta distribution")


class Augment(Section):
    copies: Annotated[int, Field(ge=0, le=100)] = Field(0, description="augmented copies of each training sample")
    balance: bool = Field(False, description="fill up small classes with augmented copies")
    policy: Policy = Field(default_factory=Policy, description="what the copies may differ in")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of the copies, together with their content")


class Optimizer(Section):
    name: OptimizerName = Field("adamw", description="rule of descent; sgd is plain gradient descent")
    lr: Annotated[float, Field(gt=0, le=100)] = Field(1e-3, description="learning rate at its highest")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="for momentum, nesterov and rmsprop")
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="decoupled decay: weights shrink by lr × this each step, apart from the loss"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="each stage nearer the input learns at this multiple of the next one's rate; null: all alike"
    )


class Schedule(Section):
    name: ScheduleName = Field("one_cycle", description="how the learning rate moves")
    warmup: Annotated[float, Field(ge=0, le=1000)] = Field(
        0.0, description="epochs of linear warm-up; one_cycle has its own, 0.3 of all, where this is 0"
    )
    step_epochs: Annotated[int, Field(ge=1)] = Field(10, description="step: epochs between two drops")
    step_factor: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="step: what a drop multiplies by")


class Regularization(Section):
    l1: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="adds l1 × sum |w| to the loss, weights only")
    l2: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="adds l2 × sum w² to the loss, weights only")


class Recipe(Section):
    """Everything that makes a training run what it is; every field can be searched."""

    backbone: str = Field("cnn", description="cnn, mlp, or any classification network of timm by its name")
    pretrained: bool | str = Field(False, description="start from trained weights: false, true, or a path")
    freeze: Annotated[int, Field(ge=1)] | Literal["backbone"] | None = Field(
        None, description="null: all learns; backbone: only the head learns; n: the first n stages stand still"
    )
    activation: Activation | None = Field(None, description="null: the backbone's own (cnn and mlp: relu)")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="share of features dropped before the head")
    loss: LossName = Field("auto", description="auto: the task's own")
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = Field(2.0, description="focal: how much easy samples fade")
    huber_delta: Annotated[float, Field(gt=0, le=1000)] = Field(1.0, description="huber: error where it turns linear")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="share of a target spread over all")
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="weight of a class in the loss: null, balanced (1 / frequency), or class → weight"
    )
    optimizer: Optimizer = Field(default_factory=Optimizer, description="how weights move")
    schedule: Schedule = Field(default_factory=Schedule, description="how the learning rate moves")
    regularization: Regularization = Field(default_factory=Regularization, description="penalties on weights")
    augmentation: Online = Field(default_factory=Online, description="augmentation of every batch")
    input_size: Annotated[int, Field(ge=4, le=4096)] | None = Field(
        None, description="side the network sees; null: the prepared size"
    )
    batch_size: Annotated[int, Field(ge=1, le=65536)] = Field(32, description="samples a step")
    epochs: Annotated[int, Field(ge=1, le=100000)] = Field(16, description="passes over the training samples")
    precision: Precision = Field("auto", description="auto: bf16 where the device computes in it, else fp32")
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(None, description="largest gradient norm; null: no limit")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="decay of the moving average of weights that is evaluated; null: the weights themselves"
    )
    early_stop: Annotated[int, Field(ge=1)] | None = Field(
        None, description="epochs without a better validation score before training ends; null: never"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="seed of everything drawn in training")


class Resources(Section):
    cpu: Annotated[float, Field(gt=0)] = Field(1.0, description="CPU cores a trial holds")
    gpu: Annotated[float, Field(ge=0)] = Field(0.0, description="GPUs a trial holds; a fraction shares a card")


class Vary(Section):
    """One entry of the space: a range or a list of choices, and when it counts."""

    low: float | None = Field(None, description="smallest value")
    high: float | None = Field(None, description="largest value")
    log: bool = Field(False, description="spread evenly over magnitudes")
    step: Annotated[float, Field(gt=0)] | None = Field(None, description="distance between values")
    choices: list[Any] | None = Field(None, description="the values themselves")
    when: dict[str, list[Any]] | None = Field(None, description="counts only where these fields have these values")


class Search(Section):
    trials: Annotated[int, Field(ge=0, le=1_000_000)] = Field(16, description="recipes tried; 0: the base recipe stays")
    budget: Duration | None = Field(
        None,
        description="no trial is begun after so much time of searching; what is found hangs on the machine's speed",
    )
    epochs: Annotated[int, Field(ge=1)] | None = Field(None, description="most epochs of a trial; null: the recipe's")
    workers: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = Field(
        "auto", description="trials at once; auto: what the machine or cluster holds"
    )
    resources: Resources = Field(default_factory=Resources, description="what one trial holds")
    metric: MetricName | Annotated[list[ObjectiveName], Field(min_length=1)] = Field(
        "auto",
        description="validation metric to be best in; auto: the task's own; a list: beside it what a recipe costs, "
        "seconds an epoch or weights",
    )
    pick: Literal["knee"] | dict[CostName, Annotated[float, Field(gt=0)]] = Field(
        "knee", description="with costs, who wins: the knee of the front, or the best below limits (cost → most)"
    )
    sampler: SamplerName = Field(
        "auto",
        description="how the next recipe is chosen; gp goes on as tpe beyond 250 trials; cmaes learns a probability of "
        "each choice; grid ends with its last recipe",
    )
    pruner: PrunerName = Field("auto", description="how trials are stopped early; auto: asha, successive halving")
    min_epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="epochs before a trial may be stopped; auto: its epochs / reduction², so that two rungs stand",
    )
    reduction: Annotated[int, Field(ge=2, le=10)] = Field(3, description="of so many trials at a rung one goes on")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="seed of what is tried")
    finals: FinalsName = Field(
        "off",
        description="best trials run again on fresh seeds, to choose beyond luck: small is up to 22 runs, full 96",
    )
    prefer_base: bool = Field(
        False, description="keep the base recipe where the finals do not show another to be better"
    )
    constraints: list[str] = Field(
        default_factory=list, description="what every recipe must keep, as batch_size * input_size**2 <= 2_000_000"
    )
    trial_timeout: Annotated[int, Field(ge=1)] | None = Field(
        3600, description="seconds without a word from a trial, after which it fails; null: wait for ever"
    )
    storage: str | None = Field(None, description="the study's store: null is a journal file in .assay/")
    storage_path: str | None = Field(
        None, description="where Ray Tune keeps its files: a folder or an address as s3://…; null: one of its own"
    )
    space: dict[str, Vary] = Field(default_factory=dict, description="field of the recipe → how it may vary")

    @property
    def watched(self) -> str:
        """The metric that validation is watched by: the only one, or the first of several objectives."""
        return self.metric if isinstance(self.metric, str) else self.metric[0]

    @property
    def costs(self) -> tuple[str, ...]:
        """The other objectives."""
        return () if isinstance(self.metric, str) else tuple(self.metric[1:])

    @property
    def earlier(self) -> list[str]:
        """The setting `from`, which is a word of Python's."""
        return list(getattr(self, "from"))


if not TYPE_CHECKING:  # a class body has no way to say it
    _from = (list[str], Field(default_factory=list, description="earlier studies whose best recipes are tried first"))
    Search = create_model("Search", __base__=Search, __module__=__name__, **{"from": _from})


class Evaluate(Section):
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(0.95, description="of every interval")
    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = Field(2000, description="bootstrap resamples")
    mistakes: Annotated[int, Field(ge=1, le=400)] = Field(25, description="worst mistakes shown")
    slices: list[str] = Field(
        default_factory=list,
        description="columns of the table or hub whose values are judged apart, e.g. a camera",
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of the resamples")


class Tracking(Section):
    uri: str | None = Field(None, description="MLflow's store; null: sqlite in mlruns/")
    experiment: str = Field("assay", description="MLflow's experiment")


class Params(Section):
    """The whole of params.yaml."""

    data: Data = Field(default_factory=Data)
    augment: Augment = Field(default_factory=Augment)
    recipe: Recipe = Field(default_factory=Recipe)
    search: Search = Field(default_factory=Search)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    promote: Promote = Field(default_factory=Promote)
    retrain: Retrain = Field(default_factory=Retrain)
    drift: Drift = Field(default_factory=Drift)
    serve: Serve = Field(default_factory=Serve)
    tracking: Tracking = Field(default_factory=Tracking)


def flat(section: Section) -> dict[str, Any]:
    """Every value by its dotted name, in the order of params.yaml: `{"optimizer.lr": 0.001, …}`."""
    found: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            found |= {f"{name}.{inner}": deep for inner, deep in flat(value).items()}
        else:
            found[name] = value
    return found


def named(name: str, section: Section) -> dict[str, Any]:
    """Every value of a section under its whole name in params.yaml, as runs record it: `recipe.optimizer.lr`."""
    return {f"{name}.{inner}": value for inner, value in flat(section).items()}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`: dotted names become sections."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """A copy of `recipe` with the dotted `values` set, checked again.

    Raises:
        pydantic.ValidationError: a value does not fit; settings.check translates it for a person.
    """
    return Recipe.model_validate(nested(flat(recipe) | dict(values)))
