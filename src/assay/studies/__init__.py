"""The studies of a project, for a person: listed, shown, carried to another project, removed, looked at. Owns the verbs
of `assay study`; runs no trial and decides nothing of one.

shelf.py which there are and what each holds · words.py in words · carrying.py as one file · dashboard.py in a browser
"""
