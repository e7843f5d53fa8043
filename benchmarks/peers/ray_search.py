"""Ray Tune with its own OptunaSearch and ASHAScheduler, as its documentation shows them. Run by search_speed.py."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import optuna
import ray
from plain_trial import FIRST, load, train
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

options = argparse.ArgumentParser()
options.add_argument("--digits")
options.add_argument("--trials", type=int)
options.add_argument("--epochs", type=int)
options.add_argument("--seed", type=int)
chosen = options.parse_args()


def trial(config: dict, data: tuple, epochs: int, seed: int) -> None:
    best = 0.0
    for epoch, accuracy in enumerate(train(config, data, epochs, seed), start=1):
        best = max(best, accuracy)
        tune.report({"accuracy": accuracy, "best": best, "epoch": epoch})


space = {
    "activation": tune.choice(["relu", "tanh", "sigmoid"]),
    "lr": tune.loguniform(1e-4, 1e-1),
    "l2": tune.loguniform(1e-6, 1e-2),
    "dropout": tune.uniform(0, 0.5),
    "batch": tune.choice([32, 64, 128]),
    "optimizer": tune.choice(["adam", "sgd"]),
}
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
optuna.logging.set_verbosity(optuna.logging.ERROR)
with tempfile.TemporaryDirectory() as folder:
    found = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(trial, data=load(chosen.digits), epochs=chosen.epochs, seed=chosen.seed), {"cpu": 1}
        ),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=chosen.trials,
            search_alg=OptunaSearch(points_to_evaluate=[FIRST], seed=chosen.seed),
            scheduler=ASHAScheduler(time_attr="epoch", max_t=chosen.epochs, grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    ).fit()
    results = [result.metrics for result in found if "best" in (result.metrics or {})]
ray.shutdown()
print(json.dumps({"best": max(each["best"] for each in results), "epochs": sum(each["epoch"] for each in results)}))
sys.stdout.flush()
