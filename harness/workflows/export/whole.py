"""Compares the resizing inside an exported file with Pillow's, on images of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from harness.errors import GateError
from harness.models.export_record import ExportRecord
from harness.workflows.export import onnx_file
from harness.workflows.export.check import Agreement, Run, compared
from harness.workflows.export.images import Sample
from harness.workflows.export.resize import resize_model

LARGEST = 0.05  # largest accepted difference in probabilities


@dataclass(frozen=True)
class Resized:
    """A file that resizes images, compared with the same file on images that Pillow resized.

    Attributes:
        agreement: Of the predictions.
        largest: The largest difference of a pixel value, from 0 to 255.
        mean: The mean absolute difference of a pixel value.
    """

    agreement: Agreement
    largest: int
    mean: float

    def __str__(self) -> str:
        compared = self.agreement
        return (
            f"differs from Pillow's by at most {self.largest} of 255 in a pixel ({self.mean:.2g} on average), and by "
            f"{compared.probabilities:.1e} in probabilities; {compared.agree} of {compared.n} predictions are the same"
        )


def check_resize(content: bytes, record: ExportRecord, run: Run, sample: Sample, named: str) -> Resized:
    """Compares the file on images of any size with `run` on the same images, resized by Pillow.

    Raises GateError if a probability differs by more than 0.05 on a real image.
    """
    whole = onnx_file.open_onnx(content, named, record, whole=True)
    resize = onnx_file.session(resize_model(sample.preparation).SerializeToString(), named)
    theirs, ours, largest, means = [], [], 0, []
    for picture, prepared in sample.pictures():
        (resized,) = resize.run(None, {"images": picture[None]})
        gap = np.abs(resized[0].astype(np.int16) - prepared)
        largest = max(largest, int(gap.max()))
        means.append(float(gap.mean()))
        theirs.append(torch.from_numpy(whole(picture[None])[0]))
        with torch.inference_mode():
            ours.append(run(torch.from_numpy(prepared).permute(2, 0, 1)[None]))
    agreement = compared(torch.cat(theirs), torch.cat(ours), record.temperature, sample)
    resized_by = Resized(agreement, largest, float(np.mean(means)))
    if not sample.is_noise and not agreement.probabilities <= LARGEST:
        raise GateError(
            f"the resizing in {named} differs too much from Pillow's, and the file is not written",
            f"it {resized_by}; at most {LARGEST:g} is accepted",
            "export without --with-preprocessing",
        )
    return resized_by
