"""Adds the resizing of images to an ONNX graph, as `Preparation` does it with Pillow."""

from __future__ import annotations

import importlib
import math
from typing import Any

from harness.data.noise import background_values
from harness.data.prepare import Preparation
from harness.errors import UsageError
from harness.workflows.export.onnx_file import LOGITS, PREPARED, PROBABILITIES

OPSET = 20
ANY_SIZE = ("height", "width")
MODES = {"nearest": "", "bilinear": "linear", "bicubic": "cubic"}


def require_mode(preparation: Preparation) -> None:
    """Raises UsageError for an interpolation that onnxruntime does not have."""
    smooth = "" if preparation.antialias else " without antialias"
    if preparation.interpolation not in MODES or (smooth and preparation.interpolation == "bicubic"):
        raise UsageError(
            f"ONNX cannot resize by {preparation.interpolation} interpolation{smooth}",
            "onnxruntime has nearest and bilinear interpolation, and bicubic interpolation with antialias",
            "leave --with-preprocessing out, for a file that takes images resized by Pillow",
        )


def with_resize(model: Any, preparation: Preparation) -> Any:
    """A ModelProto that takes uint8 images (B, height, width, C) of any size; images of a batch have one size.

    It computes sizes with the same rounding as `Preparation`. Pixels come from the Resize operator, which smooths as
    Pillow does, but sums in another order.
    """
    graph = _Graph(preparation)
    onnx: Any = importlib.import_module("onnx")
    helper = onnx.helper
    joined = onnx.ModelProto()
    joined.CopyFrom(model)
    inner = joined.graph.input[0].name
    for node in joined.graph.node:
        for position, name in enumerate(node.input):
            if name == inner:
                node.input[position] = PREPARED
    value = helper.make_tensor_value_info(
        PREPARED, onnx.TensorProto.UINT8, ["batch", preparation.height, preparation.width, preparation.channels]
    )
    first = helper.make_tensor_value_info(inner, onnx.TensorProto.UINT8, ["batch", *ANY_SIZE, preparation.channels])
    nodes = [*graph.of(inner, PREPARED), *joined.graph.node]
    del joined.graph.node[:], joined.graph.input[:]
    joined.graph.node.extend(nodes)
    joined.graph.input.append(first)
    joined.graph.initializer.extend(graph.constants)
    joined.graph.value_info.append(value)
    assert [output.name for output in joined.graph.output] == [LOGITS, PROBABILITIES]
    return joined


def resize_model(preparation: Preparation) -> Any:
    """A ModelProto of the resizing only: uint8 images (B, height, width, C) -> (B, H, W, C) uint8."""
    onnx: Any = importlib.import_module("onnx")
    helper = onnx.helper
    graph = _Graph(preparation)
    channels = preparation.channels
    nodes = graph.of("images", PREPARED)
    takes = helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["batch", *ANY_SIZE, channels])
    sizes = ["batch", preparation.height, preparation.width, channels]
    gives = helper.make_tensor_value_info(PREPARED, onnx.TensorProto.UINT8, sizes)
    made = helper.make_graph(nodes, "resize", [takes], [gives], graph.constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(made, opset_imports=[opset], ir_version=10)


class _Graph:
    """The nodes and constants of one graph, with unique names."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx: Any = importlib.import_module("onnx")

    def of(self, source: str, result: str) -> list[Any]:
        """The nodes from the images `source`, (B, h, w, C), to `result`, (B, H, W, C)."""
        wanted = self.preparation
        size = wanted.height, wanted.width
        larger = tuple(math.floor(side / wanted.center_crop) for side in size)
        images = self.add("Transpose", source, perm=[0, 3, 1, 2])
        sides = self.add("Shape", images, start=2, end=4)  # (2,) height and width
        target = self.whole(larger)
        if wanted.resize == "crop":
            # the shorter side gets its target size; the longer one is rounded down, as in torchvision's Resize
            swapped = self.add("Gather", sides, self.whole((1, 0)), axis=0)
            across = self.add("Gather", target, self.whole((1, 0)), axis=0)
            scaled = self.add("Div", self.add("Mul", across, sides), swapped)
            target = self.add("Max", target, scaled)
        elif wanted.resize == "pad":
            target = self._inside(sides, target)
        resized = self._resized(images, target)
        if wanted.resize == "pad":
            resized = self._padded(resized, target, self.whole(larger))
        if wanted.resize == "crop" or larger != size:
            now = self.add("Shape", resized, start=2, end=4)
            start = self.halved(self.add("Sub", now, self.whole(size)))
            end = self.add("Add", start, self.whole(size))
            resized = self.add("Slice", resized, start, end, self.whole((2, 3)))
        self.add("Transpose", resized, perm=[0, 2, 3, 1], result=result)
        return self.nodes

    def _inside(self, sides: str, target: str) -> str:
        """The largest size with the image's aspect ratio that fits, in float64 as in Python."""
        double = self._onnx.TensorProto.DOUBLE
        ratios = self.add("Div", self.cast(target, double), self.cast(sides, double))
        scale = self.add("ReduceMin", ratios, keepdims=1)
        rounded = self.add("Round", self.add("Mul", self.cast(sides, double), scale))
        whole = self.cast(rounded, self._onnx.TensorProto.INT64)
        return self.add("Max", self.whole((1, 1)), self.add("Min", whole, target))

    def _resized(self, images: str, target: str) -> str:
        """Images (B, C, h, w) at the size `target`, (2,), as uint8."""
        types, wanted = self._onnx.TensorProto, self.preparation
        if wanted.interpolation == "nearest":
            return self._nearest(self._nearest(images, target, 0), target, 1)
        sizes = self.add("Concat", self.add("Shape", images, start=0, end=2), target, axis=0)
        options: dict[str, Any] = {"mode": MODES[wanted.interpolation], "coordinate_transformation_mode": "half_pixel"}
        if wanted.antialias:
            # as in Pillow: ignore pixels outside the image, and use its cubic polynomial
            options |= {"antialias": 1, "exclude_outside": 1, "cubic_coeff_a": -0.5}
            return self.add("Resize", images, "", "", sizes, **options)
        floats = self.add("Round", self.add("Resize", self.cast(images, types.FLOAT), "", "", sizes, **options))
        limits = (self.constant(types.FLOAT, (), [value]) for value in (0.0, 255.0))
        return self.cast(self.add("Clip", floats, *limits), types.UINT8)

    def _nearest(self, images: str, target: str, side: int) -> str:
        """Resizes one side with the pixels that Pillow chooses: it sums the steps, with their rounding errors."""
        double, whole = self._onnx.TensorProto.DOUBLE, self._onnx.TensorProto.INT64
        now = self.add("Shape", images, start=2 + side, end=3 + side)
        wanted = self.add("Gather", target, self.whole((side,)), axis=0)
        step = self.add("Div", self.cast(now, double), self.cast(wanted, double))
        half = self.add("Mul", step, self.constant(double, (1,), [0.5]))
        others = self.add("Expand", step, self.add("Sub", wanted, self.whole((1,))))
        places = self.add("CumSum", self.add("Concat", half, others, axis=0), self.constant(whole, (), [0]))
        return self.add("Gather", images, self.cast(places, whole), axis=2 + side)

    def _padded(self, images: str, inside: str, target: str) -> str:
        """Pads images with a background to the size `target`, centred."""
        types = self._onnx.TensorProto
        free = self.add("Sub", target, inside)
        before = self.add("Div", free, self.whole((2, 2)))
        after = self.add("Sub", free, before)
        none = self.whole((0, 0))
        pads = self.add("Concat", none, before, none, after, axis=0)
        parts = []
        for channel, level in enumerate(background_values(self.preparation)):
            one = self.add("Slice", images, *(self.whole((edge,)) for edge in (channel, channel + 1, 1)))
            parts.append(self.add("Pad", one, pads, self.constant(types.UINT8, (), [level])))
        return self.add("Concat", *parts, axis=1)

    def halved(self, sizes: str) -> str:
        """Half of integers, rounded as by Python's `round`: ties go to the even number."""
        double = self._onnx.TensorProto.DOUBLE
        half = self.add("Mul", self.cast(sizes, double), self.constant(double, (1,), [0.5]))
        return self.cast(self.add("Round", half), self._onnx.TensorProto.INT64)

    def cast(self, source: str, to: int) -> str:
        return self.add("Cast", source, to=to)

    def whole(self, values: tuple[int, ...]) -> str:
        return self.constant(self._onnx.TensorProto.INT64, (len(values),), list(values))

    def constant(self, kind: int, shape: tuple[int, ...], values: list[Any]) -> str:
        name = f"resize_constant{len(self.constants)}"
        self.constants.append(self._onnx.helper.make_tensor(name, kind, shape, values))
        return name

    def add(self, operator: str, *sources: str, result: str = "", **options: Any) -> str:
        """Adds a node, and returns the name of its output."""
        name = result or f"resize_{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(operator, list(sources), [name], **options))
        return name
