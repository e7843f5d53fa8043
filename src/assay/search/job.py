"""What of a project travels to a cluster, and what a submitted job would lose. Owns the copy of Assay that workers get
and the look at a job's folder; starts nothing.
"""

import shutil
from pathlib import Path

import assay
from assay.errors import InputError
from assay.params import Params

UNPACKED = "working_dir_files"  # the folder of Ray's below which a node unpacks what `ray job submit` took along
CODE = frozenset({".py", ".css", ".js", ".typed"})  # what the package is made of


def submitted() -> bool:
    """Whether this process runs in a job's copy of a project, which nobody keeps when the job is over."""
    return UNPACKED in Path.cwd().parts


def refuse_absent(prepared: Path) -> None:
    """See that the prepared data came along.

    Raises:
        InputError: a submitted job has none.
    """
    if submitted() and not (prepared / "dataset.json").exists():
        raise InputError(
            f"{prepared} did not come with this job: prepare it before you submit, and see that .rayignore takes it "
            "along; where it is larger than 100 MiB, start the search in a folder that the head sees."
        )


def refuse_fleeting(params: Params) -> None:
    """See that nothing which must last would be written into a job's folder.

    Raises:
        InputError: the study or the runs would go with the job.
    """
    if not submitted():
        return
    places = {
        "search.storage": (params.search.storage, "a database that the cluster reaches, as postgresql://…"),
        "tracking.uri": (params.tracking.uri, "an MLflow server that the cluster reaches, as http://…"),
    }
    fleeting = {name: right for name, (said, right) in places.items() if _within(said)}
    if fleeting:
        raise InputError(
            *(
                f"{name} is a place in this job's folder, which is thrown away; it must be {right}."
                for name, right in fleeting.items()
            )
        )


def code(folder: Path) -> Path:
    """A copy of Assay below `folder`: its code and nothing that lies between, a few hundred KB as Ray packs it."""
    place = folder / "assay"

    def left_out(within: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(within) / name).is_file() and Path(name).suffix not in CODE]

    own = Path(assay.__file__).parent
    shutil.copytree(own, place, ignore=lambda within, names: {*left_out(within, names), "__pycache__"})
    return place


def _within(address: str | None) -> bool:
    """Whether an address means a place below the working directory."""
    if address is None:
        return True
    scheme, _, path = address.rpartition("://")
    scheme = scheme.split("+")[0]  # without its driver: sqlite+pysqlite
    return (
        scheme in ("", "file", "sqlite")
        and not Path(path.removeprefix("/") if scheme == "sqlite" else path).is_absolute()
    )
