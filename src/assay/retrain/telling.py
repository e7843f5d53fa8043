"""What is told of a retraining: its page, its step in the champion's curve, and the notice. Owns what goes where; a
receiver that is away costs nothing, and what is told twice is the same.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.championship import Championship
from assay.data.dataset import read_about, read_index
from assay.match import Contender, Match
from assay.params import Evaluate, Params, flat
from assay.registry.ledger import Decision
from assay.retrain.curve import figures_of, write_curve
from assay.retrain.notice import NOTICES, Notify, notify
from assay.retrain.page import write_page
from assay.retrain.pictures import apart
from assay.retrain.told import Apart, Data, Ruled, Told
from assay.terminal import note

PAGES = Path("results/retrain")


def write_told(
    params: Params,
    root: Path,
    house: Championship,
    retraining: int,
    prepared: Path,
    planned: Mapping[str, Any],
    judged: Mapping[str, Any],
) -> Path:
    """The page and the curve's step of a retraining that was judged.

    Args:
        prepared: its data.
        planned, judged: what its steps say.

    Raises:
        InputError: the disk is full, or MLflow's store does not answer.
    """
    decision = next(one for one in house.decisions() if one.number == judged["decision"])
    challenger, champion = house.contender(judged["version"]), planned["champion"]
    before = None if champion is None else house.contender(champion)
    shown = _apart(challenger, before, prepared, params.evaluate)
    told = Told(
        house.name,
        judged["kind"],
        decision.at,
        judged["said"],
        judged["version"],
        decision.champion,
        planned["why"],
        planned["missed"],
        _data(planned, prepared),
        planned["drift"],
        {} if before is None else flat(before.trained.recipe),
        flat(challenger.trained.recipe),
        judged["said"] if decision.kind == "screened" else "",
        _ruled(decision),
        decision.evidence.get("vetoes", ()),
        *shown,
    )
    page = write_page(told, root / PAGES / f"{retraining}.html")
    figures = figures_of(decision, promoted=judged["kind"] == "promoted", samples=planned["samples"])
    write_curve(params.tracking, root, house.name, retraining, figures, page)
    return page


def counts_of(prepared: Path) -> dict[str, Any]:
    """Samples by split and by class, as the next retraining's page has them beside its own."""
    report = json.loads((prepared.parent / "report.json").read_text(encoding="utf-8"))
    classes = {name: sum(counts.values()) for name, counts in report["classes"].items()}
    return {"splits": read_about(prepared).counts, "classes": classes}


def send(params: Params, root: Path, kind: str, sentence: str, **more: Any) -> None:
    """Tell whoever is to hear of it."""
    asked, model = Notify.of(params.retrain.notify), params.promote.model
    word = re.sub(r"[^\w-]", "-", f"{model[:60]}-{kind}", flags=re.ASCII)
    event = {"id": f"{word}-{time.time_ns()}", "model": model, "kind": kind, "at": time.time(), "sentence": sentence}
    for said in notify(asked, event | more, root / NOTICES):
        note(said)


def _data(planned: Mapping[str, Any], prepared: Path) -> Data:
    before, now, samples = planned["before"] or {}, counts_of(prepared), planned["samples"]
    return Data(
        before.get("splits", {}),
        now["splits"],
        samples.get("new", sum(now["splits"].values())),
        samples.get("gone", 0),
        before.get("classes", {}),
        now["classes"],
    )


def _ruled(decision: Decision) -> Ruled | None:
    """None where the test split was not looked at."""
    compared = decision.evidence.get("compared")
    if compared is None or decision.kind == "screened" or decision.budget is None:
        return None
    rules, ends = decision.budget.rules, compared["gain"]
    left = rules.slots - decision.budget.looks
    gain = ends["value"], ends["low"], ends["high"]
    return Ruled(decision.reason, compared["metric"], *gain, rules.margin, decision.evidence.get("alpha"), left)


def _apart(
    challenger: Contender, champion: Contender | None, prepared: Path, how: Evaluate
) -> tuple[Sequence[Apart], int]:
    """Samples of validation: who looks at pictures of the test split learns by eye what nobody may choose by."""
    if champion is None:
        return (), 0
    match = Match(challenger, prepared, how)
    split, counts, said = match.validation, match.untaught(champion), match.said_of_validation(champion)
    names = [name for name, one in zip(read_index(prepared, "validation", len(split))[1], counts, strict=True) if one]
    part = split.parts[0]
    return apart(match.about, part.samples[counts], names, part.targets[counts], said[0], said[1])
