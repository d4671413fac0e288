"""Makes a project: the folder in which commands are typed, with an experiment that works."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from harness.data.formats import is_image_name
from harness.data.layout import subfolders
from harness.errors import StorageError, UsageError
from harness.util.files import write_whole

IGNORED = (
    "/data/",
    "/models/",
    "/runs/",
    "/mlruns/",
    "/mlflow.db*",
    "/.mlflow.db*",
    "/optuna.journal*",
    "/.harness/",
    "/.data.unfinished/",
    "/.data.replaced/",
    "/.venv/",
    "__pycache__/",
    "*.pt",
    "*.pth",
    "*service_account*.json",
)
GITIGNORE = """\
# files that must not be committed: data, models, runs, databases, environments, keys
# (commit data.dvc and models.dvc, which `harness data track` writes)
"""
QUICKSTART = '''\
"""Sea or forest in half a minute: a small network, trained from scratch on the demo data (`harness data demo`)."""

from harness import Experiment, run_file

# other fields use their defaults: `harness run quickstart --dry-run` shows each field and its meaning
experiment = Experiment(
    data="data/train",  # one folder per class; train, val and test folders of these; or a table of path,label
    test_data="data/test",  # for `harness test`; never used in training
    model="small_cnn",  # or a classifier of torchvision, timm/NAME, or a function: number of classes -> module
    weights=None,  # from scratch; or "imagenet" for a model of torchvision, or a file
    image_size=64,  # pixels: each image is resized to a square of this side
    augment="flip",  # mirrors training images at random; None if left and right matter, as in text
    scheduler="onecycle",  # the learning rate rises to lr, and then falls
    lr=1e-2,
    epochs=8,
    folds=3,  # of the cross-validation; 0: one hold-out with a fifth of the images
)


def search_space(trial):
    """The settings that `harness search quickstart` varies, as a dictionary of fields."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


if __name__ == "__main__":
    run_file(__file__)
'''
README = """\
# A harness project

Type all commands in this folder.

```
harness data demo                    draws the demo data, sea or forest, into data/
harness run quickstart               trains experiments/quickstart.py, in half a minute
harness list                         shows the experiments and the latest runs
harness test RUN                     tests the run's model on data/test; `harness list` shows the id RUN
harness champion promote RUN         trains a model on all images, tests it, and stores it in models/
harness predict champion PHOTO...    predicts photographs with the champion: files, folders, globs
harness search quickstart --trials 5 searches learning rate, batch size and weight decay
harness ui                           shows all runs in the browser, until Ctrl-C
harness doctor                       checks the installation, and says how to fix it
```

With your own images, in a folder that contains one folder for each class:

```
harness new NAME --data FOLDER       checks the images, and writes experiments/NAME.py
harness data check NAME              shows copies, doubtful labels, shortcuts and odd images, as a page
harness run NAME --dry-run           shows the plan and all warnings
harness run NAME                     trains and evaluates NAME
```

Commit `experiments/` and this file. `.gitignore` lists what must not be committed: `data/`, `models/`, `runs/`,
`mlflow.db`. To track the version of the data in git as well: `pip install "dvc[gdrive]"`, `git init`, `dvc init`, and
then `harness data track data`.
"""
FILES = {
    "experiments/quickstart.py": QUICKSTART,
    ".gitignore": GITIGNORE + "\n".join(IGNORED) + "\n",
    "README.md": README,
}


@dataclass(frozen=True)
class Project:
    """What `make_project` did.

    Attributes:
        folder: The project.
        written: Files that were written, relative to `folder`.
        kept: Files that already existed, which were not changed.
        not_ignored: Lines that the existing `.gitignore` lacks.
        has_git: Whether the folder is in a git repository.
        has_images: Whether it directly contains folders of images.
    """

    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]
    not_ignored: tuple[str, ...]
    has_git: bool
    has_images: bool


def make_project(folder: Path) -> Project:
    """Writes the files of a project into `folder`, which is created if it does not exist. Overwrites no file.

    Raises:
        UsageError: `folder` cannot be a project: it is a file, a home directory, or the root of a file system.
        StorageError: A file cannot be written. The files written before are complete; a second call writes the rest.
    """
    _require_project(folder)
    kept = tuple(name for name in FILES if os.path.lexists(folder / name))
    written = tuple(name for name in FILES if name not in kept)
    for name in written:
        try:
            write_whole(folder / name, FILES[name].encode())
        except StorageError as error:
            error.then(f"harness init {quote(str(folder))}")
            error.fix = error.fix if error.first else "harness init FOLDER, with a folder that you can write to"
            raise
    return Project(
        folder,
        written,
        kept,
        _missing_lines(folder / ".gitignore") if ".gitignore" in kept else (),
        any((above / ".git").exists() for above in (folder.absolute(), *folder.absolute().parents)),
        _has_images(folder),
    )


def _require_project(folder: Path) -> None:
    for name, path in (("", folder), ("experiments/", folder / "experiments")):
        if os.path.lexists(path) and not path.is_dir():
            kind = "a broken link" if path.is_symlink() and not path.exists() else "a file"
            raise UsageError(
                f"{path} is {kind}",
                f"a project is a folder that contains a folder {name or 'experiments/'}",
                "harness init FOLDER, with an existing folder or a new name",
            )
    full = folder.resolve()
    if full in (Path.home().resolve(), Path(full.anchor)):
        raise UsageError(
            f"{full} is {'the root of a file system' if full == Path(full.anchor) else 'your home directory'}",
            "a project's runs, data and .gitignore would be mixed with all other files there",
            f"harness init {quote(str(folder / 'project'))}",
        )


def _missing_lines(gitignore: Path) -> tuple[str, ...]:
    """The lines that an existing .gitignore lacks. Slashes at the ends of a line are not compared."""
    try:
        text = gitignore.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return IGNORED
    known = {line.strip().strip("/") for line in text.splitlines()}
    return tuple(line for line in IGNORED if line.strip("/") not in known)


def _has_images(folder: Path) -> bool:
    """Whether one of its direct subfolders directly contains images."""
    try:
        return any(is_image_name(entry.name) for inside in subfolders(folder) for entry in inside.iterdir())
    except OSError:
        return False
