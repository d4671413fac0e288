"""Heat maps: the parts of an image that support the predicted class. Computed with captum."""

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
LONGEST = 200  # bytes of the image's name in the name of its heat map
GRID = 7  # patches per side, for a model without feature maps


class HeatMaps:
    """Heat maps of a model's predictions.

    For a convolutional network the method is Grad-CAM (Selvaraju et al., 2017), at the last layer whose feature maps
    have more than one pixel. For other models, such as a vision transformer, it is occlusion (Zeiler and Fergus, 2014):
    the decrease of the class's logit if a patch of a 7 by 7 grid is hidden.

    Attributes:
        method: "Grad-CAM at layer4" or "occlusion", to print.

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
            if getattr(module, "inplace", False):  # it would change the activations that Grad-CAM keeps
                setattr(module, "inplace", False)  # noqa: B010 - mypy takes it for a parameter
        layer = _last_maps(self._model, saved.transform.shape, device)
        self.method = "occlusion" if layer is None else f"Grad-CAM at {layer}"
        self._layer = None if layer is None else _with_tap(self._model, layer)

    def of(self, image: Bytes, label: int) -> Map:
        """The map for class number `label` of an image (H, W, C) uint8: 1 at the part that supports the class most."""
        inputs = self._transform.normalise(as_batch([image]).to(self._device))
        try:
            heat = self._occlusion(inputs, label) if self._layer is None else self._grad_cam(inputs, label)
        except RuntimeError as error:
            why = (str(error).splitlines() or [""])[0]
            raise ModelError(
                "this model cannot be explained with heat maps", why, "the same command without --explain"
            ) from error
        values: Map = heat.detach().double().cpu().numpy()
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
    """The name of the last module that returns one tensor (1, F, h, w) of more than one pixel; None if it is early.

    The only convolution of a vision transformer is early: it cuts the image into patches, and learns no classes.
    """
    ends: list[tuple[str, bool]] = []
    _, height, width = shape
    larger = max(height, width)

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            maps = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] > 1 and output.shape[3] > 1
            # Swin returns (1, h, w, F), whose last two sides do not have the aspect ratio of the image
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
    """Adds a layer after the module `name`, and returns it.

    The model gets a copy of its output, because some models, such as DenseNet, change it in place.
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
            raise UsageError(f"{folder} is not a folder", "it is a file", "--explain FOLDER, with another folder")
        self._folder, self._saved = folder, saved
        self._maps = HeatMaps(saved, device)
        self.method = self._maps.method
        self._count: dict[str, int] = {}

    def write(self, prediction: Prediction) -> Path:
        """Writes the heat map of the predicted class, and returns its path. Replaces a file of an earlier command.

        Raises DataError if the image is missing, StorageError if the map cannot be written.
        """
        image = array_of(Path(str(prediction.path)), self._saved.transform.preparation)
        if isinstance(image, str):
            raise DataError(
                f"{prediction.path} is missing", image, "the same command again, without changing the images"
            )
        stem = fitting_name(Path(str(prediction.path)).stem, most=LONGEST)
        number = self._count[stem] = self._count.get(stem, 0) + 1
        path = self._folder / fitting_name(stem, f"{'' if number == 1 else f'-{number}'}.heatmap.jpg")
        write_heat_map(path, image, self._maps.of(image, prediction.classes.index(prediction.label)))
        return path
