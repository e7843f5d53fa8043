"""Syne Tune's CQR and BORE on the tables of search_quality.py, which asks for them: jobs on standard input as JSON, the
regrets of what each returns as a line of standard output.
"""

import json
import logging
import os
import sys
import warnings
from multiprocessing import Pool
from typing import Any

from tables import WORDS, Shown, choices, task


def regret(job: tuple[str, str, str, int, int]) -> float:
    from syne_tune.config_space import choice, randint
    from syne_tune.optimizer.baselines import BORE, CQR
    from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    method, kind, name, seed, budget = job
    shown = Shown(task(kind, name), seed)
    space: dict[str, Any] = {
        name: choice(choices(count)) if name in WORDS else randint(0, count - 1)
        for name, count in shown.task.grid.items()
    }
    scheduler = {"syne bore": BORE, "syne cqr": CQR}[method]
    asked = AskTellScheduler(scheduler(space, metric="value", do_minimize=False, random_seed=seed))
    for _ in range(budget):
        trial = asked.ask()
        asked.tell(trial, {"value": shown(trial.config)})
    return shown.regret()


def main() -> None:
    with Pool(os.cpu_count()) as pool:
        print(json.dumps(pool.map(regret, json.load(sys.stdin), chunksize=1)))


if __name__ == "__main__":
    main()
