"""One metric decides, and it is known which direction of it is better."""

import subprocess
import sys

import pytest

from assay.errors import InputError
from assay.metric import better, resolve_metric
from assay.params import METRICS_OF_TASK


def test_errors_are_better_small_and_shares_large() -> None:
    assert [better(name) for name in ("loss", "rmse", "mae", "accuracy", "r2", "f1")] == ["min"] * 3 + ["max"] * 3


def test_auto_is_the_tasks_own_metric_and_another_tasks_is_refused() -> None:
    assert [resolve_metric("auto", task) for task in METRICS_OF_TASK] == ["accuracy", "f1", "r2"]
    with pytest.raises(InputError, match=r"search\.metric is .accuracy., which does not fit regression; use r2"):
        resolve_metric("accuracy", "regression")


def test_a_driver_can_ask_without_torch() -> None:
    code = "import sys, assay.metric, assay.search.study, assay.search.course; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
