"""`harness predict`."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import main as cli
from harness.cli.bare_weights import bare_weights_options, class_names
from harness.cli.output import echo, echo_fitting
from harness.cli.predict_text import Csv, Json, Lines, Printer
from harness.errors import DataError, UsageError
from harness.util.files import is_folder

if TYPE_CHECKING:
    from harness.data.named_images import NamedImages
    from harness.workflows.predict.ask import Asked
    from harness.workflows.predict.prediction import Answer

BLOCK = 1 << 16  # bytes of a list on stdin


@click.command("predict", short_help=cli.VERBS["predict"])
@click.argument("words", metavar="[MODEL] PATH...", nargs=-1)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: path, label, probability, label_2, probability_2.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per image.")
@click.option("--top", type=click.IntRange(min=1), default=2, show_default=True, help="Number of classes to show.")
@click.option("--abstain", type=cli.SHARE, help='Say "unsure" if the probability is below this.')
@click.option(
    "--sort",
    "folder",
    type=click.Path(path_type=Path),
    help="Copy each image to a subfolder of this folder, one for each predicted class.",
)
@click.option("--watch", is_flag=True, help="Also predict images that are added to PATH later, until Ctrl-C.")
@click.option("--explain", type=click.Path(path_type=Path), help="Write a heat map of each image to this folder.")
@click.option("--ensemble", is_flag=True, help="Use the mean of the models of all folds of a run.")
@click.option(
    "--features", type=click.Path(path_type=Path), help="Write features (N, F) to this .npy file, and no predictions."
)
@click.option("--force", is_flag=True, help="Replace an existing .npy file.")
@bare_weights_options
@cli.trust_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: the fastest.")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
def command(
    words: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
    top: int,
    abstain: float | None,
    folder: Path | None,
    watch: bool,
    explain: Path | None,
    ensemble: bool,
    features: Path | None,
    force: bool,
    classes: str | None,
    architecture: str | None,
    image_size: int | None,
    weights_key: str | None,
    trust: bool,
    device: str,
    runs: str,
) -> None:
    """Predict the class of each image at PATH: a file, a folder, a pattern, or - for a list of names on stdin.

    MODEL is a run, a checkpoint, an exported file, or champion. The default is the champion, or the latest finished run
    if there is no champion. The probabilities are calibrated with the temperature from the cross-validation of the
    model.

    Images that cannot be read are listed on stderr and counted. Exit code 4 if no image can be read.
    """
    from harness.data.named_images import NamedImages
    from harness.workflows.predict.ask import ask, names_model

    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other", "the output has one format", "leave out one of them")
    if watch and features:
        why = "--features writes one file at the end, and --watch has no end"
        raise UsageError("--watch and --features exclude each other", why, "leave out one of them")
    model = words[0] if words and names_model(words[0], Path(runs)) else None
    typed = words if model is None else words[1:]
    if not typed and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError(
            "there are no images to predict", "no PATH was given", "harness predict MODEL PHOTO.jpg FOLDER"
        )
    from_stdin = typed in ((), ("-",))
    if from_stdin and watch:
        raise UsageError(
            "--watch needs a folder", "a list on stdin does not grow", "harness predict MODEL FOLDER --watch"
        )
    if "" in words:
        why = 'perhaps a shell variable is not set, as in "$NAME"'
        raise UsageError("a name is empty", why, "name a file or a folder")
    _require_there(words, typed, runs)
    if watch and all(Path(each).is_file() for each in typed):
        raise UsageError("--watch needs a folder", "only files were given", "harness predict MODEL FOLDER --watch")
    output_folders = [path for path in (folder, explain) if path is not None]
    _require_outside(typed, output_folders)
    asked = ask(
        model,
        Path(runs),
        ensemble=ensemble,
        device=device,
        trust=trust,
        classes=class_names(classes),
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    worth = [f"accuracy    {asked.worth}"] if asked.worth else []
    echo_fitting(f"model       {asked.source}", *worth, *(f"note        {note}" for note in asked.notes), err=True)
    images = NamedImages(_names_on_stdin() if from_stdin else typed, output_folders)
    if features is not None:
        _write_features(asked, images, features, force, total=None if from_stdin else images.count())
        return
    printer: Printer = (Csv if as_csv else Json if as_json else Lines)(top, abstain)
    work = _Work(asked, printer, abstain, folder, explain)
    if watch:
        _watch(asked, images, work)
    else:
        total = None if from_stdin else images.count()
        work.all(asked, images, total)
    work.end(images.others, must_have=not watch)


def _require_there(words: tuple[str, ...], typed: tuple[str, ...], runs: str) -> None:
    """Raises UsageError if the first of several arguments is neither a model nor an image."""
    from harness.workflows.predict.ask import looks_like_a_model

    first = words[0] if typed is words and len(words) > 1 else "-"
    if looks_like_a_model(first):
        raise UsageError(
            f"{first} is neither a model nor an image",
            "a model is a run's folder or id, a checkpoint, an exported file, or champion",
            "harness list",
        )
    if first != "-" and not any(letter in first for letter in "*?[") and not os.path.lexists(first):
        raise UsageError(
            f"{first} is neither a model nor an image",
            f"no run id in {runs} ends with it, and no file or folder has this name",
            "harness list",
        )


def _require_outside(typed: tuple[str, ...], output_folders: list[Path]) -> None:
    """Raises UsageError if an input folder is in an output folder: the next call would read the outputs."""
    for text in typed:
        for folder in output_folders:
            if is_folder(text) and Path(os.path.realpath(text)).is_relative_to(os.path.realpath(folder)):
                raise UsageError(
                    f"the images in {text} are in the output folder {folder}",
                    "the next call would read the files written there as images",
                    "another output folder; it may lie inside the folder of the images",
                )


class _Work:
    """Prints each prediction, copies or explains its image, and counts."""

    def __init__(
        self, asked: Asked, printer: Printer, least: float | None, folder: Path | None, explain: Path | None
    ) -> None:
        from harness.workflows.predict.ask import require_predictor
        from harness.workflows.predict.explain import HeatMapFolder
        from harness.workflows.predict.sort import SortedImages

        self._printer, self._least = printer, least
        self._sorted = None if folder is None else SortedImages(folder, asked.classifier.classes)
        self._maps = None
        if explain is not None:
            predictor = require_predictor(asked.classifier, "heat maps")
            self._maps = HeatMapFolder(explain, predictor.models[0], predictor.device)
            echo(f"heat maps   {explain}: {self._maps.method}", err=True)
        self.predicted, self.unreadable = 0, 0

    def all(self, asked: Asked, files: Iterable[Path], total: int | None) -> None:
        from harness.util.console import counted
        from harness.workflows.predict.files import predict_files

        with _lines_above_the_bar():
            for answer in counted(predict_files(asked.classifier, files), total, "predicting", "image"):
                self.one(answer)

    def one(self, answer: Answer) -> None:
        from harness.workflows.predict.prediction import Prediction

        if not isinstance(answer, Prediction):
            self._name(answer.path, answer.why)
            return
        try:
            if self._maps is not None:
                self._maps.write(answer)
            if self._sorted is not None:
                sure = self._least is None or answer.is_sure(self._least)
                self._sorted.copy(Path(str(answer.path)), answer.label if sure else None)
        except DataError as error:  # the file was removed after it was read
            self._name(str(answer.path), error.why)
            return
        self._printer.show(answer)
        self.predicted += 1

    def _name(self, path: str, why: str) -> None:
        self.unreadable += 1
        echo(f"warning: {path} cannot be read: {why}", err=True)

    def end(self, others: int, must_have: bool) -> None:
        """Prints what was left out. Raises DataError if no image could be read."""
        if self._sorted is not None:
            there = f", {self._sorted.already_there} existed already" if self._sorted.already_there else ""
            echo(f"copied      {self._sorted.copied} images to {self._sorted.folder}{there}", err=True)
        _say_left_out(self.unreadable, self.predicted, others)
        if must_have and not self.predicted:
            raise _nothing_read(self.unreadable, others)


def _watch(asked: Asked, images: NamedImages, work: _Work) -> None:
    from harness.workflows.predict.watch import new_images

    echo("watching; Ctrl-C stops", err=True)
    with contextlib.suppress(KeyboardInterrupt):  # the normal way to stop
        for some in new_images(images):
            work.all(asked, some, None)


def _write_features(asked: Asked, images: Iterable[Path], path: Path, force: bool, total: int | None) -> None:
    from harness.util.console import counted
    from harness.workflows.predict.ask import require_predictor
    from harness.workflows.predict.features import table_of, write_features
    from harness.workflows.predict.prediction import Unreadable

    predictor = require_predictor(asked.classifier, "features")
    written = unreadable = 0
    for each in counted(write_features(predictor, images, path, force), total, "features", "image"):
        if isinstance(each, Unreadable):
            unreadable += 1
            echo(f"warning: {each.path} cannot be read: {each.why}", err=True)
        else:
            written += 1
    others = getattr(images, "others", 0)
    _say_left_out(unreadable, written, others)
    if not written:
        raise _nothing_read(unreadable, others)
    echo(f"features    {path}: {written} rows; {table_of(path)} names the image of each row")


def _say_left_out(unreadable: int, read: int, others: int) -> None:
    if others:
        echo(f"note        {others} files in the folders do not have an image's file name", err=True)
    if unreadable and read:
        echo(f"warning: {unreadable} of {unreadable + read} images cannot be read; they are listed above", err=True)


def _nothing_read(unreadable: int, others: int) -> DataError:
    if unreadable:
        why = "the reason is above" if unreadable == 1 else f"all {unreadable} failed; the reasons are above"
        return DataError("no image can be read", why, "harness predict MODEL FOLDER, with images that can be opened")
    why = f"there are {others} other files" if others else "the folder or the list is empty"
    return DataError("there are no images", why, "harness predict MODEL FOLDER, with a folder of photographs")


def _names_on_stdin() -> Iterator[str]:
    """The names in a list on stdin: one per line, or separated by null characters as `find -print0` writes them."""
    stream: Any = sys.stdin.buffer
    rest, end = b"", b""
    begun = False
    while block := stream.read1(BLOCK):
        if not begun:
            begun, block = True, block.removeprefix(codecs.BOM_UTF8)  # Windows writes it at the start of a list
        end = end or (b"\0" if b"\0" in block else b"\n")
        *names, rest = (rest + block).split(end)
        yield from _decoded(names)
    yield from _decoded([rest])


def _decoded(names: Iterable[bytes]) -> Iterator[str]:
    stripped = (name.rstrip(b"\r\n") for name in names)
    yield from (os.fsdecode(name) for name in stripped if name)


@contextlib.contextmanager
def _lines_above_the_bar() -> Iterator[None]:
    """Within, the progress bar on stderr is cleared before each line on stdout, if both are one terminal."""
    from tqdm import tqdm

    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield
        return
    with tqdm.external_write_mode(file=sys.stdout):
        yield
