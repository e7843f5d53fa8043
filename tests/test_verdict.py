"""Every figure against scikit-learn's or torchmetrics', its ends against resampling done the long way."""

import json
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from threadpoolctl import threadpool_info, threadpool_limits

from assay import verdict as judging
from assay.intervals import mean_of_positives, resamples, student
from assay.params import Evaluate
from assay.verdict import HEADLINES, Verdict, judge

HOW = Evaluate(resamples=100)
NAMES = ["ape", "bee", "cat", "dog"]


def classes(num_samples: int = 200, seed: int = 0, pull: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits of four classes, right more often than not, and the true ones; every class is there."""
    rng = np.random.default_rng(seed)
    true = rng.permutation(np.arange(num_samples) % 4)
    logits = rng.normal(size=(num_samples, 4))
    logits[np.arange(num_samples), true] += pull
    return logits.astype(np.float32), true


def many_labels(num_samples: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = (rng.random((num_samples, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.float32)
    logits = np.round(rng.normal(size=(num_samples, 4)) + 2 * true - 1, 1)  # rounded: ties are there
    return logits.astype(np.float32), true


def numbers(num_samples: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = rng.normal([10, -300], [2, 50], size=(num_samples, 2)).astype(np.float32)
    return (true + rng.normal(0, [1, 20], size=true.shape)).astype(np.float32), true


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().softmax(1).numpy()


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().sigmoid().numpy()


def values(verdict: Verdict) -> dict[str, float]:
    return {name: figure.value for name, figure in verdict.figures.items()}


def deviation_the_long_way(figure: object, true: np.ndarray, said: np.ndarray) -> float:
    """The jackknife's."""
    count = len(true)
    without = np.array([figure(np.delete(true, row, axis=0), np.delete(said, row, axis=0)) for row in range(count)])
    return float(((count - 1) / count * ((without - without.mean()) ** 2).sum()) ** 0.5)


def on_logit(value: float, deviation: float, reach: float = 1.97) -> tuple[float, float]:
    middle, half = np.log(value / (1 - value)), reach * deviation / (value * (1 - value))
    return tuple(1 / (1 + np.exp(-(middle + end))) for end in (-half, half))


CLASS_FIGURES = {
    "balanced_accuracy": lambda true, p: metrics.balanced_accuracy_score(true, p.argmax(1)),
    "macro_f1": lambda true, p: metrics.f1_score(true, p.argmax(1), average="macro"),
    "log_loss": lambda true, p: metrics.log_loss(true, p),
    "auroc": lambda true, p: metrics.roc_auc_score(true, p, multi_class="ovr"),
}
LABEL_FIGURES = {
    "micro_f1": lambda true, p: metrics.f1_score(true, p > 0.5, average="micro"),
    "macro_f1": lambda true, p: metrics.f1_score(true, p > 0.5, average="macro"),
    "auroc": lambda true, p: metrics.roc_auc_score(true, p, average="macro"),
    "average_precision": lambda true, p: metrics.average_precision_score(true, p, average="macro"),
    "hamming_loss": lambda true, p: metrics.hamming_loss(true, p > 0.5),
    "log_loss": lambda true, p: np.mean([metrics.log_loss(true[:, k], p[:, k]) for k in range(4)]),
}
VALUE_FIGURES = {
    "r2": lambda true, said: metrics.r2_score(true, said),
    "r2/b": lambda true, said: metrics.r2_score(true[:, 1], said[:, 1]),
    "rmse/a": lambda true, said: metrics.root_mean_squared_error(true[:, 0], said[:, 0]),
    "mae/b": lambda true, said: metrics.mean_absolute_error(true[:, 1], said[:, 1]),
}


class TestClasses:
    @pytest.mark.parametrize("name", CLASS_FIGURES)
    def test_figures_are_those_of_scikit_learn(self, name: str) -> None:
        logits, true = classes()
        found = judge("classification", logits, true, NAMES, HOW).figures[name]
        assert found.value == pytest.approx(CLASS_FIGURES[name](true, softmax(logits)), abs=1e-7)

    def test_shares_of_each_class_are_those_of_scikit_learn(self) -> None:
        logits, true = classes()
        found = values(judge("classification", logits, true, NAMES, HOW))
        precision, recall, *_ = metrics.precision_recall_fscore_support(true, logits.argmax(1))
        assert [found[f"recall/{name}"] for name in NAMES] == pytest.approx(recall)
        assert [found[f"precision/{name}"] for name in NAMES] == pytest.approx(precision)
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, logits.argmax(1)))

    def test_the_calibration_error_is_torchmetrics(self) -> None:
        from torchmetrics.functional.classification import multiclass_calibration_error

        logits, true = classes(pull=3)
        theirs = multiclass_calibration_error(torch.from_numpy(softmax(logits)), torch.from_numpy(true), 4, n_bins=15)
        found = judge("classification", logits, true, NAMES, HOW).figures["ece"].value
        assert found == pytest.approx(float(theirs), abs=1e-6)

    @pytest.mark.parametrize("name", ["macro_f1", "auroc"])
    def test_ends_are_as_far_as_a_jackknife_done_the_long_way_says(self, name: str) -> None:
        logits, true = classes()
        found = judge("classification", logits, true, NAMES, HOW).figures[name]
        ends = on_logit(found.value, deviation_the_long_way(CLASS_FIGURES[name], true, softmax(logits)))
        assert (found.low, found.high) == pytest.approx(ends, abs=2e-3)

    def test_ends_of_the_loss_are_those_of_a_mean_of_losses(self) -> None:
        logits, true = classes()
        found = judge("classification", logits, true, NAMES, HOW).figures["log_loss"]
        expected = mean_of_positives(-np.log(softmax(logits)[np.arange(len(true)), true]), 0.95)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))

    def test_confidence_widens_and_samples_narrow(self) -> None:
        logits, true = classes(400)
        wide = judge("classification", logits, true, NAMES, Evaluate(confidence=0.99, resamples=500)).figures
        usual = judge("classification", logits, true, NAMES, Evaluate(resamples=500)).figures
        few = judge("classification", logits[:100], true[:100], NAMES, Evaluate(resamples=500)).figures
        for name in ("accuracy", "macro_f1", "auroc", "log_loss"):
            assert wide[name].low < usual[name].low
            assert usual[name].high < wide[name].high
            assert few[name].high - few[name].low > usual[name].high - usual[name].low

    def test_a_perfect_model_on_few_samples_is_not_certain(self) -> None:
        true = np.arange(40) % 4
        found = judge("classification", 20 * np.eye(4)[true], true, NAMES, HOW).figures
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc"):
            assert found[name].value == 1.0
            assert found[name].low < 0.95

    def test_a_class_without_samples_is_left_out_with_its_reason(self) -> None:
        logits, true = classes()
        kept = true != 2
        verdict = judge("classification", logits[kept], true[kept], NAMES, HOW)
        assert verdict.missing["recall/cat"] == "the test split has no sample of it."
        assert "recall/cat" not in verdict.figures
        assert any("over 3 of 4 classes: no test samples of 'cat'" in note for note in verdict.notes)
        theirs = metrics.f1_score(true[kept], logits[kept].argmax(1), average="macro", labels=[0, 1, 3])
        assert verdict.figures["macro_f1"].value == pytest.approx(theirs)

    def test_a_class_that_is_never_said_has_no_precision(self) -> None:
        logits, true = classes()
        logits[:, 1] = -50
        verdict = judge("classification", logits, true, NAMES, HOW)
        assert verdict.missing["precision/bee"] == "it was never said."
        assert verdict.figures["recall/bee"].value == 0.0

    def test_one_class_alone_has_no_auroc(self) -> None:
        logits, true = classes()
        verdict = judge("classification", logits[true == 0], true[true == 0], NAMES, HOW)
        assert verdict.missing["auroc"] == "all test samples are of one class, 'ape'."
        assert "accuracy" in verdict.figures

    def test_one_sample_alone_says_only_whether_it_was_right(self) -> None:
        logits, true = classes()
        verdict = judge("classification", logits[:1], true[:1], NAMES, HOW)
        assert "accuracy" in verdict.figures
        assert "nothing of spread" in verdict.missing["log_loss"]

    def test_small_classes_are_named(self) -> None:
        logits, true = classes(32)
        assert any(
            "too few to judge: 'ape' (8)" in note for note in judge("classification", logits, true, NAMES, HOW).notes
        )

    def test_logits_of_any_size_give_a_finite_loss(self) -> None:
        logits, true = classes()
        found = judge("classification", 1e4 * logits, true, NAMES, HOW).figures["log_loss"]
        assert np.isfinite([found.low, found.value, found.high]).all()


class TestLabels:
    @pytest.mark.parametrize("name", LABEL_FIGURES)
    def test_figures_are_those_of_scikit_learn(self, name: str) -> None:
        logits, true = many_labels()
        found = judge("multilabel", logits, true, NAMES, HOW).figures[name]
        assert found.value == pytest.approx(LABEL_FIGURES[name](true, sigmoid(logits)), abs=1e-6)

    @pytest.mark.parametrize("name", ["macro_f1", "micro_f1", "auroc"])
    def test_ends_are_as_far_as_a_jackknife_done_the_long_way_says(self, name: str) -> None:
        logits, true = many_labels()
        found = judge("multilabel", logits, true, NAMES, HOW).figures[name]
        ends = on_logit(found.value, deviation_the_long_way(LABEL_FIGURES[name], true, sigmoid(logits)))
        assert (found.low, found.high) == pytest.approx(ends, abs=2e-3)

    def test_ends_of_precisions_are_as_far_as_a_bootstrap_done_the_long_way_says(self) -> None:
        logits, true = many_labels()
        found = judge("multilabel", logits, true, NAMES, HOW).figures["average_precision"]
        drawn = []
        for weights in np.concatenate(
            list(resamples(np.zeros(len(true), dtype=np.int64), HOW.resamples, HOW.seed)), axis=1
        ).T:
            rows = np.repeat(np.arange(len(true)), weights.astype(int))
            drawn.append(LABEL_FIGURES["average_precision"](true[rows], sigmoid(logits[rows])))
        rarest = int(true.sum(0).min())
        ends = on_logit(found.value, float(np.std(drawn, ddof=1)), student(0.95, rarest))
        assert (found.low, found.high) == pytest.approx(ends, abs=2e-3)

    def test_a_label_named_as_the_end_of_another_has_its_own_interval(self) -> None:
        logits, true = many_labels()
        names = ["a/b", "b", "c/a/b", "d"]
        found = judge("multilabel", logits, true, names, HOW).figures
        plain = judge("multilabel", logits, true, NAMES, HOW).figures
        for name, other in zip(names, NAMES, strict=True):
            assert found[f"average_precision/{name}"] == plain[f"average_precision/{other}"]

    def test_without_a_mistake_the_hamming_loss_is_not_certain(self) -> None:
        _, true = many_labels()
        found = judge("multilabel", 9 * (2 * true - 1), true, NAMES, HOW).figures["hamming_loss"]
        assert (found.value, found.low) == (0.0, 0.0)
        assert found.high > 0.01

    def test_each_label_has_its_own_figures(self) -> None:
        logits, true = many_labels()
        found = values(judge("multilabel", logits, true, NAMES, HOW))
        for k, name in enumerate(NAMES):
            assert found[f"auroc/{name}"] == pytest.approx(metrics.roc_auc_score(true[:, k], logits[:, k]))
            theirs = metrics.average_precision_score(true[:, k], logits[:, k])
            assert found[f"average_precision/{name}"] == pytest.approx(theirs)
        assert found["exact_match"] == pytest.approx(((logits > 0) == (true > 0.5)).all(1).mean())

    @pytest.mark.parametrize(
        ("everywhere", "why"), [(0.0, "no test sample has it."), (1.0, "every test sample has it.")]
    )
    def test_a_label_that_all_or_none_have_is_left_out_with_its_reason(self, everywhere: float, why: str) -> None:
        logits, true = many_labels()
        true[:, 3] = everywhere
        verdict = judge("multilabel", logits, true, NAMES, HOW)
        assert verdict.missing["auroc/dog"] == verdict.missing["average_precision/dog"] == why
        assert "auroc" in verdict.figures

    def test_without_any_label_to_tell_apart_the_rest_is_still_said(self) -> None:
        logits, true = many_labels()
        verdict = judge("multilabel", logits, np.zeros_like(true), NAMES, HOW)
        assert "no label has" in verdict.missing["auroc"]
        assert {"exact_match", "hamming_loss", "log_loss"} <= set(verdict.figures)


class TestNumbers:
    @pytest.mark.parametrize("name", VALUE_FIGURES)
    def test_figures_are_those_of_scikit_learn(self, name: str) -> None:
        said, true = numbers()
        found = judge("regression", said, true, ["a", "b"], HOW).figures[name]
        assert found.value == pytest.approx(VALUE_FIGURES[name](true, said), rel=1e-6)

    @pytest.mark.parametrize("name", ["r2", "r2/b"])
    def test_ends_are_as_far_as_a_jackknife_done_the_long_way_says(self, name: str) -> None:
        said, true = numbers()
        found = judge("regression", said, true, ["a", "b"], HOW).figures[name]
        left = deviation_the_long_way(lambda *given: np.log(1 - VALUE_FIGURES[name](*given)), true, said)
        half = student(0.95, len(true)) * left
        assert found.low == pytest.approx(1 - (1 - found.value) * np.exp(half), abs=1e-5)
        assert found.high == pytest.approx(1 - (1 - found.value) * np.exp(-half), abs=1e-5)

    def test_the_ends_of_rmse_are_roots_of_those_of_the_mean_square(self) -> None:
        said, true = numbers()
        found = judge("regression", said, true, ["a", "b"], HOW).figures["rmse/b"]
        square = mean_of_positives((said.astype(np.float64) - true)[:, 1] ** 2, 0.95)
        assert (found.low**2, found.high**2) == pytest.approx((square.low, square.high))

    def test_one_target_needs_no_name(self) -> None:
        said, true = numbers()
        assert list(judge("regression", said[:, :1], true[:, 0], ["a"], HOW).figures) == ["mae", "r2", "rmse"]

    def test_a_constant_target_has_no_r2(self) -> None:
        said, true = numbers()
        true[:, 1] = 7.0
        verdict = judge("regression", said, true, ["a", "b"], HOW)
        assert verdict.missing["r2/b"] == "the target is the same in every test sample."
        assert "r2" not in verdict.figures
        assert {"r2/a", "rmse/b"} <= set(verdict.figures)

    def test_targets_far_from_zero_lose_no_digits(self) -> None:
        said, true = numbers()
        near, far = (
            judge("regression", said.astype(np.float64) + off, true.astype(np.float64) + off, ["a", "b"], HOW).figures[
                "r2"
            ]
            for off in (0.0, 1e6)
        )
        assert far.value == pytest.approx(near.value, abs=1e-6)
        assert far.low == pytest.approx(near.low, abs=1e-6)


TASKS = {"classification": classes, "multilabel": many_labels, "regression": numbers}


@pytest.mark.parametrize("task", TASKS)
class TestEveryTask:
    @given(count=st.integers(0, 30), seed=st.integers(0, 5))
    @settings(max_examples=15)
    def test_whatever_the_samples_every_figure_is_a_number_between_its_ends(
        self, task: str, count: int, seed: int
    ) -> None:
        outputs, targets = (array[seed : seed + count] for array in TASKS[task]())
        names = NAMES[: outputs.shape[1]]
        verdict = judge(task, outputs, targets, names, HOW)
        json.dumps({name: figure.rounded() for name, figure in verdict.figures.items()}, allow_nan=False)
        for figure in verdict.figures.values():
            assert figure.low <= figure.value <= figure.high
        assert not verdict.figures.keys() & verdict.missing.keys()
        assert all(reason.endswith(".") for reason in verdict.missing.values())

    def test_figures_repeat_to_the_bit_under_a_seed(self, task: str) -> None:
        outputs, targets = TASKS[task]()
        names = NAMES[: outputs.shape[1]]
        assert judge(task, outputs, targets, names, HOW) == judge(task, outputs, targets, names, HOW)

    def test_the_headline_is_among_the_figures(self, task: str) -> None:
        outputs, targets = TASKS[task]()
        assert HEADLINES[task] in judge(task, outputs, targets, NAMES[: outputs.shape[1]], HOW).figures

    def test_one_thread_of_blas_judges_however_many_there_are(self, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
        threads: set[int] = set()

        def watched(*_: object) -> None:
            threads.update(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")

        monkeypatch.setitem(judging._JUDGES, task, watched)
        outputs, targets = TASKS[task]()
        with threadpool_limits(2):
            judge(task, outputs, targets, NAMES[: outputs.shape[1]], HOW)
        assert threads == {1}


@pytest.mark.parametrize(
    ("task", "num_outputs", "most_s"),
    [("classification", 10, 4.0), ("multilabel", 5, 4.0), ("multilabel", 20, 10.0), ("regression", 3, 4.0)],
)
def test_ten_thousand_samples_are_judged_in_seconds_of_one_core(task: str, num_outputs: int, most_s: float) -> None:
    """With the resamples that the settings ship. A quarter of that on a core of one's own; the best of three counts."""
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(10_000, num_outputs)).astype(np.float32)
    targets = {
        "classification": np.arange(10_000) % num_outputs,
        "multilabel": (rng.random(outputs.shape) < np.linspace(0.5, 0.1, num_outputs)).astype(np.float32),
        "regression": outputs + rng.normal(size=outputs.shape).astype(np.float32),
    }[task]
    taken = []
    while len(taken) < 3 and min(taken, default=most_s) >= most_s:
        began = time.process_time()
        judge(task, outputs, targets, [str(k) for k in range(num_outputs)], Evaluate())
        taken.append(time.process_time() - began)
    assert min(taken) < most_s
