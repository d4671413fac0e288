"""Writes a model in MLflow's format: a module for `mlflow.pytorch`, an image classifier for `mlflow.pyfunc`.

The classifier needs code: how harness decodes, resizes and normalises images. A copy of those files, about 90 KB, is
logged with each model. harness is on no package index, so a requirement on it could not be installed elsewhere. The
whole package would be 20 times as large.

The copy is a package whose name holds a digest of its content, because Python imports only one package of each name.
So the copy does not hide an installed harness, and one process can load models of two versions.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.errors import HarnessError

CODE = (  # the files that `served.py` imports, and the files that these import; a test checks the list
    *("errors.py", "util/addresses.py", "util/packages.py", "util/text.py", "util/user_code.py"),
    *(
        f"data/{name}.py"
        for name in ("decode", "deep", "depth", "formats", "large", "opening", "prepare", "transforms")
    ),
    "trackers/mlflow/served.py",
)
LOADER = "trackers.mlflow.served"
IMPORT = re.compile(r"^(\s*(?:from|import) )harness\b", re.MULTILINE)
REQUIRED = ("torch", "torchvision", "numpy", "pillow")
DECODERS = ("pillow-heif", "tifffile", "imagecodecs")  # required if they are installed: the images may need them
COLUMN = "image"
# A drawing of the sea, a PNG of 16 x 16 pixels. MLflow shows it as the example; a user's photograph may be private.
EXAMPLE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAgMAAABinRfyAAAACVBMVEX/3FCWyPAURnjPpTWtAAAAMElEQVR42mMMZWBgYGJgYGBgYWD4f5CJgeHP"
    "ByYGiBiLABMDA6MDjMvAwAJXjJMAACYcBM+hFz17AAAAAElFTkSuQmCC"
)


class FixedBatchError(HarnessError):
    """A model cannot be exported for any number of images."""


def traced_input(shape: tuple[int, int, int]) -> torch.Tensor:
    """Normalised images to trace a model with, (2, C, H, W). They are noise, because the exported file keeps them."""
    return torch.rand((2, *shape), generator=torch.Generator().manual_seed(0)) * 4 - 2


def require_exportable(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Checks that a model can be exported as MLflow will, for any number of images.

    Raises:
        FixedBatchError: It works for only one number of images.
        Exception: Any error of the tracer, which runs the user's code.
    """
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False)
    if not program.range_constraints:  # all sizes in it are fixed
        raise FixedBatchError(
            "the model cannot be exported for any number of images",
            f"its forward pass works only for {len(images)} images",
            "take the number of images from the batch: images.shape[0]",
        )


def save_model(
    path: str, mlflow_model: Any, module: torch.nn.Module, shape: tuple[int, int, int], **_options: Any
) -> None:
    """Writes a module in eval mode to the folder `path`. `mlflow.models.Model.log` calls this.

    Args:
        path: An empty folder, or a folder that does not exist yet.
        mlflow_model: MLflow's description of the model; its metadata has `classes`, `transform` and `temperature`.
        module: (B, C, H, W) normalised images -> (B, classes) logits.
        shape: (C, H, W) of an image.
        **_options: Options that `Model.log` has used already, and passes on.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import Map

    images = traced_input(shape)
    mlflow.pytorch.save_model(
        module,
        path,
        mlflow_model=mlflow_model,
        input_example=images,  # a tensor: MLflow would write an array as text, 15 MB for two images of 224 px
        signature=ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, *shape))])),
        serialization_format="pt2",
        pip_requirements=_requirements(),
    )
    home = Path(path)
    package = write_code(home / "code")
    # The column has no name: with a name, MLflow refuses a list of images
    inputs = Schema([ColSpec("string")])
    outputs = Schema(
        [ColSpec("string", "label"), ColSpec("double", "probability"), ColSpec(Map("double"), "probabilities")]
    )
    mlflow_model.signature = ModelSignature(inputs, outputs)
    example = {"columns": [COLUMN], "data": [[base64.b64encode(EXAMPLE).decode()]]}
    (home / "input_example.json").write_text(json.dumps(example))
    (home / "serving_input_example.json").write_text(json.dumps({"dataframe_split": example}))
    mlflow_model.saved_input_example_info = {
        "artifact_path": "input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
        "serving_input_path": "serving_input_example.json",
    }
    mlflow.pyfunc.add_to_model(
        mlflow_model,
        loader_module=f"{package}.{LOADER}",
        data="data",
        code="code",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    mlflow_model.model_size_bytes = sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
    mlflow_model.save(str(home / "MLmodel"))


def write_code(folder: Path) -> str:
    """Writes the copy of CODE below `folder`. Returns the name of its package."""
    source = resources.files("harness")
    texts = {name: source.joinpath(name).read_text(encoding="utf-8") for name in CODE}
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    package = f"harness_served_{digest[:12]}"
    for name, text in texts.items():
        file = folder / package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(IMPORT.sub(rf"\g<1>{package}", text), encoding="utf-8")
    return package


def _requirements() -> list[str]:
    """What pip installs to load the model. The part after + is removed: package indexes have 2.9.0, not 2.9.0+cpu."""
    versions = {name: _version(name) for name in (*REQUIRED, *DECODERS)}
    return [f"{name}=={version.partition('+')[0]}" for name, version in versions.items() if version]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
