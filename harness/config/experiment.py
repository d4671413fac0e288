"""`Experiment`: the settings of a run, as a frozen record of plain values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.config.fields import (
    Rule,
    as_tuples,
    boolean,
    choice,
    fields_repr,
    json_value,
    number,
    parse,
    refused,
    require_value,
    setting,
    text,
    whole,
)
from harness.config.values import (
    COLUMNS,
    is_callback,
    is_column,
    is_metrics,
    is_name,
    is_normalisation,
    is_pattern,
    is_range,
)
from harness.errors import nearest

TRACKERS = ("tensorboard", "mlflow")
COLOUR = re.compile("white|grey|black|#[0-9a-fA-F]{6}")
FOUND = "found in data"  # origin of a value that was read from the layout of the images
WANTED = "found in model"  # origin of a value that the model's library gives


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The settings of an experiment: data, model, optimizer, cross-validation and trackers.

    Each field is a keyword argument with a default. An experiment is immutable: `replace` returns a changed copy.
    `harness run EXP --dry-run` prints all fields, and where each value came from.

    Raises:
        ExperimentError: A field is unknown, or a field does not take the value.

    Example:
        >>> import harness
        >>> experiment = harness.Experiment(data="photos", lr=3e-4)
        >>> experiment.replace(batch_size=64).lr
        0.0003
    """

    name: str = setting(
        "",
        Rule("lower-case letters, digits, '.', '_' and '-'", lambda v: isinstance(v, str) and is_name(v)),
        "name of the run folders; default: the file's name",
    )
    data: str = setting(
        "data/train",
        text("a folder or a table"),
        "training images: one folder per class; or folders train, valid and test with those in them; or a table",
    )
    valid_data: str | None = setting(
        None, text("a folder or a table").or_none(), "validation set; none: a part of the training images"
    )
    test_data: str | None = setting(
        None, text("a folder or a table").or_none(), "test set for `harness test`; never used in training"
    )
    class_folder: str | None = setting(
        None, choice("outer", "inner").or_none(), "which folder names the class, if there are two levels of folders"
    )
    columns: tuple[str, ...] = setting(
        (),
        Rule(
            f"names of a table's columns, as path=filename (of {', '.join(COLUMNS)})",
            lambda v: isinstance(v, tuple) and all(is_column(column) for column in v),
        ),
        "columns of the table, if they have other names than path, label, split and group",
    )
    groups: str | Callable[..., Any] | None = setting(
        None,
        Rule("folder, a regular expression", is_pattern).or_none().or_function("(path) -> group"),
        "puts images of one group (patient, video) in one fold; group: the folder, or what the expression matches",
    )
    image_size: int | tuple[int, int] = setting(
        224,
        whole(16, 4096).or_pair("(height, width)"),
        "size in pixels that every image is resized to: the side of a square, or (height, width)",
    )
    resize: str = setting(
        "squash",
        choice("squash", "crop", "pad"),
        "squash changes the proportions, crop cuts the longer side, pad fills the shorter side",
    )
    center_crop: float = setting(
        1.0,
        number("a number above 0, up to 1", lambda v: 0.1 <= v <= 1),
        "share of each side to keep after resizing, around the centre; timm calls it crop_pct",
    )
    interpolation: str = setting(
        "bilinear", choice("nearest", "bilinear", "bicubic", "lanczos"), "interpolation used to resize images"
    )
    antialias: bool = setting(
        True, boolean(), "smooths an image when it becomes smaller; false does the same as OpenCV"
    )
    channels: int = setting(3, Rule("3 or 1", lambda v: type(v) is int and v in (1, 3)), "3: colour; 1: grey")
    background: str = setting(
        "white",
        Rule("white, grey, black or #rrggbb", lambda v: isinstance(v, str) and COLOUR.fullmatch(v) is not None),
        "colour behind transparent pixels and around padded images",
    )
    value_range: tuple[float, float] | None = setting(
        None,
        Rule("two numbers, as 0,4095", is_range).or_none(),
        "pixel values that become black and white in files of more than 8 bits; none: read from the images",
    )
    normalise: str | tuple[Any, Any] | None = setting(
        None,
        Rule("imagenet, or a mean and a standard deviation from 0 to 1, as 0.5,0.25", is_normalisation).or_none(),
        "mean and standard deviation of the inputs, one for all channels or one each; none: as the weights need",
    )
    augment: str | Callable[..., Any] | None = setting(
        None,
        choice("flip", "standard").or_none().or_function("(uint8 image) -> uint8 image"),
        "augmentation of training images",
    )
    model: str | Callable[..., Any] = setting(
        "resnet18",
        text("a name").or_function("(number of classes) -> module"),
        "a classifier of torchvision, timm/NAME, small_cnn, or your own function",
    )
    weights: str | None = setting("imagenet", text("imagenet, a file").or_none(), "initial weights; none: random")
    weights_key: str | None = setting(
        None, text("a key in the file of weights").or_none(), "part of that file to load, if several fit the model"
    )
    freeze: bool | str = setting(
        False,
        Rule("true, false, or the name of a block", lambda v: isinstance(v, (bool, str)) and v != ""),
        "true trains only the head; a block's name freezes the model up to and including that block",
    )
    views: int | None = setting(
        None,
        whole(1, 1000).or_none(),
        "number of augmented versions stored for each image; each epoch uses one. none: a new version in each epoch",
    )
    cache: bool = setting(
        True, boolean(), "stores decoded images and outputs of frozen layers; false computes them in each epoch"
    )
    optimizer: str | Callable[..., Any] = setting(
        "adam",
        choice("adam", "adamw", "sgd").or_function("(parameters, lr=, weight_decay=) -> Optimizer"),
        "optimizer",
    )
    lr: float = setting(1e-3, number("a number above 0", lambda v: v > 0), "learning rate; with a scheduler, its peak")
    weight_decay: float = setting(
        0.0, number("a number from 0 up", lambda v: v >= 0), "weight decay, as the optimizer defines it"
    )
    scheduler: str | Callable[..., Any] | None = setting(
        None,
        choice("cosine", "onecycle", "plateau").or_none().or_function("(optimizer, epochs) -> scheduler"),
        "how the learning rate changes; your own scheduler is stepped after each epoch",
    )
    batch_size: int = setting(32, whole(1), "images per batch")
    epochs: int = setting(5, whole(1), "maximum number of epochs")
    folds: int = setting(
        5,
        Rule("0, or a whole number from 2 up", lambda v: type(v) is int and (v == 0 or v >= 2)),
        "folds of the cross-validation; 0: one validation set of 20 % of the images",
    )
    repeats: int = setting(1, whole(1, 100), "times to train each fold: same images, another seed")
    epoch: str = setting(
        "last", choice("last", "best"), "epoch whose weights are saved and evaluated: the last, or the best by monitor"
    )
    monitor: str = setting("valid_accuracy", text("a metric"), "metric used by patience, scheduler=plateau, epoch=best")
    monitor_mode: str = setting("auto", choice("auto", "max", "min"), "max: higher is better; auto: from the name")
    patience: int | None = setting(None, whole(1).or_none(), "stops a fold after N epochs without a better monitor")
    inner_fraction: float | None = setting(
        None,
        number("a number from 0.05 to 0.5", lambda v: 0.05 <= v <= 0.5).or_none(),
        "share of a fold's training images used only to compute monitor; none: 0.2 if monitor is used",
    )
    metrics: tuple[Any, ...] = setting(
        (),
        Rule("names of metrics, or functions (labels, probabilities) -> number", is_metrics),
        "additional metrics to compute after each epoch, such as macro_f1 or roc_auc",
    )
    precision: str = setting("auto", choice("auto", "fp32", "bf16", "fp16"), "dtype to compute in; auto: by the device")
    compile: bool = setting(
        False, boolean(), "uses torch.compile; faster only after many steps, and the run prints how many"
    )
    seed: int = setting(0, whole(0, 2**32 - 1), "random seed of folds, initial weights, image order and augmentation")
    split_seed: int | None = setting(None, whole(0, 2**32 - 1).or_none(), "seed of the folds only; none: as seed")
    workers: int | str = setting(
        "auto",
        Rule("auto, or a whole number from 0 up", lambda v: v == "auto" or (type(v) is int and v >= 0)),
        "number of processes that load images; the results do not depend on it",
    )
    min_accuracy: float = setting(
        0.7, number("a number from 0 to 1", lambda v: 0 <= v <= 1), "the gate of `harness test`: the required accuracy"
    )
    loss: str | Callable[..., Any] = setting(
        "cross_entropy",
        choice("cross_entropy").or_function("(logits, targets) -> mean over the batch"),
        "loss function",
    )
    callbacks: tuple[Any, ...] = setting(
        (),
        Rule("a list of callbacks", lambda v: isinstance(v, tuple) and all(is_callback(c) for c in v)),
        "your own callbacks; each fold gets a copy of each",
    )
    trackers: tuple[str, ...] = setting(
        TRACKERS,
        Rule(f"{', '.join(TRACKERS)}, both, or none", lambda v: isinstance(v, tuple) and {*v} <= {*TRACKERS}),
        "programs that record each run, in addition to the run folder",
    )

    _origins = {}  # type: dict[str, str]  # not a field; __new__ sets one for each instance

    def __new__(cls, /, *args: Any, **given: Any) -> Experiment:
        if args:
            raise refused("a value without a field name", "fields are keyword arguments", "Experiment(lr=0.001)")
        for key in given:
            require_field(key)
        experiment = super().__new__(cls)
        object.__setattr__(experiment, "_origins", dict.fromkeys(given, "experiment file"))
        return experiment

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:  # a NumPy scalar
                value = value.item()
            if isinstance(item.default, tuple) and isinstance(value, (list, str)):
                value = tuple(value) if isinstance(value, list) else (value,)
            elif isinstance(value, list):  # read from JSON
                value = as_tuples(value)
            if type(value) is int and isinstance(item.default, float) and abs(value) < 2**53:
                value = float(value)
            object.__setattr__(self, item.name, value)
            require_value(item, value)

    __repr__ = fields_repr

    def replace(self, /, **changes: Any) -> Experiment:
        """Returns a copy with other values: `replace(lr=0.01)`. Raises ExperimentError, as the constructor does."""
        return self._with(changes, "experiment file")

    def named(self, name: str) -> Experiment:
        """Returns the experiment itself if it has a name, or a copy with this one."""
        return self if self.name else self._with({"name": name}, "default")

    def override(self, typed: Mapping[str, str]) -> Experiment:
        """Returns a copy with values from a command line, still as text: `{"lr": "1e-4", "weights": "none"}`."""
        changes = {}
        for key, value in typed.items():
            item = require_field(key)
            changes[key] = parse(item.metadata["rule"], value, is_tuple=isinstance(item.default, tuple))
        return self._with(changes, "command line")

    def origin(self, name: str) -> str:
        """Returns where a field's value came from: "default", FOUND, WANTED, "experiment file" or "command line"."""
        return self._origins.get(name, "default")

    def found(self, changes: Mapping[str, Any], origin: str = FOUND) -> Experiment:
        """Returns a copy with values that were detected, in the layout of the images or in the model."""
        return self._with(dict(changes), origin)

    @property
    def tests_other_data(self) -> bool:
        """Whether the command line set `data` but not `test_data`: then the two may not belong together."""
        return self.origin("data") == "command line" and self.origin("test_data") not in ("command line", FOUND)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON and checkpoints. A function becomes the text `module:function`."""
        return {item.name: json_value(getattr(self, item.name)) for item in dataclasses.fields(self)}

    def _with(self, changes: dict[str, Any], origin: str) -> Experiment:
        other = dataclasses.replace(self, **changes)
        object.__setattr__(other, "_origins", {**self._origins, **dict.fromkeys(changes, origin)})
        return other


def require_field(name: str) -> dataclasses.Field[Any]:
    """Returns the field `name`. Raises ExperimentError if there is none; the error lists all names and the nearest."""
    known = {item.name: item for item in dataclasses.fields(Experiment)}
    if name not in known:
        raise refused(
            f"an experiment has no field {name!r}{nearest(name, known)}",
            f"its fields are {', '.join(known)}",
            "harness run EXPERIMENT --dry-run, which shows each field",
        )
    return known[name]
