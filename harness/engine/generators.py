"""States of random generators: the global ones of torch (CPU and GPUs), numpy and Python, and those of a loader."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def generator_states() -> dict[str, Any]:
    """Returns the current states of the global generators, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": random.getstate(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_generators(states: dict[str, Any], batches: Any = None) -> None:
    """Restores the global generators in `states` (of GPUs, those that exist here); "loader" is for `batches`."""
    if "torch" in states:
        torch.set_rng_state(states["torch"])
        name, keys, *rest = states["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
        random.setstate(_tuples(states["python"]))
    if torch.cuda.is_available():
        for device, state in enumerate(states.get("cuda", [])[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, device)
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
    for generator, state in zip(_generators_of(batches), states.get("loader", []), strict=False):
        generator.set_state(state)


def loader_generators(batches: Any) -> list[torch.Tensor]:
    """Returns the states of the generators that were passed to a DataLoader and its samplers."""
    return [generator.get_state() for generator in _generators_of(batches)]


def _generators_of(batches: Any) -> list[torch.Generator]:
    sampler, batch_sampler = getattr(batches, "sampler", None), getattr(batches, "batch_sampler", None)
    owners = (batches, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    generators = [getattr(owner, "generator", None) for owner in owners]
    return [*{id(each): each for each in generators if isinstance(each, torch.Generator)}.values()]


def _tuples(value: Any) -> Any:
    """Replaces lists by tuples, as `random.setstate` requires."""
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value
