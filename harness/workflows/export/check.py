"""Checks that an exported file computes the same as its model, on real images and in batches of several sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.errors import GateError, HarnessError, ModelError
from harness.models.portable import without_compiling
from harness.models.saved import SavedModel
from harness.workflows.export.images import Sample

BATCHES = (1, 2, 5)
AT_ONCE = 16  # images per batch
LARGEST = 1e-3  # largest difference in probabilities that rounding can cause
Run = Callable[[Tensor], Tensor]  # (B, C, H, W) uint8 -> (B, classes) logits


@dataclass(frozen=True)
class Agreement:
    """An exported file compared with its model, on the same images.

    Attributes:
        images: A description of the images, to print.
        n: Number of images.
        agree: Number of images for which both predict the same class.
        probabilities: The largest difference of a probability.
        logits: The largest difference of a logit.
        is_noise: Whether the images are noise, because no real images are on this machine.
    """

    images: str
    n: int
    agree: int
    probabilities: float
    logits: float
    is_noise: bool

    def __str__(self) -> str:
        return (
            f"{self.agree} of {self.n} predictions agree with the model's ({self.images}); largest difference "
            f"{self.probabilities:.1e} in probabilities, {self.logits:.1e} in logits"
        )


def model_logits(saved: SavedModel, images: Tensor) -> Tensor:
    """(N, classes) float32 logits of the model, on the CPU, not compiled. Raises ModelError for NaN or infinity."""
    model = without_compiling(saved.model)

    def run(part: Tensor) -> Tensor:
        logits: Tensor = model(saved.transform.normalise(part)).float()
        return logits

    logits = in_batches(run, images)
    if not bool(logits.isfinite().all()):
        raise ModelError(
            f"the model returns nan or inf for {int((~logits.isfinite().all(1)).sum())} of {len(logits)} images",
            "its weights are damaged, or belong to another model",
            "harness export MODEL, with another run or checkpoint",
        )
    return logits


def in_batches(run: Run, images: Tensor, size: int = AT_ONCE) -> Tensor:
    """(N, classes) logits, computed batch by batch."""
    with torch.inference_mode():
        return torch.cat([run(images[start : start + size]) for start in range(0, len(images), size)])


def compared(theirs: Tensor, ours: Tensor, temperature: float, sample: Sample) -> Agreement:
    """Compares logits (N, classes) of an exported file with those of its model."""
    after, before = ((logits.double() / temperature).softmax(1) for logits in (theirs, ours))
    gap = (after - before).abs()
    # if two classes are equally probable up to rounding, either may come first
    first = before.gather(1, after.argmax(1, keepdim=True)).squeeze(1)
    agree = (after.argmax(1) == before.argmax(1)) | (before.max(1).values - first < 2 * gap.amax(1).clamp(max=1e-5))
    return Agreement(
        sample.source,
        len(ours),
        int(agree.sum()),
        float(gap.max()),
        float((theirs.double() - ours.double()).abs().max()),
        sample.is_noise,
    )


def check_export(run: Run, ours: Tensor, temperature: float, sample: Sample, named: str) -> Agreement:
    """Compares an exported file with its model on all images, then in batches of 1, 2 and 5.

    Args:
        run: The exported file.
        ours: (N, classes) logits of the model.
        temperature: Of the model.
        sample: The N images.
        named: The file, for errors.

    Raises:
        GateError: They do not agree, or the file does not accept batches of all sizes.
    """
    agreement = compared(in_batches(run, sample.images), ours, temperature, sample)
    require_agreement(agreement, named, LARGEST)
    for size in BATCHES:
        images = sample.images[torch.arange(size) % len(sample.images)]
        try:
            logits = in_batches(run, images, size)
        except (HarnessError, RuntimeError, ValueError, AssertionError) as error:
            raise GateError(
                f"{named} does not accept a batch of {size}",
                str(error),
                "change the forward pass to accept any batch size",
            ) from error
        expected = ours[torch.arange(size) % len(ours)]
        require_agreement(compared(logits, expected, temperature, sample), f"{named}, in batches of {size},", LARGEST)
    return agreement


def require_agreement(agreement: Agreement, named: str, most: float) -> None:
    """Raises GateError unless all predictions agree, and no probability differs by more than `most`."""
    if agreement.agree < agreement.n or not agreement.probabilities <= most:
        raise GateError(
            f"{named} does not compute the same as its model, and is not written",
            f"{agreement}; at most {most:g} is accepted",
            "--to FORMAT, with another format; if the model is from a library, please report it under Issues",
        )
