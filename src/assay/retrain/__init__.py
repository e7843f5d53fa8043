"""Retraining, by whatever schedule calls for it. Owns what follows of a schedule and who hears of it; which model is
champion is championship.py's.

due.py how often it was due · timetable.py `assay schedule` · notice.py who hears of it · told.py, pictures.py, page.py
what is shown of it
"""
