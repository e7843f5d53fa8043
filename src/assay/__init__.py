"""Assay: from a data set to a model that has earned its place."""

__version__ = "0.1.0"
