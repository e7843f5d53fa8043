"""Puts the settings table of params.py into README.md, between its marks: `python docs/settings_table.py`."""

import re
from pathlib import Path

from assay.settings import explain

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def with_table(text: str) -> str:
    """`text` with the table as the code has it now."""
    block = f"{BEGIN}\n{explain()}\n{END}"
    found, count = re.subn(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.DOTALL)
    assert count == 1, f"{README.name} has {count} places for the settings table, and should have one"
    return found


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
