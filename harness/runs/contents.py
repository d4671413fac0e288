"""The files in a run folder by kind, and which of them the run wrote. Other files belong to the user."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from harness.runs.place import AGAIN, BEGINNING
from harness.runs.predictions import FOLDER
from harness.runs.run_folder import LEFT, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.util.disk import Entry

MODELS, PREDICTIONS, PLOTS, EVENTS, RECORDS = "models", "predictions", "plots", "events", "records"
KINDS = (MODELS, PREDICTIONS, PLOTS, EVENTS, RECORDS)
BY_FOLDER = {"checkpoints": MODELS, FOLDER: PREDICTIONS, "plots": PLOTS, "report.html": PLOTS}
LOCKS = {BEGINNING, ".sending", ".changing", ".resuming", ".refitting", ".concluding"}
NAMES = {*RunFolder.FILES, *StudyFolder.FILES, *LOCKS, "error.txt", AGAIN, ".alive"}
OF_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # written by file managers in every folder that they show
HALF_WRITTEN = re.compile(r"\..+-[0-9a-f]{8}")  # the names of unfinished files of `write_whole`
OWN_MODEL = re.compile(r"(fold[0-9]+|model|shared|unfinished)\.pt")  # other .pt files are exports of the user
TRIAL = re.compile(r"trial-[0-9]+")


def kind_of(path: PurePath) -> str:
    """Returns the kind of a file, one of KINDS. `path` is relative to the folder of a run or a study."""
    parts = _within_run(path).parts
    if not parts:
        return RECORDS
    if parts[0].startswith("predictions."):
        return PREDICTIONS
    if parts[0].startswith("events.out.tfevents.") or (parts[0].startswith("fold") and parts[0][4:].isdecimal()):
        return EVENTS
    return BY_FOLDER.get(parts[0], RECORDS)


def is_own(entry: Entry) -> bool:
    """Returns whether a run, a study or a file manager wrote the file. A link is the user's: harness makes no links."""
    path = _within_run(entry.path)
    if entry.is_link:
        return False
    if path.name in OF_SYSTEMS or HALF_WRITTEN.fullmatch(path.name) or (len(path.parts) == 1 and path.name in NAMES):
        return True
    if path.parent.name == "checkpoints" and not OWN_MODEL.fullmatch(path.name):
        return False
    return any(path.match(pattern) and len(path.parts) == len(PurePath(pattern).parts) for pattern in LEFT)


def strange_files(entries: list[Entry]) -> list[Path]:
    """Returns the paths of files and links that no run wrote, such as notes of the user."""
    return [entry.path for entry in entries if not entry.is_folder and not is_own(entry)]


def _within_run(path: PurePath) -> PurePath:
    """The path relative to the run's folder, for a path in a study's folder."""
    return PurePath(*path.parts[1:]) if path.parts and TRIAL.fullmatch(path.parts[0]) else path
