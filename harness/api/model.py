"""`harness.load_model`: loads a trained model in Python, to predict images of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.api.predictions import PredictionList
from harness.data.given import Given, is_one, raw_of
from harness.data.prepare import Bytes
from harness.errors import DataError, UsageError
from harness.util.escape import terminal
from harness.util.text import short_repr, size_text
from harness.workflows.predict.ask import Asked, ask, require_predictor
from harness.workflows.predict.files import as_batch, is_on_cpu, prepared, rows_of
from harness.workflows.predict.prediction import Prediction
from harness.workflows.predict.predictor import Classifier

if TYPE_CHECKING:
    from harness.api.result import Run


def load_model(
    named: str | Path | Run | None = None,
    *,
    runs: str | Path = "runs",
    ensemble: bool = False,
    device: str = "auto",
    trust: bool = False,
    classes: Sequence[str] | None = None,
    architecture: str | None = None,
    image_size: int | None = None,
    weights_key: str | None = None,
) -> Model:
    """Loads a trained model for prediction, as `harness predict` does.

    Args:
        named: "champion", a run (its folder, its id or the last characters of its id), a checkpoint, a file that
            `harness.export` wrote, or an object that `harness.run` returned. None: the champion, or the latest
            finished run if there is no champion.
        runs: The folder that contains the run folders.
        ensemble: Load the models of all folds of a run, and average their probabilities.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest device available.
        trust: Run the experiment file of a run that was made elsewhere. It can contain any code.
        classes: For a state dict without metadata: the class names, in the order of the outputs.
        architecture: For a state dict without metadata: the name of the model, such as "resnet18".
        image_size: For a state dict without metadata: the side of an image in pixels.
        weights_key: The part of the file to load, if several fit the model.

    Returns:
        The model, in eval mode on the device.

    Raises:
        UsageError: The model or the device does not exist.
        ModelError: The file is damaged, or its weights do not fit the model.

    Example:
        >>> import harness
        >>> run = harness.run("quickstart")
        >>> model = harness.load_model(run)
        >>> model.predict("photo.jpg").label in model.classes
        True
    """
    with torch.random.fork_rng(devices=()):  # a new layer draws random weights before the file's weights replace them
        asked = ask(
            text_of(named),
            Path(runs),
            ensemble=ensemble,
            device=device,
            trust=trust,
            classes=classes,
            architecture=architecture,
            image_size=image_size,
            weights_key=weights_key,
        )
    return Model(asked)


class Model:
    """A trained model that predicts the class of images of any size. Returned by `load_model`.

    Attributes:
        source: Where the model came from, such as "champion 3" or a run folder.
        notes: Warnings to read before using the predictions.
        worth: The accuracy of the run, with its interval and number of images; empty if it is not known.
        path: The model's file; for an ensemble, the run folder.

    Example:
        >>> import harness
        >>> model = harness.load_model(harness.run("quickstart"))
        >>> model.classes
        ('forest', 'sea')
        >>> model.features("photo.jpg").ndim
        1
    """

    def __init__(self, asked: Asked) -> None:
        self._classifier: Classifier = asked.classifier
        self.source = asked.source
        self.notes = asked.notes
        self.worth = asked.worth
        self.path = asked.path

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self._classifier.classes

    @property
    def image_size(self) -> int | tuple[int, int]:
        """The size in pixels that images are resized to, as the side of a square or (height, width)."""
        return self._classifier.transform.preparation.image_size

    @property
    def module(self) -> nn.Module:
        """The torch module, in eval mode. It takes normalised images (B, C, H, W) and returns logits (B, classes).

        For an ensemble, it is the module of the first fold. Raises ModelError for an exported file.
        """
        return require_predictor(self._classifier, "torch module").models[0].model

    @overload
    def predict(self, images: Iterable[Given], *, on_error: Literal["raise", "none"] = "raise") -> PredictionList: ...

    @overload
    def predict(self, images: Given, *, on_error: Literal["raise", "none"] = "raise") -> Prediction: ...

    def predict(self, images: Any, *, on_error: Literal["raise", "none"] = "raise") -> Any:
        """Predicts the class of one image or of several images.

        Args:
            images: One image, or several: a list, an iterator, an array (B, H, W, C) or a tensor (B, C, H, W).
                An image is a path, the bytes of a file, a PIL image, an RGB array (H, W) or (H, W, C), or a tensor
                (C, H, W). Arrays and tensors are not normalised; they have dtype uint8, uint16, or float with values
                from 0 to 1.
            on_error: "raise" raises DataError if an image cannot be read; "none" returns None for that image.

        Returns:
            A `Prediction`, or a `PredictionList` in the order of the images. Images are resized as in training.

        Raises:
            DataError: Images cannot be read. The error names all of them.
            UsageError: A value is not an image.
        """
        _require_known(on_error)
        if is_one(images):
            try:
                row = self._classifier.probabilities(as_batch([self._array(images)]))[0]
            except DataError:
                if on_error == "raise":
                    raise
                return None
            return Prediction(self.classes, row, _path_of(images))
        rows = self._rows(images, self._classifier.probabilities, on_error)
        return PredictionList(None if row is None else Prediction(self.classes, row, path) for path, row in rows)

    def features(self, images: Any, *, on_error: Literal["raise", "none"] = "raise") -> NDArray[np.float32]:
        """Computes the features that the model's head receives: embeddings for search and clustering.

        Args:
            images: One image or several, as for `predict`.
            on_error: "raise" raises DataError if an image cannot be read; "none" returns a row of nan for that image.

        Returns:
            Features of shape (F,) for one image, or (B, F) for several images.

        Raises:
            DataError: Images cannot be read.
            ModelError: The model has no separate head, or is an exported file.
        """
        _require_known(on_error)
        predictor = require_predictor(self._classifier, "features")
        one = is_one(images)
        rows = [row for _, row in self._rows([images] if one else images, predictor.features, on_error)]
        length = next((len(row) for row in rows if row is not None), 0)
        array = np.array([np.full(length, np.nan) if row is None else row for row in rows], np.float32)
        return array[0] if one else array.reshape(len(rows), length)

    def _array(self, given: Given) -> Bytes:
        return prepared(raw_of(given), self._classifier.transform.preparation)

    def _rows(self, images: Iterable[Given], compute: Any, on_error: str) -> list[tuple[str | None, Any]]:
        def make(given: Given) -> Bytes | str:
            try:
                return self._array(given)
            except DataError as error:
                return f"{error.what}: {error.why}"

        rows: list[tuple[str | None, Any]] = []
        failed: list[str] = []
        for given, row in rows_of(images, make, compute, is_on_cpu(self._classifier)):
            if isinstance(row, str):
                failed.append(row)
            rows.append((_path_of(given), None if isinstance(row, str) else row))
        if failed and on_error == "raise":
            raise DataError(
                f"{len(failed)} of {len(rows)} images cannot be read",
                "; ".join(failed),
                'on_error="none", which returns None for these images',
            )
        return rows

    def __repr__(self) -> str:
        more = ", …" if len(self.classes) > 8 else ""
        classes = f"{len(self.classes)} classes: {', '.join(map(terminal, self.classes[:8]))}{more}"
        return short_repr(self, f"{self.source!r}, {classes}; images of {size_text(self.image_size)}")

    def _repr_html_(self) -> str:
        from harness.report.cards import table

        name = getattr(getattr(self._classifier, "models", [None])[0], "architecture", "an exported file")
        rows = [
            {"model": self.source, "architecture": name, "classes": ", ".join(self.classes[:20])}
            | {"image size": size_text(self.image_size), "accuracy": self.worth or "not known"}
            | {"notes": "; ".join(self.notes) or "none"}
        ]
        return table(rows)


def text_of(named: Any) -> str | None:
    """Converts a name, a path or an object with a `path` (`Run`, `Model`) to the text that a command takes."""
    return None if named is None else str(getattr(named, "path", named))


def _require_known(on_error: str) -> None:
    if on_error not in ("raise", "none"):
        raise UsageError(
            f"on_error={on_error!r} is not known",
            "on_error says what to do if an image cannot be read",
            'on_error="raise", or on_error="none"',
        )


def _path_of(given: Given) -> str | None:
    return str(given) if isinstance(given, (str, Path)) else None
