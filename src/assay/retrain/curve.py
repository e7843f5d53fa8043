"""The champion over the months: one run of MLflow that lives as long as the registered model, a step a retraining. Owns
its names; decides nothing, and nothing is decided by it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.params import Tracking
from assay.registry.ledger import Decision
from assay.tracking import ending, open_tracker

NAME = "champion history"


def write_curve(
    tracking: Tracking, root: Path, model: str, retraining: int, figures: Mapping[str, float], page: Path
) -> None:
    """Add a step, and the page of a retraining; one that is written twice is the same.

    Raises:
        InputError: the store does not answer.
    """
    with open_tracker(tracking, root, {"model": model}) as tracker:
        run = tracker.start(f"{NAME} of {model}", kind="champion", key=f"{NAME} {model}", again=True)
        with ending(run):
            run.log(figures, step=retraining)
            run.file(page, "retrainings")


def figures_of(decision: Decision, promoted: bool, samples: Mapping[str, float]) -> dict[str, float]:
    """What a retraining is as numbers.

    Args:
        decision: that it ended with.
        samples: counts by name.
    """
    found: dict[str, float] = {"champion/version": decision.champion, "promoted": promoted}
    found |= {f"data/{name}": count for name, count in samples.items()}
    if decision.budget is not None:
        left = decision.budget.rules.slots - decision.budget.looks
        found |= {"budget/looks_left": left, "budget/alpha_spent": decision.budget.spent}
    compared: Mapping[str, Any] | None = decision.evidence.get("compared")
    if compared is None:
        return found
    on, metric = "val" if decision.kind == "screened" else "test", compared["metric"]
    found |= {f"{on}/{metric}/{who}": compared[who] for who in ("challenger", "champion")}
    found |= {f"{on}/gain{name}": compared["gain"][end] for name, end in ENDS.items()}
    return found | {f"{on}/p": compared["p"]}


ENDS = {"": "value", "/low": "low", "/high": "high"}
