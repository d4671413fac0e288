"""Heat maps: which parts of an image speak for the predicted class. Computed by captum."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from harness.data.prepare import Bytes
from harness.errors import DataError, ModelError, UsageError
from harness.models.saved import SavedModel
from harness.plots.heat_map import write_heat_map
from harness.util.files import fitting_name
from harness.util.packages import install_command, installed
from harness.workflows.predict.files import array_of, as_batch
from harness.workflows.predict.prediction import Prediction

Map = NDArray[np.float64]  # (H, W), from 0 to 1
LONGEST = 200  # bytes of an image's name in that of its heat map
GRID = 7  # patches a side, where a model has no maps of features


class HeatMaps:
    """Heat maps of a model's predictions.

    Of a convolutional network it is Grad-CAM (Selvaraju et al., 2017) at the last layer that gives maps of more than
    one pixel. Of any other, such as a vision transformer, it is occlusion (Zeiler and Fergus, 2014): how much the
    class loses if a patch is hidden, on a grid of 7 by 7.

    Attributes:
        method: "Grad-CAM at layer4" or "occlusion", for people.

    Raises:
        UsageError: captum is not installed.
    """

    def __init__(self, saved: SavedModel, device: torch.device) -> None:
        if not installed("captum"):
            raise UsageError("heat maps need captum", "it is not installed", install_command("explain"))
        self._transform = saved.transform
        self._device = device
        self._model = copy.deepcopy(saved.model).to(device).eval()
        for module in self._model.modules():
            if getattr(module, "inplace", False):  # it would change what Grad-CAM has kept
                setattr(module, "inplace", False)  # noqa: B010 - mypy takes it for a parameter
        layer = _last_maps(self._model, saved.transform.shape, device)
        self.method = "occlusion" if layer is None else f"Grad-CAM at {layer}"
        self._layer = None if layer is None else _with_tap(self._model, layer)

    def of(self, image: Bytes, label: int) -> Map:
        """The map for class number `label` of an image (H, W, C) uint8: 1 where it speaks for the class most."""
        inputs = self._transform.normalise(as_batch([image]).to(self._device))
        try:
            found = self._occlusion(inputs, label) if self._layer is None else self._grad_cam(inputs, label)
        except RuntimeError as error:
            why = (str(error).splitlines() or [""])[0]
            raise ModelError("this model has no heat maps", why, "leave out --explain") from error
        values: Map = found.detach().double().cpu().numpy()
        span = values.max() - values.min()
        return np.zeros_like(values) if not span > 0 else (values - values.min()) / span

    def _grad_cam(self, inputs: Tensor, label: int) -> Tensor:
        from captum.attr import LayerGradCam

        with torch.enable_grad():
            found = LayerGradCam(self._model, self._layer).attribute(inputs, target=label, relu_attributions=True)
        maps: Tensor = functional.interpolate(found, inputs.shape[2:], mode="bilinear", align_corners=False)
        return maps[0, 0]

    def _occlusion(self, inputs: Tensor, label: int) -> Tensor:
        from captum.attr import Occlusion

        sides = tuple(-(-side // GRID) for side in inputs.shape[2:])
        with torch.inference_mode():
            found = Occlusion(self._model).attribute(
                inputs,
                (inputs.shape[1], *sides),
                strides=(inputs.shape[1], *sides),
                target=label,
                perturbations_per_eval=GRID,
            )
        losses: Tensor = found[0].mean(0).clamp(min=0)
        return losses


def _last_maps(model: nn.Module, shape: tuple[int, int, int], device: torch.device) -> str | None:
    """The name of the last module that gives one tensor (1, F, h, w) of more than one pixel; None if it comes early.

    A vision transformer only cuts the image by a convolution, which knows nothing of classes.
    """
    ends: list[tuple[str, bool]] = []
    _, height, width = shape
    larger = max(height, width)

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            maps = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] > 1 and output.shape[3] > 1
            # Swin has (1, h, w, F), whose last two sides are not in the proportions of the image
            ends.append((name, bool(maps and abs(output.shape[2] * width - output.shape[3] * height) <= larger)))

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in model.named_modules() if name]
    try:
        with torch.inference_mode():
            model(torch.zeros(1, *shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    places = [position for position, (_, maps) in enumerate(ends) if maps]
    if not places or places[-1] + 1 < len(ends) / 2:
        return None
    return ends[places[-1]][0]


class _Copy(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.clone()


def _with_tap(model: nn.Module, name: str) -> nn.Module:
    """Puts a layer behind the module `name`, and returns it.

    What a model does with the module's output in place, as DenseNet does, it then does with a copy.
    """
    parent, _, last = name.rpartition(".")
    tap = nn.Identity()
    owner = model.get_submodule(parent) if parent else model
    setattr(owner, last, nn.Sequential(model.get_submodule(name), tap, _Copy()))
    return tap


class HeatMapFolder:
    """Writes heat maps to a folder: `photo.heatmap.jpg`, or `photo-2.heatmap.jpg` for another photo of that name.

    Raises what `HeatMaps` raises, and UsageError if `folder` is a file.
    """

    def __init__(self, folder: Path, saved: SavedModel, device: torch.device) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is no folder", "it is a file", "--explain with a new folder")
        self._folder, self._saved = folder, saved
        self._maps = HeatMaps(saved, device)
        self.method = self._maps.method
        self._count: dict[str, int] = {}

    def write(self, prediction: Prediction) -> Path:
        """Writes the map for the predicted class, and returns its path. A map of an earlier command is replaced.

        Raises DataError if the image has gone, StorageError if the map cannot be written.
        """
        image = array_of(Path(str(prediction.path)), self._saved.transform.preparation)
        if isinstance(image, str):
            raise DataError(f"{prediction.path} is gone", image, "leave the images alone")
        stem = fitting_name(Path(str(prediction.path)).stem, most=LONGEST)
        number = self._count[stem] = self._count.get(stem, 0) + 1
        path = self._folder / fitting_name(stem, f"{'' if number == 1 else f'-{number}'}.heatmap.jpg")
        write_heat_map(path, image, self._maps.of(image, prediction.classes.index(prediction.label)))
        return path
