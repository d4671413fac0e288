"""Finds which parts of a file fit a model. Each part is loaded into a copy, by the model itself or its library."""

from __future__ import annotations

import math
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.models.build import as_library_reads, copied, head_names, is_head
from harness.models.readings import Metadata, Reading
from harness.models.torchvision_models import Shape

StateDict = Mapping[str, Tensor]
SHARE = 0.6  # minimum fraction of a model's tensors in a part of a file: old formats may have more or fewer


@dataclass(frozen=True)
class Fit:
    """A reading that gives a model all its weights, possibly without its head."""

    reading: Reading
    state: OrderedDict[str, Tensor]  # with the model's names
    head: bool
    used: list[str]  # names of the reading
    heads: tuple[str, ...]  # of the model

    @property
    def tensors(self) -> frozenset[str]:
        """The names of the tensors in the file."""
        return frozenset(self.reading.names[name] for name in self.used)

    def without_head(self) -> OrderedDict[str, Tensor]:
        state = OrderedDict((name, value) for name, value in self.state.items() if not is_head(name, self.heads))
        state._metadata = getattr(self.state, "_metadata", {})  # type: ignore[attr-defined]
        return state


class Fitting:
    """Loads readings of a file into copies of a model."""

    def __init__(self, model: nn.Module, architecture: str, shape: Shape, heads: tuple[str, ...] = ()) -> None:
        """`heads` are the names of the model's heads; by default they are found in the model."""
        self.architecture = architecture
        self.heads = heads or head_names(model)
        self._model = model
        self._shape = shape
        self._own = model.state_dict()
        self._body = [name for name in self._own if not is_head(name, self.heads) and not _is_counter(name)]
        self.least = max(1, math.ceil(SHARE * len(self._body)))

    def direct(self, reading: Reading) -> Fit | None:
        """Returns the fit of a reading that the model itself can load, or None."""
        state = dict(reading.state)
        _resize_positions(state, self._own, self._model)
        _sum_colours(state, self._own)
        theirs, ours = ({n: v.shape for n, v in part.items() if is_head(n, self.heads)} for part in (state, self._own))
        has_head = theirs == ours
        if not has_head:
            state = {name: value for name, value in state.items() if not is_head(name, self.heads)}
        if any(self._is_of_another_kind(name, value) for name, value in state.items()):
            return None
        plain = Reading(reading.key, state, reading.metadata, reading.names)
        for metadata in self._versions(reading):
            donor = copied(self._model)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about parts that do not fit
                    loaded = donor.load_state_dict(plain.with_metadata(metadata), strict=False)
            except (RuntimeError, ValueError, KeyError, NotImplementedError):  # other shapes, or an unknown version
                continue
            missing = {name for name in loaded.missing_keys if not is_head(name, self.heads)}
            left_over = [name for name in loaded.unexpected_keys if name not in state or state[name].numel() > 1]
            if any(not _is_counter(name) for name in missing) or self._are_ours(left_over, reading.within):
                continue
            return self._fit(reading, donor, {*missing}, has_head, left_over)
        return None

    def with_a_wider_head(self, reading: Reading) -> Fit | None:
        """Returns the fit for a model whose head is more than its last layer, such as `fc.3` of an `fc`, or None."""
        wider = tuple(dict.fromkeys(head.rpartition(".")[0] for head in self.heads))
        if not all(wider):
            return None
        return Fitting(self._model, self.architecture, self._shape, wider).direct(reading)

    def for_a_part(self, reading: Reading) -> Fit | None:
        """Returns the fit of a reading of one part of the model, such as its backbone, without its prefix, or None."""
        counts = Counter(name.split(".")[0] for name in self._body)
        parts = [part for part, count in counts.items() if count >= self.least]
        fits = (self.direct(reading.put_under(part)) for part in parts)
        return next((fit for fit in fits if fit is not None), None)

    def by_library(self, reading: Reading) -> Fit | None:
        """Returns the fit of a reading that the model's library can translate, or None."""
        heads = [value for name, value in reading.state.items() if is_head(name, self.heads) and value.ndim > 1]
        outputs = len(heads[-1]) if heads else 0
        for metadata in self._versions(reading):
            try:
                state = as_library_reads(self.architecture, reading.with_metadata(metadata), outputs, self._shape)
            except Exception:  # a library may raise anything for an unknown file
                continue
            if state is None:
                return None
            fit = self.direct(Reading(reading.key, dict(state), getattr(state, "_metadata", {}), {}))
            return fit and Fit(reading, fit.state, fit.head, [*reading.state], fit.heads)
        return None

    def _versions(self, reading: Reading) -> list[Metadata]:
        """Returns the layer versions to load a reading with: the file's, and the model's if they differ."""
        own: Metadata = getattr(self._own, "_metadata", {})
        return [reading.metadata] if reading.metadata == own else [reading.metadata, own]

    def _is_of_another_kind(self, name: str, value: Tensor) -> bool:
        """Returns whether a weight is an integer, as in quantised models, but the model needs a float."""
        own = self._own.get(name)
        return isinstance(own, Tensor) and own.is_floating_point() and not value.is_floating_point()

    def difference(self, readings: Iterable[Reading]) -> str:
        """Returns the difference between the model and the most similar reading."""

        def equal_shapes(reading: Reading) -> int:
            return sum(
                name in reading.state and reading.state[name].shape == self._own[name].shape for name in self._body
            )

        reading = max(readings, key=equal_shapes)
        state = {name: value for name, value in reading.state.items() if not is_head(name, self.heads)}
        wrong = [name for name in self._body if name not in state or state[name].shape != self._own[name].shape]
        wrong += [name for name, value in state.items() if self._is_of_another_kind(name, value)]
        extra = [name for name in state if name not in self._own]
        return f"the model has {_first(self._own, wrong)}; the file has {_first(state, wrong, extra)}"

    def _fit(
        self, reading: Reading, donor: nn.Module, missing: set[str], has_head: bool, extra: Sequence[str]
    ) -> Fit | None:
        given = donor.state_dict()
        if any(value.shape != self._own[name].shape for name, value in given.items() if isinstance(value, Tensor)):
            return None  # its hooks changed its layers for an old version of the weights
        if not has_head:
            missing |= {name for name in given if is_head(name, self.heads)}
        state = OrderedDict((name, value) for name, value in given.items() if name not in missing)
        state._metadata = getattr(given, "_metadata", {})  # type: ignore[attr-defined]
        used = [name for name in reading.state if name not in extra]
        return Fit(reading, state, has_head, used, self.heads)

    def _are_ours(self, unexpected: Iterable[str], within: str) -> bool:
        """Returns whether names that the model lacks belong to one of its parts: then the file is for another model.

        If the file has only one part of the model, its own head is ignored.
        """
        parts = {name.split(".")[0] for name in self._own}
        others = [name for name in unexpected if name.split(".")[0] in parts and not is_head(name, self.heads)]
        heads = {name.rpartition(".")[0] for name in others}
        is_their_head = within != "" and len(heads) == 1 and heads.pop().count(".") == within.count(".") + 1
        return bool(others) and not is_their_head


def _is_counter(name: str) -> bool:
    """Returns whether a weight is a counter. Old files lack them, and they change no output."""
    return name.endswith("num_batches_tracked")


def _resize_positions(state: dict[str, Tensor], own: StateDict, model: nn.Module) -> None:
    """Interpolates a vision transformer's position embedding to this model's image size, as torchvision does."""
    name = "encoder.pos_embedding"
    if name not in state or name not in own or state[name].shape == own[name].shape:
        return
    from torchvision.models.vision_transformer import interpolate_embeddings

    try:
        resized = interpolate_embeddings(model.image_size, model.patch_size, OrderedDict(state))
    except (ValueError, RuntimeError):
        return  # another architecture: loading it reports that
    state.update(resized)


def _sum_colours(state: dict[str, Tensor], own: StateDict) -> None:
    """Sums the first convolution over three channels, for grey images. This gives the same output as colour images."""
    for name, value in state.items():
        shape = own[name].shape if name in own else ()
        if value.ndim == 4 and len(shape) == 4 and shape[1] == 1 and value.shape == (shape[0], 3, *shape[2:]):
            state[name] = value.sum(1, keepdim=True)
            return


def _first(state: StateDict, wrong: Sequence[str], extra: Sequence[str] = ()) -> str:
    """Returns the first names that do not fit, with their shapes."""
    names = [name for name in (*wrong, *extra) if name in state][:3]
    return ", ".join(map(_described, names, (state[name] for name in names))) or "nothing of that kind"


def _described(name: str, value: Tensor) -> str:
    """Returns the display text of a weight: its name and shape, and its dtype if it is unusual."""
    usual = value.is_floating_point() and value.layout == torch.strided and not value.is_meta
    kind = "" if usual else f" {str(value.dtype).removeprefix('torch.')}{' on meta' if value.is_meta else ''}"
    return f"{name} {tuple(value.shape)}{kind}"
