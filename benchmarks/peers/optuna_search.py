"""Plain Optuna as its documentation shows it: one trial after another, MedianPruner. Run by search_speed.py."""

import argparse
import json

import optuna
from plain_trial import FIRST, load, train

options = argparse.ArgumentParser()
options.add_argument("--digits")
options.add_argument("--trials", type=int)
options.add_argument("--epochs", type=int)
options.add_argument("--seed", type=int)
chosen = options.parse_args()
optuna.logging.set_verbosity(optuna.logging.ERROR)
data = load(chosen.digits)


def objective(trial: optuna.Trial) -> float:
    point = {
        "activation": trial.suggest_categorical("activation", ["relu", "tanh", "sigmoid"]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "l2": trial.suggest_float("l2", 1e-6, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0, 0.5),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd"]),
    }
    best = 0.0
    for epoch, accuracy in enumerate(train(point, data, chosen.epochs, chosen.seed), start=1):
        best = max(best, accuracy)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return best


study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=chosen.seed),
    pruner=optuna.pruners.MedianPruner(),
)
study.enqueue_trial(FIRST)
study.optimize(objective, n_trials=chosen.trials)
epochs = sum(len(trial.intermediate_values) for trial in study.trials)
best = max(max(trial.intermediate_values.values()) for trial in study.trials)
print(json.dumps({"best": best, "epochs": epochs}))
