import subprocess
import sys
from pathlib import Path

import assay.tracking


def test_mlflow_is_named_by_the_store_alone() -> None:
    rooms = Path(assay.tracking.__file__).parent.glob("*.py")
    importers = {room.name for room in rooms if "import mlflow" in (text := room.read_text()) or "from mlflow" in text}
    assert importers == {"store.py"}


def test_importing_tracking_imports_no_mlflow() -> None:
    asked = "import sys, assay.tracking; sys.exit('mlflow' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked]).returncode == 0
