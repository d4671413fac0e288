from __future__ import annotations

from torch.nn.utils import clip_grad_norm_

from harness.engine.trainer import Callback, State


class GradientClipping(Callback):
    """Scales all gradients by one factor so that their total norm is at most `max_norm` (Pascanu et al., 2013).

    Args:
        max_norm: The maximum L2 norm of all gradients together.

    Example:
        >>> import harness
        >>> trainer = harness.Trainer(callbacks=[harness.GradientClipping(max_norm=1.0)])
    """

    def __init__(self, max_norm: float = 1.0) -> None:
        self.max_norm = max_norm

    def on_backward_end(self, state: State) -> None:
        clip_grad_norm_(state.model.parameters(), self.max_norm)
