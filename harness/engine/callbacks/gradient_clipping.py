from __future__ import annotations

from torch.nn.utils import clip_grad_norm_

from harness.engine.trainer import Callback, State


class GradientClipping(Callback):
    """Scales all gradients together so that their norm is at most `max_norm` (Pascanu et al., 2013)."""

    def __init__(self, max_norm: float = 1.0) -> None:
        self.max_norm = max_norm

    def on_backward_end(self, state: State) -> None:
        clip_grad_norm_(state.model.parameters(), self.max_norm)
