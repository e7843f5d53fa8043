"""Which model is in use. versions.py has the models in MLflow's registry, flavor.py how they are loaded, ledger.py
every decision on them, book.py the database that keeps those.
"""
