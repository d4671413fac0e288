"""An MLflow model that takes image files. `mlflow models serve` and `mlflow.pyfunc.load_model` run it.

A copy of this file, and of the files of harness that it imports, is logged with each model (`flavor.py`). So a model
can be loaded where harness is not installed, and decodes images as harness did when the model was logged. To keep the
copy small, this file imports only the code that decodes, resizes and normalises images.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from numpy.typing import NDArray

from harness.data.decode import problem, read
from harness.data.prepare import Preparation, preparation_from
from harness.data.transforms import Transform

BATCH_SIZE = 32  # images that are decoded and predicted at once; a request may have more
MOST_NAMED = 5  # unreadable images that an error names
DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)
NO_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
# the only image files that consist of such text are PNM files, which begin with P1 to P6
IS_BASE64 = re.compile(rb"(?!P[1-6]\s)[A-Za-z0-9+/_\-\s]{16,}={0,2}\s*")


class UnreadableImagesError(MlflowException):
    """Some images of a request cannot be read. A server answers with HTTP 400 and `text`.

    MLflow puts the request's data before an error's message; `serialize_as_json` leaves them out.

    Attributes:
        text: Which images cannot be read, and why.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text, error_code=BAD_REQUEST)
        self.text = text

    def serialize_as_json(self) -> str:
        """The body of the server's answer: `error_code` and `message`."""
        self.message = self.text
        return str(super().serialize_as_json())  # type: ignore[no-untyped-call]


class ImageModel:
    """A classifier of image files.

    Args:
        module: The model, (B, C, H, W) normalised images -> (B, classes) logits.
        metadata: The metadata of MLflow's model: `classes`, `transform` and `temperature`.
    """

    def __init__(self, module: torch.nn.Module, metadata: Mapping[str, Any]) -> None:
        plain = metadata["transform"]
        self.module = module
        self.classes = tuple(metadata["classes"])
        self.transform = Transform(preparation_from(plain), tuple(plain["mean"]), tuple(plain["std"]))
        self.temperature = float(metadata["temperature"])

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """Predicts images, BATCH_SIZE at a time.

        Args:
            model_input: A pandas DataFrame (its first column is used), a Series or a list. Each value is an image
                file: its bytes, or base64 text (also url-safe, without padding, in lines, or as a data URL).
            params: Not used; MLflow passes it.

        Returns:
            A DataFrame with one row per image. `label` is the predicted class, `probability` is its calibrated
            probability, and `probabilities` is a dictionary with the calibrated probability of each class.

        Raises:
            UnreadableImagesError: Some images cannot be read. The error names at most MOST_NAMED of them.
        """
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        values = _values(model_input)
        results: list[NDArray[np.float64]] = []
        problems: list[str] = []
        for start in range(0, len(values), BATCH_SIZE):
            images = []
            for number, value in enumerate(values[start : start + BATCH_SIZE], start + 1):
                try:
                    images.append(_decoded(file_bytes(value), self.transform.preparation))
                except ValueError as error:
                    problems.append(f"image {number} of {len(values)}: {error}")
            if len(problems) >= MOST_NAMED:
                break
            if not problems:
                results.append(self._probabilities(np.stack(images)))
        if problems:
            more = "; there may be more" if len(problems) >= MOST_NAMED else ""
            raise UnreadableImagesError("; ".join(problems[:MOST_NAMED]) + more)
        probabilities = np.concatenate(results) if results else np.empty((0, len(self.classes)))
        return pd.DataFrame(
            {
                "label": [self.classes[index] for index in probabilities.argmax(1)],
                "probability": probabilities.max(1, initial=0.0),
                "probabilities": [dict(zip(self.classes, row, strict=True)) for row in probabilities.tolist()],
            },
            index=model_input.index if hasattr(model_input, "iloc") and len(model_input) == len(values) else None,
        )

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(B, H, W, C) -> (B, classes)."""
        batch = torch.from_numpy(images).permute(0, 3, 1, 2)
        with torch.inference_mode():
            logits = self.module(self.transform.normalise(batch).contiguous())
            result: NDArray[np.float64] = (logits.double() / self.temperature).softmax(1).numpy()
        return result


def file_bytes(value: Any) -> bytes:
    """Returns the bytes of an image file that was sent as bytes or as text.

    Raises:
        ValueError: The value is neither. The text says why.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
        if IS_BASE64.fullmatch(content) is None:
            return content
        value = content.decode("ascii")  # what base64.b64encode returns
    if not isinstance(value, str):
        raise ValueError("it is empty" if _is_missing(value) else f"it is a {type(value).__name__}, not base64 text")
    text = value.strip()
    url = DATA_URL.match(text)
    if url is not None:
        if "base64" not in url[2].lower().split(";"):
            raise ValueError("it is a data URL without ;base64")
        text = unquote(text[url.end() :])
    lines = (line.strip() for line in text.splitlines())
    letters = "".join(lines).replace("-", "+").replace("_", "/").rstrip("=")
    if not letters:
        raise ValueError("it is empty")
    odd = NO_BASE64.search(letters)
    if odd is not None and odd[0] == " ":
        raise ValueError(
            f"it is not base64: character {odd.start() + 1} is a space (an HTML form turns '+' into one: send JSON)"
        )
    if odd is not None:
        why = f"character {odd.start() + 1} is {odd[0]!a}"
        raise ValueError(f"it is not base64: {why} (paths and URLs are not opened: send the file's content)")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4))
    except binascii.Error as error:
        raise ValueError("it is not base64: its end is missing") from error


def _decoded(content: bytes, preparation: Preparation) -> NDArray[np.uint8]:
    """(H, W, C) pixels, decoded as `harness test` does. Raises ValueError; its text says why."""
    made: list[NDArray[np.uint8]] = []

    def make(content: bytes) -> None:
        raw = read(content)
        own = preparation.alone(raw)
        made.append(own.array(own.picture(raw)))

    why = problem(content, make)
    if why:
        raise ValueError(f"it cannot be read: {why}")
    return made[0]


def _values(model_input: Any) -> list[Any]:
    """The images of a request, in their order."""
    if hasattr(model_input, "iloc"):  # pandas
        column = model_input.iloc[:, 0] if model_input.ndim == 2 else model_input
        model_input = column.tolist()
    if isinstance(model_input, (str, bytes, bytearray, memoryview)):
        model_input = [model_input]
    values = list(model_input)
    if len(values) == 1 and isinstance(values[0], (list, tuple)):  # {"image": [a, b]} in Python: MLflow makes one row
        values = list(values[0])
    return values


def _is_missing(value: Any) -> bool:
    """Whether it is None or NaN, which pandas uses for an empty cell."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _load_pyfunc(path: str) -> ImageModel:
    """Loads a model. MLflow calls this with the model's folder `data`, for its flavour `python_function`."""
    import mlflow

    root = str(Path(path).parent)
    return ImageModel(mlflow.pytorch.load_model(root), Model.load(root).metadata or {})
