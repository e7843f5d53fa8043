"""Who answers while the registry is away, or holds what cannot be used: whoever did before."""

import shutil
from pathlib import Path

from assay.championship import Championship
from assay.params import Tracking
from assay.registry.versions import Versions
from assay.serve.champion import Champion
from assay.tracking.address import resolve
from contests import PARAMS, write_project
from servers import mlflow_server
from waits import until


def test_a_registry_that_is_away_or_damaged_stops_no_answer(tmp_path: Path) -> None:
    write_project(tmp_path, "classification")
    with mlflow_server(tmp_path) as server:
        params = PARAMS.model_copy(update={"tracking": Tracking(uri=server.uri)})
        versions = Versions(resolve(params.tracking, tmp_path), tmp_path, "assay")
        with Championship(params, tmp_path) as house:
            house.challenge(tmp_path / "bad", tmp_path / "data")
            house.challenge(tmp_path / "good", tmp_path / "data")
            champion = Champion(versions, poll_s=0.1)
            first = champion.served
            assert (first.number, champion.trouble) == (2, None)
            champion.watch()
            server.stop()
            until(lambda: champion.trouble is not None, "the word of a registry that is away")
            assert "did not do as asked" in str(champion.trouble) and champion.served is first
            server.start()
            until(lambda: champion.trouble is None, "the registry again")
            for kept in (tmp_path / "files").rglob("model.json"):
                if kept.read_bytes() == (tmp_path / "bad" / "model.json").read_bytes():
                    shutil.move(kept, tmp_path / "away.json")
                    gone = kept
            house.promote(1, "without knowing that it is damaged")
            until(lambda: champion.trouble is not None, "the word of a version that cannot be read")
            assert "holds no trained model" in str(champion.trouble) and champion.served is first
            shutil.move(tmp_path / "away.json", gone)
            until(lambda: champion.served.number == 1, "the version that was mended")
            house.rollback("enough")
            until(lambda: champion.served.number == 2, "the version before")
            champion.close()
