"""`harness.load_model`: a trained model in Python, for photographs as people have them."""

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
from harness.util.text import size_text
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
    """Loads a model to use it, as `harness predict` does.

    Args:
        named: "champion", a run (its folder, its id or how the id ends), a checkpoint, a file that
            `harness.export` wrote, or what `run` returned. None is the champion, or the latest finished run if
            there is none.
        runs: The folder that run folders lie in.
        ensemble: Whether to take the mean probabilities of the models of all folds of a run.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best that there is.
        trust: Whether an experiment's file that came with a run from elsewhere may be run.
        classes: Of a bare state dict: the names of its outputs, in order.
        architecture: Of a bare state dict: the model's name, such as "resnet18".
        image_size: Of a bare state dict: pixels.
        weights_key: Of such a file: which part of it to take, if several fit the model.

    Raises:
        UsageError: There is no such model or device.
        ModelError: The file is damaged, or does not hold the model.

    Example:
        >>> model = harness.load_model("champion")
        >>> model.predict("photo.jpg").label
        'sea'
    """
    with torch.random.fork_rng(devices=()):  # new layers draw numbers, before the file gives them their weights
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
    """A trained model that takes images as people have them. Made by `load_model`.

    Attributes:
        source: What it is: "champion 3", or a run's folder with which of its models.
        notes: What a person should know before using its answers.
        worth: The accuracy of its run, with its interval and n; empty if that is not known.
        path: Its file; of an ensemble, the run folder.
    """

    def __init__(self, asked: Asked) -> None:
        self._classifier: Classifier = asked.classifier
        self.source = asked.source
        self.notes = asked.notes
        self.worth = asked.worth
        self.path = asked.path

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the probabilities."""
        return self._classifier.classes

    @property
    def image_size(self) -> int | tuple[int, int]:
        """The side of a square, or (height, width), in pixels. Images of any size are resized to it."""
        return self._classifier.transform.preparation.image_size

    @property
    def module(self) -> nn.Module:
        """The torch module, in eval mode. It takes normalised images (B, C, H, W) and gives logits (B, classes).

        Of an ensemble it is the first model's. Raises ModelError for an exported file.
        """
        return require_predictor(self._classifier, "torch module").models[0].model

    @overload
    def predict(self, images: Iterable[Given], *, on_error: Literal["raise", "none"] = "raise") -> PredictionList: ...

    @overload
    def predict(self, images: Given, *, on_error: Literal["raise", "none"] = "raise") -> Prediction: ...

    def predict(self, images: Any, *, on_error: Literal["raise", "none"] = "raise") -> Any:
        """Says which class an image is, or each of several images.

        Args:
            images: One image or several (a list, an iterator, an array (B, H, W, C) or a tensor (B, C, H, W)). An image
                is a path, the bytes of a file, a PIL image, an array (H, W[, C]) in the order RGB, or a tensor
                (C, H, W). Arrays and tensors hold uint8, uint16, or real numbers from 0 to 1; they are not normalised.
            on_error: "none" gives None in the place of an image that cannot be read; "raise" raises for it.

        Returns:
            A `Prediction`, or a list of them in the order of the images. The pixels are those of `harness test`.

        Raises:
            DataError: A file cannot be read. All that fail are named.
            UsageError: A value is no image.
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
        """What the model's head gets: embeddings for search and clustering.

        Args:
            images: As for `predict`.
            on_error: "none" gives a row of nan for an image that cannot be read; "raise" raises for it.

        Returns:
            (F,) for one image, (B, F) for several.

        Raises:
            DataError: A file cannot be read.
            ModelError: The model has no head that its output comes from, or is an exported file.
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
                'on_error="none", which gives None in their places',
            )
        return rows

    def __repr__(self) -> str:
        return (
            f"Model({self.source!r}, {len(self.classes)} classes: {', '.join(self.classes[:8])}"
            f"{', …' if len(self.classes) > 8 else ''}; images of {size_text(self.image_size)})"
        )

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
    """What a command line would say for `named`: a name, a path, or an object with a `path` (`Run`, `Model`)."""
    return None if named is None else str(getattr(named, "path", named))


def _require_known(on_error: str) -> None:
    if on_error not in ("raise", "none"):
        raise UsageError(
            f"on_error={on_error!r} is not known", "it is what to do with a bad image", '"raise" or "none"'
        )


def _path_of(given: Given) -> str | None:
    return str(given) if isinstance(given, (str, Path)) else None
