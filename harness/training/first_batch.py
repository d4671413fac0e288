from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from harness.engine.trainer import Callback, State
from harness.util.console import only_a_picture

MOST = 24  # maximum number of images in the plot


class FirstBatch(Callback):
    """Plots the first training batch as the model gets it, augmented and resized, when the first epoch ends.

    Batches that are not images, (B, 1 or 3, H, W), are not plotted.

    Args:
        path: The PNG file.
        classes: The class names, in the order of the logits.
        picture: Converts inputs (B, C, H, W) back to uint8 images (B, C, H, W).
        images: Batches (inputs, targets) of images to plot if the model trains on features.

    Example:
        >>> import harness
        >>> to_uint8 = lambda inputs: (255 * inputs).byte()
        >>> plot = harness.FirstBatch("batch.png", classes=["forest", "sea"], picture=to_uint8)
        >>> trainer = harness.Trainer(callbacks=[plot])
    """

    def __init__(
        self,
        path: Path | str,
        classes: Sequence[str],
        picture: Callable[[Tensor], Tensor],
        images: Iterable[tuple[Tensor, Tensor]] = (),
    ) -> None:
        self._path = Path(path)
        self._classes = tuple(classes)
        self._picture = picture
        self._images = images
        self._batch: tuple[Tensor, Tensor] | None = None

    def on_fit_start(self, state: State) -> None:
        self._batch = None

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self._batch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._batch = state_dict["batch"]

    def on_batch_start(self, state: State) -> None:
        if self._batch is None and state.step == 0 and state.phase == "train":
            inputs, targets = state.batch
            if (
                isinstance(inputs, Tensor)
                and inputs.ndim == 4
                and inputs.shape[1] in (1, 3)
                and isinstance(targets, Tensor)
            ):
                self._batch = inputs[:MOST].detach().clone(), targets[:MOST].detach().clone()

    def on_epoch_end(self, state: State) -> None:
        if state.epoch != 1:
            return
        with only_a_picture():
            batch = self._batch or next(iter(self._images), None)
            self._batch = None
            if batch is not None:
                self._draw(batch[0][:MOST].float().cpu(), batch[1][:MOST].cpu())

    def _draw(self, inputs: Tensor, targets: Tensor) -> None:
        from PIL import Image

        from harness.plots.gallery import Tile, draw_gallery, thumbnail
        from harness.util.files import short

        if targets.ndim == 2:
            targets = targets.argmax(1)
        images = self._picture(inputs).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()  # grey to RGB
        names = [self._classes[int(i)] if 0 <= i < len(self._classes) else "no class" for i in targets]
        tiles = [
            Tile(thumbnail(Image.fromarray(image)), ((short(name), "black"),))
            for image, name in zip(images, names, strict=True)
        ]
        side = f"{inputs.shape[3]} × {inputs.shape[2]} px"
        draw_gallery(self._path, "the first training batch, as the model sees it", side, tiles)
