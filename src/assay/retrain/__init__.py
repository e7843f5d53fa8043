"""Retraining, by whatever schedule calls for it. Owns that one runs at a time, that each ends in an exit code, and who
hears of it; a failure is written down and the champion stays.

key.py what it is made of · reason.py whether to · near.py where to look · steps.py the work, step by step · account.py
every step, in a table · curve.py, told.py, pictures.py, page.py what is shown of it · notice.py who hears of it ·
due.py how often it was due · timetable.py `assay schedule`
"""

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import InputError
from assay.lease import Held, Superseded
from assay.terminal import note, of_machine, say

if TYPE_CHECKING:
    from assay.params import Params
    from assay.retrain.account import Account

CODES = {"promoted": 0, "failed": 1, "kept": 10, "nothing new": 11, "busy": 12}


def retrain(root: Path, *, force: bool) -> int:
    """Retrain, where there is reason to, and let the model try to become champion.

    Returns:
        The exit code: see `CODES`.

    Raises:
        InputError: params.yaml is wrong; nothing was begun.
    """
    from assay.check import checked
    from assay.retrain.steps import pull
    from assay.settings import load

    params = load()
    try:
        pull(params.data.pull, root)
    except InputError as error:
        return _failed(params, root, error)
    try:
        params = checked()
    except InputError as error:
        _failed(params, root, error, told=False)
        raise
    try:
        return _retrained(params, root, force=force)
    except (Held, Superseded) as error:
        note(" ".join(error.sentences))
        return CODES["busy"]
    except Exception as error:
        code = _failed(params, root, error)
        if not _sentences(error):
            raise
        return code


def _retrained(params: "Params", root: Path, *, force: bool) -> int:
    from assay.championship import Championship
    from assay.retrain.account import Account
    from assay.retrain.steps import Retraining
    from assay.retrain.telling import send

    with (
        Championship(params, root) as house,
        closing(Account(house.database, house.name)) as account,
        account.retraining() as left_by,
    ):
        if left_by is not None:
            say(f"retrain: {left_by} ended within a retraining and left its lease behind; it is taken over.")
        try:
            ended = Retraining(params, root, house, account, force=force).run()
        except Exception as error:
            _write_failure(account, error)
            raise
    say(f"retrain: {ended.said}")
    send(params, root, ended.kind, ended.said, **ended.more)
    return CODES[ended.kind]


def _write_failure(account: "Account", error: Exception) -> None:
    from assay.retrain.account import FAILED, Past

    past = Past(tuple(account.steps()))
    number, key = (past.open[-1].retraining, past.open[-1].key) if past.open else (past.next, "")
    with suppress(InputError):  # what went wrong may be the database
        account.add(number, key, FAILED, {"why": " ".join(_sentences(error)) or repr(error)})


def _failed(params: "Params", root: Path, error: Exception, *, told: bool = True) -> int:
    """Let whoever is to hear of it know, and the person too."""
    from assay.retrain.telling import send

    said = _sentences(error)
    for sentence in said if told else ():
        note(f"retrain: {sentence}")
    send(params, root, "failed", " ".join(said) or f"{type(error).__name__}: {error}")
    return CODES["failed"]


def _sentences(error: Exception) -> list[str]:
    """What a person can mend; nothing where it is our own bug."""
    from assay.check import placed

    if isinstance(error, InputError):
        return list(placed(error).sentences)
    said = of_machine(error)
    return [] if said is None else [said]
