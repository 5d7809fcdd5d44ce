"""The names in a run folder: whatever reads or writes there takes them from this list."""

from __future__ import annotations

# What the run is, the result of each trial, the states of trainings in flight, and the index over the results.
SETTINGS, RESULTS, CHECKPOINTS, STUDY = "settings.json", "results", "checkpoints", "study.db"
# Who writes in the folder now, and what happened when.
LOCK, LOG = "lock", "log.jsonl"
# A forced run moves what it replaces to REPLACED, a rebuild moves broken files to BROKEN.
REPLACED, BROKEN = "replaced", "broken"
# The report at the end of a run; its pictures lie in FIGURES.
TRIALS, ANALYSIS, BEST, PAGE, FIGURES = "trials.csv", "sensitivity.json", "best.json", "report.html", "figures"
# A run with several objectives leaves its front as well.
FRONT = "front.csv"
REPORT_FILES = (TRIALS, ANALYSIS, BEST, PAGE)
# The chosen configurations, as files of the command that train them again.
AGAIN = {"best": "best.yaml", "economical": "economical.yaml"}
# What such a training reached.
TRAINED = "trained.json"
