"""What to do: `Experiment`, a frozen record of plain values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.config.fields import (
    Rule,
    as_tuples,
    choice,
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
FOUND = "found in data"  # origin of a value that the layout of the images gives
WANTED = "found in model"  # origin of a value that a library says about its model


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment. Each field says what it is, with its unit; `harness run EXP --dry-run` shows all of them.

    Raises ExperimentError for a field that is unknown, or a value that it does not take.
    """

    name: str = setting(
        "",
        Rule("lower-case letters, digits, '.', '_' and '-'", lambda v: isinstance(v, str) and is_name(v)),
        "names the runs; by default the file's name",
    )
    data: str = setting(
        "data/train",
        text("a folder or a table"),
        "training images: a folder per class, folders train, valid and test of such, or a table",
    )
    valid_data: str | None = setting(
        None, text("a folder or a table").or_none(), "images of the hold-out; none: taken from the training images"
    )
    test_data: str | None = setting(
        None, text("a folder or a table").or_none(), "images for the last test, never trained on"
    )
    class_folder: str | None = setting(
        None, choice("outer", "inner").or_none(), "which folder names the class where there are two levels of them"
    )
    columns: tuple[str, ...] = setting(
        (),
        Rule(
            f"names of a table's columns, as path=filename (of {', '.join(COLUMNS)})",
            lambda v: isinstance(v, tuple) and all(is_column(column) for column in v),
        ),
        "which columns of a table hold what, where they have other names",
    )
    groups: str | Callable[..., Any] | None = setting(
        None,
        Rule("folder, a regular expression", is_pattern).or_none().or_function("(path) -> group"),
        "keeps images of one patient, place or video in one fold: by folder, or by what a pattern finds in the path",
    )
    image_size: int | tuple[int, int] = setting(
        224,
        whole(16, 4096).or_pair("(height, width)"),
        "pixels: every image becomes a square of this side, or so large",
    )
    resize: str = setting(
        "squash",
        choice("squash", "crop", "pad"),
        "how: squash changes its proportions, crop cuts the longer side, pad fills the shorter one",
    )
    center_crop: float = setting(
        1.0,
        number("a number above 0, up to 1", lambda v: 0.1 <= v <= 1),
        "share of the resized sides that is kept, in the middle; timm calls it crop_pct",
    )
    interpolation: str = setting(
        "bilinear", choice("nearest", "bilinear", "bicubic", "lanczos"), "between pixels, where an image is resized"
    )
    antialias: bool = setting(
        True,
        Rule("true or false", lambda v: isinstance(v, bool)),
        "smooths an image that becomes smaller; false is as OpenCV does it",
    )
    channels: int = setting(3, Rule("3 or 1", lambda v: type(v) is int and v in (1, 3)), "3 for colour, 1 for grey")
    background: str = setting(
        "white",
        Rule("white, grey, black or #rrggbb", lambda v: isinstance(v, str) and COLOUR.fullmatch(v) is not None),
        "behind transparent pixels, and beside padded images",
    )
    value_range: tuple[float, float] | None = setting(
        None,
        Rule("two numbers, as 0,4095", is_range).or_none(),
        "values that become black and white, of files with more than 8 bits; none: found in the images",
    )
    normalise: str | tuple[Any, Any] | None = setting(
        None,
        Rule("imagenet, or a mean and a deviation of values from 0 to 1, as 0.5,0.25", is_normalisation).or_none(),
        "of the model's inputs, for all channels or for each; none: as its weights or its library say, else imagenet",
    )
    augment: str | Callable[..., Any] | None = setting(
        None,
        choice("flip", "standard").or_none().or_function("(uint8 image) -> uint8 image"),
        "random changes of training images",
    )
    model: str | Callable[..., Any] = setting(
        "resnet18",
        text("a name").or_function("(number of classes) -> module"),
        "a classifier of torchvision, timm/NAME, small_cnn, or your own",
    )
    weights: str | None = setting("imagenet", text("imagenet, a file").or_none(), "where the model starts from")
    weights_key: str | None = setting(
        None, text("a key in the file of weights").or_none(), "which part of that file, where several fit the model"
    )
    freeze: bool | str = setting(
        False,
        Rule("true, false, or the name of a block", lambda v: isinstance(v, (bool, str)) and v != ""),
        "true trains the head alone; a block's name freezes all up to and with it",
    )
    views: int | None = setting(
        None,
        whole(1, 1000).or_none(),
        "number of augmented views kept of each image; an epoch shows one. none: a new one each epoch",
    )
    cache: bool = setting(
        True,
        Rule("true or false", lambda v: isinstance(v, bool)),
        "keeps decoded images and what a frozen part makes of them; false computes all of it in each epoch",
    )
    optimizer: str | Callable[..., Any] = setting(
        "adam",
        choice("adam", "adamw", "sgd").or_function("(parameters, lr=, weight_decay=) -> Optimizer"),
        "takes the steps",
    )
    lr: float = setting(1e-3, number("a number above 0", lambda v: v > 0), "learning rate, per step")
    weight_decay: float = setting(
        0.0, number("a number from 0 up", lambda v: v >= 0), "pull of the weights towards 0, per step"
    )
    scheduler: str | Callable[..., Any] | None = setting(
        None,
        choice("cosine", "onecycle", "plateau").or_none().or_function("(optimizer, epochs) -> scheduler"),
        "how the learning rate changes; a function's scheduler is stepped each epoch",
    )
    batch_size: int = setting(32, whole(1), "images a step")
    epochs: int = setting(5, whole(1), "passes over the training images, at most")
    folds: int = setting(
        5,
        Rule("0, or a whole number from 2 up", lambda v: type(v) is int and (v == 0 or v >= 2)),
        "of the cross-validation; 0 is one hold-out of a fifth",
    )
    repeats: int = setting(1, whole(1, 100), "times that each fold is trained, on the same images with another seed")
    epoch: str = setting(
        "last", choice("last", "best"), "whose weights a fold keeps and is judged by; epochs is the number of them"
    )
    monitor: str = setting("valid_accuracy", text("a metric"), "steers patience, a plateau and epoch=best")
    monitor_mode: str = setting(
        "auto", choice("auto", "max", "min"), "whether more of the monitor is better; auto: its name tells"
    )
    patience: int | None = setting(None, whole(1).or_none(), "epochs without a better monitor before a fold stops")
    inner_fraction: float | None = setting(
        None,
        number("a number from 0.05 to 0.5", lambda v: 0.05 <= v <= 0.5).or_none(),
        "share of a fold's training images that only steers the training; none: 0.2 if anything steers it",
    )
    metrics: tuple[Any, ...] = setting(
        (),
        Rule("names of metrics, or functions (labels, probabilities) -> number", is_metrics),
        "more metrics of each epoch, such as macro_f1 or roc_auc",
    )
    precision: str = setting("auto", choice("auto", "fp32", "bf16", "fp16"), "dtype of the arithmetic")
    compile: bool = setting(
        False,
        Rule("true or false", lambda v: isinstance(v, bool)),
        "torch.compile, which pays where training is long; a run says after how many steps",
    )
    seed: int = setting(0, whole(0, 2**32 - 1), "of folds, new weights, order and augmentation")
    split_seed: int | None = setting(None, whole(0, 2**32 - 1).or_none(), "of the folds alone; none: as seed")
    workers: int | str = setting(
        "auto",
        Rule("auto, or a whole number from 0 up", lambda v: v == "auto" or (type(v) is int and v >= 0)),
        "processes that load images; results do not depend on it",
    )
    min_accuracy: float = setting(
        0.7, number("a number from 0 to 1", lambda v: 0 <= v <= 1), "the gate of the last test"
    )
    loss: str | Callable[..., Any] = setting(
        "cross_entropy",
        choice("cross_entropy").or_function("(logits, targets) -> mean over the batch"),
        "loss function",
    )
    callbacks: tuple[Any, ...] = setting(
        (),
        Rule("a list of callbacks", lambda v: isinstance(v, tuple) and all(is_callback(c) for c in v)),
        "your own; each fold gets copies of them",
    )
    trackers: tuple[str, ...] = setting(
        TRACKERS,
        Rule(f"{', '.join(TRACKERS)}, both, or none", lambda v: isinstance(v, tuple) and {*v} <= {*TRACKERS}),
        "where a run is shown besides its folder",
    )

    _origins = {}  # type: dict[str, str]  # no field: each instance has its own, set in __new__

    def __new__(cls, /, *args: Any, **given: Any) -> Experiment:
        if args:
            raise refused("a value stands without its field", "fields are given by name", "Experiment(lr=0.001)")
        for key in given:
            require_field(key)
        experiment = super().__new__(cls)
        object.__setattr__(experiment, "_origins", dict.fromkeys(given, "experiment file"))
        return experiment

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:  # one of numpy's numbers
                value = value.item()
            if isinstance(item.default, tuple) and isinstance(value, (list, str)):
                value = tuple(value) if isinstance(value, list) else (value,)
            elif isinstance(value, list):  # as JSON has it
                value = as_tuples(value)
            if type(value) is int and isinstance(item.default, float) and abs(value) < 2**53:
                value = float(value)
            object.__setattr__(self, item.name, value)
            require_value(item, value)

    def replace(self, /, **changes: Any) -> Experiment:
        """The same experiment with other values."""
        return self._with(changes, "experiment file")

    def named(self, name: str) -> Experiment:
        """The same under `name`, unless it has a name already."""
        return self if self.name else self._with({"name": name}, "default")

    def override(self, typed: Mapping[str, str]) -> Experiment:
        """The same with values as they are typed on a command line: `{"lr": "1e-4", "weights": "none"}`."""
        changes = {}
        for key, value in typed.items():
            item = require_field(key)
            changes[key] = parse(item.metadata["rule"], value, is_tuple=isinstance(item.default, tuple))
        return self._with(changes, "command line")

    def origin(self, name: str) -> str:
        """Where a field's value came from: "default", FOUND, WANTED, "experiment file" or "command line"."""
        return self._origins.get(name, "default")

    def found(self, changes: Mapping[str, Any], origin: str = FOUND) -> Experiment:
        """The same with values that nobody wrote: the layout of its images gives them, or its model."""
        return self._with(dict(changes), origin)

    @property
    def tests_other_data(self) -> bool:
        """Whether only `data` was typed, and not `test_data`: the two may not belong together."""
        return self.origin("data") == "command line" and self.origin("test_data") not in ("command line", FOUND)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints; a function is named by its module and name."""
        return {item.name: json_value(getattr(self, item.name)) for item in dataclasses.fields(self)}

    def _with(self, changes: dict[str, Any], origin: str) -> Experiment:
        other = dataclasses.replace(self, **changes)
        object.__setattr__(other, "_origins", {**self._origins, **dict.fromkeys(changes, origin)})
        return other


def require_field(name: str) -> dataclasses.Field[Any]:
    """The field `name`. Raises ExperimentError for one that there is not, naming all and the nearest."""
    known = {item.name: item for item in dataclasses.fields(Experiment)}
    if name not in known:
        raise refused(
            f"an experiment has no field {name!r}{nearest(name, known)}",
            f"its fields are {', '.join(known)}",
            "harness run EXP --dry-run shows each with its value",
        )
    return known[name]
