"""Where a run came from: git's commit, whether the tree differed from it, the study. Reads; changes nothing."""

import getpass
import json
import subprocess
import sys
from pathlib import Path

# What the pipeline itself writes is a result, not a change of the code that made it.
WRITTEN = (":(exclude,top)dvc.lock", ":(exclude,top)results")
GIT_S = 10


def source_tags(root: Path) -> dict[str, str]:
    """MLflow's tags of the source; without a commit where `root` is no git repository or git is not there."""
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": Path(sys.argv[0]).name or "assay"}
    if (name := user()) is not None:
        tags["mlflow.user"] = name
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return tags
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":/", *WRITTEN)
    return tags | {"mlflow.source.git.commit": commit, "assay.git_dirty": str(changed != "").lower()}


def study_of(report: Path) -> str:
    """The study that the search's report.json names; `none` where nothing was searched or nothing is written."""
    try:
        return str(json.loads(report.read_text(encoding="utf-8"))["study"] or "none")
    except (OSError, ValueError, KeyError, TypeError):
        return "none"


def user() -> str | None:
    """Who runs this; None for a container's user without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _git(root: Path, *words: str) -> str | None:
    """What git says; None where it cannot."""
    asked = ["git", "--no-optional-locks", "-C", str(root), *words]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=GIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()
