"""What is drawn follows from what is stored; who is stopped follows from what was reported."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from assay.search.policy import NUMBER, Halving, sampler

SPACE = {"lr": FloatDistribution(1e-4, 1e-1, log=True), "activation": CategoricalDistribution(["relu", "tanh"])}
curves = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=9), min_size=1, max_size=12)


def study_of(finished: list[list[float]], direction: str = "maximize") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=direction)
    for number, curve in enumerate(finished):
        study.add_trial(
            optuna.trial.create_trial(
                value=max(curve),
                intermediate_values=dict(enumerate(curve, start=1)),
                user_attrs={NUMBER: 0} if number == 0 else {},
            )
        )
    return study


def stopped_at(pruner: Halving, study: optuna.Study, curve: list[float]) -> int | None:
    trial = study.ask()
    for epoch, value in enumerate(curve, start=1):
        trial.report(value, epoch)
        if pruner.prune(study, study._storage.get_trial(trial._trial_id)):
            return epoch
    return None


@pytest.mark.parametrize(("epoch", "rung"), [(1, None), (2, 2), (5, 2), (6, 6), (17, 6), (18, 18)])
def test_rungs_stand_at_powers_of_the_reduction(epoch: int, rung: int | None) -> None:
    assert Halving(2, 3).rung(epoch) == rung


@given(curves)
def test_the_best_at_every_rung_is_never_stopped(others: list[list[float]]) -> None:
    assert stopped_at(Halving(1, 3), study_of(others), [1.0] * 9) is None


@given(curves, st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_nobody_is_stopped_before_the_first_rung(others: list[list[float]], curve: list[float]) -> None:
    end = stopped_at(Halving(4, 3), study_of(others), curve)
    assert end is None or end >= 4


@given(curves, st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_smaller_is_better_is_the_mirror_of_larger(others: list[list[float]], curve: list[float]) -> None:
    mirrored = study_of([[-value for value in each] for each in others], "minimize")
    assert stopped_at(Halving(1, 3), study_of(others), curve) == stopped_at(
        Halving(1, 3), mirrored, [-value for value in curve]
    )


def test_a_third_goes_on() -> None:
    others = [[value / 10] for value in range(8)]  # 0 … 0.7; with the ninth, three places
    assert stopped_at(Halving(1, 3), study_of(others), [0.65]) is None
    assert stopped_at(Halving(1, 3), study_of(others), [0.45]) == 1


def test_who_passed_early_is_judged_again_when_more_have_come() -> None:
    study = study_of([[0.1]])
    trial, pruner = study.ask(), Halving(1, 3)
    trial.report(0.5, 1)
    assert not pruner.prune(study, study._storage.get_trial(trial._trial_id))
    study.add_trial(optuna.trial.create_trial(value=0.9, intermediate_values={1: 0.9}))
    trial.report(0.6, 2)
    assert pruner.prune(study, study._storage.get_trial(trial._trial_id))


def test_the_base_recipe_is_never_stopped() -> None:
    study = study_of([[0.9] * 9] * 6)
    study.enqueue_trial({}, user_attrs={NUMBER: 0})
    assert stopped_at(Halving(1, 3), study, [0.0] * 9) is None


def test_failed_trials_are_no_rivals() -> None:
    study = study_of([[0.1]])
    failed = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, intermediate_values={1: 0.9})
    study.add_trial(failed)
    assert stopped_at(Halving(1, 3), study, [0.5]) is None


@pytest.mark.parametrize("finished", [0, 6, 30])
def test_a_draw_is_a_function_of_the_stored_trials_and_the_number(finished: int) -> None:
    def drawn(number: int, seed: int = 7) -> dict[str, object]:
        study = optuna.create_study(direction="maximize", sampler=sampler(SPACE, seed, 1, 60))
        for done in range(finished):
            study.sampler = sampler(SPACE, 3, done, 60)
            study.tell(study.ask(SPACE), done / 100)
        study.sampler = sampler(SPACE, seed, number, 60)
        return dict(study.ask(SPACE).params)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert drawn(finished) == drawn(finished)
    assert drawn(finished) != drawn(finished + 1)
    assert drawn(finished) != drawn(finished, seed=8)
