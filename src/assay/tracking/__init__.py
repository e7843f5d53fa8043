"""Writes runs into MLflow, for the rest of Assay to call; never decides by what stands there.

A run takes what is logged at once: it goes into the spool (spool.py), and one thread (writer.py) carries it to the
store (store.py, the one importer of MLflow here) every few seconds. So no stage waits for MLflow, whose import alone
takes seconds, and an outage costs no training.
"""

from assay.tracking.runs import Run, Tracker, ending, open_tracker
from assay.tracking.source import study_of
from assay.tracking.ui import serve_ui, ui_link

__all__ = ["Run", "Tracker", "ending", "open_tracker", "serve_ui", "study_of", "ui_link"]
