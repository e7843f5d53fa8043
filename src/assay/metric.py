"""The metric that decides: which it is, and which direction of it is better. Imports no torch, so a driver can ask."""

from assay.errors import InputError
from assay.params import METRICS_OF_TASK, SMALLER_IS_BETTER


def resolve_metric(metric: str, task: str) -> str:
    """The metric's name for `task`; `auto` is the task's own.

    Raises:
        InputError: the metric does not fit the task.
    """
    fitting = METRICS_OF_TASK[task]
    if metric == "auto":
        return fitting[0]
    if metric not in fitting:
        raise InputError(f"search.metric is {metric!r}, which does not fit {task}; use {' or '.join(fitting)}.")
    return metric


def better(metric: str) -> str:
    """`max` or `min`: which direction of `metric` is better."""
    return "min" if metric in SMALLER_IS_BETTER else "max"
