"""Runs the frozen prefix of a model once per image, and caches its outputs. The rest of the model trains on them."""

from __future__ import annotations

import hashlib
import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.cache.recipe import Recipe
from harness.cache.rows import Array, Rows
from harness.cache.store import GB, Cache
from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.data.loading import Batches, ImageSource, Key, Source, Views
from harness.data.pixels import DECODER, Pixels
from harness.data.prepare import Preparation
from harness.data.transforms import Augment, Transform, augmentation, augmented, seeded
from harness.engine.trainer import Callback, State, Trainer, overrides
from harness.errors import TrainingError
from harness.models.digest import digest
from harness.models.prefix import CannotCutError, Cut
from harness.models.timm_models import is_timm
from harness.training.arithmetic import arithmetic_of
from harness.training.plan import Plan
from harness.util.console import counted, print_line
from harness.util.disk import bytes_text
from harness.util.text import size_text

BATCH_SIZE = 64  # images per batch of the prefix
VERSION = 2  # change it if the computation of features changes
SHARE = 0.5  # maximum share of the cache's limit for one entry


class Features:
    """The outputs of a frozen prefix for images: a `Source` of batches.

    The key of a row is the MD5 of the image file. The key of an augmented view is the MD5, the image's index in the
    listing and the view's number. Four-dimensional features are stored with channels last.
    """

    random = False

    def __init__(self, rows: Rows, items: Mapping[Key, str], half: torch.dtype, view: Views | None = None) -> None:
        self._rows = rows
        self._positions = dict(zip(items, rows.positions(items.values()), strict=True))  # (view, index) -> row
        self._half = half  # the 16-bit dtype of stored 16-bit values
        self._view = view

    def load(self, keys: Sequence[Key]) -> Tensor:
        """Returns features (B, ...) in the precision in which they were computed."""
        viewed = [(1 if self._view is None else self._view(epoch, index), index) for epoch, index in keys]
        features = torch.from_numpy(self._rows.take([self._positions[key] for key in viewed]))
        if features.dtype == torch.int16:  # numpy has no bfloat16
            features = features.view(self._half)
        return features.permute(0, 3, 1, 2) if features.ndim == 4 else features

    def finish(self, loaded: Tensor) -> Tensor:
        """Returns the features unchanged."""
        return loaded


class StillFrozen(Callback):
    """Ends a fit if the frozen layers changed after the features were computed.

    Raises TrainingError at the start or the end of an epoch.
    """

    def __init__(self, prefix: nn.Module) -> None:
        self._prefix = prefix
        self._before: list[object] = []
        self._model: nn.Module = prefix

    def on_fit_start(self, state: State) -> None:
        self._model = state.model
        self._before = self._now(self._model)

    def state_dict(self) -> dict[str, Any]:
        return {"watched": len(self._before)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = self._now(self._model)

    def on_epoch_start(self, state: State) -> None:
        if self._now(state.model) != self._before:
            raise TrainingError(
                "the frozen part has changed",
                f"in epoch {state.epoch} or before, something changed it, but its cached features are used",
                "-s cache=false, which runs the frozen part in every epoch",
            )

    def on_epoch_end(self, state: State) -> None:
        self.on_epoch_start(state)

    def _now(self, model: nn.Module) -> list[object]:
        """Returns for each layer: its identity, its number of hooks, and the versions of its weights."""
        state: list[object] = []
        for name, layer in self._prefix.named_modules():
            if name and not any(True for _ in layer.children()):
                state += [model.get_submodule(name) is layer, len(layer._forward_hooks), len(layer._forward_pre_hooks)]
        for value in (*self._prefix.parameters(), *self._prefix.buffers()):
            state += [id(value), value._version, value.requires_grad]
        return state


def why_live(experiment: Experiment) -> str:
    """Returns why a frozen prefix must run in every epoch, and what to do about it; "" if it need not.

    The model may be another reason: then `cut` raises.
    """
    if not experiment.cache:
        return "cache=false stores nothing: -s cache=true"
    if experiment.augment is not None and experiment.views is None:
        return "augmentation is random: -s views=4 stores 4 views of each image, -s augment=none one"
    if experiment.augment is not None and _identity(experiment.augment) is None:
        return "it is not known whether the augmentation has changed: use a function that is defined in a file"
    if any(overrides(callback, "on_batch_start") for callback in experiment.callbacks):
        return "a callback may replace the images of a batch"
    return ""


def require_room(shape: tuple[int, ...], images: int, views: int | None, cache: Cache) -> None:
    """Raises CannotCutError if features of that shape need too much of the cache."""
    size = 4 * images * int(np.prod(shape)) * (1 + (views or 0))
    if size > SHARE * cache.limit:
        raise CannotCutError(
            f"its output needs {bytes_text(size)}, but the whole cache has {bytes_text(cache.limit)}: "
            f"HARNESS_CACHE_GB={2 * size // GB + 1}, or freeze more"
        )


def feature_sources(plan: Plan, cut: Cut, indices: Sequence[int], trainer: Trainer, seed: int) -> tuple[Source, Source]:
    """Returns the features of the images at `indices` for (training, validation), from the cache or computed now.

    `seed` is the seed of the augmentation. The model with this prefix must be on the trainer's device. Raises DataError
    if an image is missing.
    """
    experiment, pixels, transform = plan.experiment, plan.pixels, plan.model.transform
    parts = _parts(cut, experiment, transform, trainer)
    about = _about(experiment, trainer)

    def computed(augment: Augment | None, items: Mapping[str, Key], recipe: Recipe) -> Rows:
        source = ImageSource(pixels, transform, augment, seed)
        return plan.cache.rows(recipe, list(items), lambda missing: _compute(cut, source, items, missing, trainer))

    hashes, half = pixels.hashes, trainer.precision.dtype
    rows = computed(None, {hashes[i]: (1, i) for i in indices}, Recipe("features", about, parts))
    validation = Features(rows, {(1, i): hashes[i] for i in indices}, half)
    augment = augmentation(experiment.augment, transform.preparation)
    if augment is None or experiment.views is None:
        return validation, validation
    parts = parts | {
        "augment": _identity(experiment.augment),
        "augmented": _sample(augment, transform.preparation),
        "seed": seed,
    }
    items = {f"{hashes[i]}:{i}:{view}": (view, i) for view in range(1, experiment.views + 1) for i in indices}
    rows = computed(augment, items, Recipe("features", f"{about}, {experiment.views} views", parts))
    view = Views(experiment.views, seed, len(hashes))
    return Features(rows, {key: item for item, key in items.items()}, half, view), validation


def plain_features(
    experiment: Experiment,
    pixels: Pixels,
    transform: Transform,
    cut: Cut,
    trainer: Trainer,
    cache: Cache,
) -> Features:
    """Returns the features of all images of a listing, without augmentation. Runs with the same frozen part share them.

    The arguments are as in a plan. Raises DataError if an image is missing.
    """
    items: dict[str, Key] = {md5: (1, i) for i, md5 in enumerate(pixels.hashes)}
    source = ImageSource(pixels, transform, None, 0)
    recipe = Recipe("features", _about(experiment, trainer), _parts(cut, experiment, transform, trainer))
    rows = cache.rows(recipe, list(items), lambda missing: _compute(cut, source, items, missing, trainer))
    return Features(rows, {(1, i): md5 for i, md5 in enumerate(pixels.hashes)}, trainer.precision.dtype)


def _parts(cut: Cut, experiment: Experiment, transform: Transform, trainer: Trainer) -> dict[str, Any]:
    """Returns everything that determines the features, except the image."""
    return {
        "prefix": digest(cut.prefix),
        "transform": transform.to_dict(),
        "precision": trainer.precision.name,
        "channels_last": trainer.channels_last,
        "arithmetic": arithmetic_of(trainer.device),
        "torch": torch.__version__,
        **_libraries(experiment),
        "version": VERSION,
        **DECODER,
    }


def _about(experiment: Experiment, trainer: Trainer) -> str:
    size = size_text(experiment.image_size)
    return f"{json_value(experiment.model)} {_until(experiment)} at {size}, {trainer.precision.name}"


def _compute(
    cut: Cut, source: ImageSource, items: Mapping[str, Key], missing: Sequence[str], trainer: Trainer
) -> Iterator[Array]:
    """Yields the features of the `missing` items, in their order, one batch at a time."""
    started = time.perf_counter()
    keys = [items[item] for item in missing]
    batches = [keys[start : start + BATCH_SIZE] for start in range(0, len(keys), BATCH_SIZE)]
    loaded = Batches(source, source.pixels.images.labels, batches, device=trainer.device)
    cut.prefix.eval()
    for images, _ in counted(loaded, len(batches), "the frozen part, once"):
        with torch.inference_mode(), trainer.autocast():
            features = cut.prefix(trainer.to_device(images))
        features = (features.permute(0, 2, 3, 1) if features.ndim == 4 else features).contiguous().cpu()
        yield (features.view(torch.int16) if features.element_size() == 2 else features).numpy()
    seconds = time.perf_counter() - started
    what = "images" if source.augment is None else "augmented views"
    print_line(f"frozen part: {len(missing)} {what} in {seconds:.1f} s, once for all epochs, folds and later runs")


def _libraries(experiment: Experiment) -> dict[str, str]:
    """Returns the versions of the libraries that models and augmentations come from."""
    names = ["torchvision", *(["timm"] if is_timm(experiment.model) else [])]
    return {name: metadata.version(name) for name in names}


def _until(experiment: Experiment) -> str:
    return f"up to {experiment.freeze}" if isinstance(experiment.freeze, str) else "without its head"


def _identity(augment: str | Callable[..., object] | None) -> str | None:
    """Returns what identifies an augmentation: its name, or a digest of the function's code and file.

    None if that does not identify it, as for a closure or an object.
    """
    if augment is None or isinstance(augment, str):
        return augment
    if not inspect.isfunction(augment) or augment.__closure__ is not None:
        return None
    try:
        content = Path(inspect.getfile(augment)).read_bytes()
    except (OSError, TypeError):
        return None
    code = augment.__code__
    own = (augment.__qualname__, code.co_code, code.co_consts, code.co_names, augment.__defaults__)
    text = re.sub(r" at 0x[0-9a-f]+", "", repr((*own, augment.__kwdefaults__)))
    return hashlib.sha256(content + text.encode()).hexdigest()


def _sample(augment: Augment, preparation: Preparation) -> str:
    """Returns the SHA-256 of augmented noise: the result may depend on more than the code, such as global variables."""
    noise = torch.randint(0, 256, preparation.shape, generator=torch.Generator().manual_seed(0))
    sha256 = hashlib.sha256()
    for number in range(8):
        with seeded(0, number):
            sha256.update(augmented(augment, noise.to(torch.uint8), preparation).contiguous().numpy().data)
    return sha256.hexdigest()
