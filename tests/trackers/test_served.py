"""A logged model predicts image files, in this process and over HTTP."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.demo import draw
from harness.data.prepare import Preparation
from harness.data.transforms import Transform
from harness.models.saved import load_model
from harness.trackers.mlflow.served import MOST_NAMED, ImageModel, UnreadableImagesError, file_bytes
from harness.trackers.servers import DIRECT, free_port
from harness.util.processes import kill_tree
from harness.workflows.test import evaluate
from tests.conftest import Tracked, wait

# Replaces an environment without harness, because tests run where it is installed.
WITHOUT_HARNESS = """import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "harness":
            raise ImportError("harness is not installed")
sys.meta_path.insert(0, Finder())
"""


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded(draw("train", "sea", 0).resize((48, 48)))
TEXT = base64.b64encode(JPEG).decode()


@pytest.mark.parametrize(
    "value",
    [
        JPEG,
        bytearray(JPEG),
        TEXT,
        TEXT.encode(),
        np.array(TEXT),
        base64.urlsafe_b64encode(JPEG).decode().rstrip("="),
        base64.encodebytes(JPEG).decode(),
        "\n".join(f"  {line}" for line in base64.encodebytes(JPEG).decode().splitlines()),
        f"data:image/jpeg;base64,{TEXT}",
        f"DATA:image/jpeg;charset=utf-8;Base64,{TEXT.replace('+', '%2B').replace('/', '%2F')}",
    ],
    ids=["bytes", "bytearray", "text", "encoded", "array", "url-safe", "lines", "indented", "data URL", "percent"],
)
def test_file_bytes_accepts_bytes_and_all_forms_of_base64(value: Any) -> None:
    assert file_bytes(value) == JPEG


def test_file_bytes_does_not_decode_an_image_file_that_is_text() -> None:
    pixels = b"P1\n4 4\n" + b"0 1 0 1\n" * 4
    assert file_bytes(pixels) == pixels


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ("data:image/png;base64,", "it is empty"),
        (None, "it is empty"),
        (float("nan"), "it is empty"),
        (3, "it is a int, not base64 text"),
        ("photo.jpg", "character 6 is '.'"),
        ("https://example.org/a.jpg", "character 6 is ':'"),
        ("\x1b[31m", "character 1 is '\\x1b'"),
        (TEXT.replace("+", " "), "is a space (an HTML form turns '+' into one"),
        (TEXT.rstrip("=")[: len(TEXT) // 4 * 4 - 3], "its end is missing"),
        ("data:image/svg+xml,<svg/>", "a data URL without ;base64"),
    ],
    ids=repr,
)
def test_file_bytes_explains_what_is_wrong(value: Any, why: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is asserted
        file_bytes(value)
    assert why in str(caught.value)


class Mean(torch.nn.Module):
    """Two logits: mean brightness, and 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([mean, torch.zeros_like(mean)], 1)


def bright(**changes: Any) -> ImageModel:
    transform = Transform(Preparation(image_size=8, **changes), (0.5,) * 3, (0.5,) * 3)
    about = {"classes": ["bright", "dark"], "transform": transform.to_dict(), "temperature": 0.5}
    return ImageModel(Mean(), about)


def test_predict_returns_names_and_calibrated_probabilities() -> None:
    white, grey = (encoded(Image.new("RGB", (20, 10), colour), "PNG") for colour in ("white", "#404040"))
    white_row, grey_row = bright().predict([white, base64.b64encode(grey).decode()]).to_dict("records")
    assert white_row["label"] == "bright"
    assert white_row["probability"] == pytest.approx(1 / (1 + np.exp(-2.0)))  # a logit of 1, at temperature 0.5
    assert white_row["probabilities"] == pytest.approx({"bright": 0.8808, "dark": 0.1192}, abs=1e-4)
    assert (grey_row["label"], grey_row["probability"]) == ("dark", grey_row["probabilities"]["dark"])


def test_predict_scales_a_16_bit_file_by_its_own_range_if_the_model_has_none() -> None:
    content = encoded(Image.fromarray(np.full((8, 8), 4095, np.uint16)), "PNG")
    assert bright().predict([content]).label[0] == "bright"
    assert bright(value_range=(0.0, 65535.0)).predict([content]).label[0] == "dark"


def test_predict_turns_a_photograph_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to show"
    image = Image.new("L", (80, 40))
    image.paste(255, (0, 0, 40, 40))
    seen: list[torch.Tensor] = []
    model = bright()
    model.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 0]))
    model.predict([encoded(image, quality=95), encoded(image, quality=95, exif=exif)])
    assert seen[0].mean(0)[0] > 0.9  # bright on the left
    seen.clear()
    model.predict([encoded(image, quality=95, exif=exif)])
    assert seen[0].mean(1)[0] > 0.9  # bright on the top


def test_predict_takes_more_images_than_a_batch_has() -> None:
    sizes: list[int] = []
    model = bright()
    model.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    assert len(model.predict([JPEG] * 70)) == 70
    assert sizes == [32, 32, 6]


def test_predict_names_the_images_that_cannot_be_read() -> None:
    svg = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'></svg>").decode()
    with pytest.raises(UnreadableImagesError) as caught:
        bright().predict([JPEG, JPEG[:300], svg, *[JPEG] * 40, "a.b"])
    text = str(caught.value)
    assert text.split("; image ")[0] == "image 2 of 44: it cannot be read: truncated"
    assert "image 3 of 44: it cannot be read: an SVG picture" in text
    assert "image 44 of 44: it is not base64" in text
    with pytest.raises(UnreadableImagesError, match=r"image 5 of 10000: it is empty; there may be more$"):
        bright().predict([""] * 10_000)


def test_predict_refuses_too_many_pixels_from_the_header() -> None:
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    content += bytes(4) + b"IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    with pytest.raises(UnreadableImagesError, match="3600 megapixels; at most 500 are read"):
        bright().predict([content])


def test_serialize_as_json_leaves_out_the_requests_data() -> None:
    error = UnreadableImagesError("image 1 of 1: it is empty")
    error.message = f"Failed to predict data '{TEXT}'. \nError: {error.message}"  # as MLflow's server does
    assert error.get_http_status_code() == 400
    assert json.loads(error.serialize_as_json())["message"] == "image 1 of 1: it is empty"
    assert MOST_NAMED == 5


@pytest.fixture(scope="module")
def address(tracked: Tracked) -> str:
    """The address in MLflow of the tracked run's model."""
    (run,) = tracked.client().search_runs(["1"], f"attributes.run_name = '{tracked.run.id}'")
    return f"runs:/{run.info.run_id}/model"


@pytest.fixture(scope="module")
def judged(tracked: Tracked, scenery: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Any]:
    """(files, (N, 2) probabilities) of the scenery from `harness test`, in fp32."""
    checkpoint = tracked.run.checkpoint_of(tracked.run.best_fold())  # type: ignore[arg-type]
    out = tmp_path_factory.mktemp("judged") / "test"
    saved = load_model(checkpoint)
    result = evaluate(saved, checkpoint, scenery, allow_leak=True, trackers=(), out=out, pictures=False)
    paths = [scenery / path for path in result.predictions.paths]
    assert saved.temperature != 1
    return [path.read_bytes() for path in paths], result.predictions.probabilities


@pytest.fixture
def there(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow uses the store of the tracked run."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.uri)
    mlflow.set_tracking_uri(tracked.uri)
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path  # MLflow adds the code of a model to it
    for name in set(sys.modules) - modules:
        if name.startswith("harness_served_"):
            del sys.modules[name]


@pytest.mark.filterwarnings("ignore")
def test_a_logged_model_predicts_the_same_as_harness_test(address: str, judged: Any, there: None) -> None:
    import mlflow
    import pandas as pd

    files, expected = judged
    model = mlflow.pyfunc.load_model(address)
    texts = [base64.b64encode(content).decode() for content in files]
    frame = pd.DataFrame({"image": texts}, index=[f"row {number}" for number in range(len(texts))])
    result = model.predict(frame)
    assert list(result.index) == list(frame.index)
    found = np.array([[row["forest"], row["sea"]] for row in result.probabilities])
    assert np.abs(found - expected).max() < 1e-5
    assert list(result.label) == [("forest", "sea")[row.argmax()] for row in expected]
    for images in (
        texts[:2],
        files[:2],
        pd.Series(texts[:2]),
        {"image": texts[:2]},
        [{"image": text} for text in texts[:2]],
    ):
        assert np.abs(model.predict(images).probability.to_numpy() - expected[:2].max(1)).max() < 1e-5
    (code,) = (name for name in sys.modules if name.endswith("trackers.mlflow.served") and name.startswith("harness_"))
    assert code.startswith("harness_served_")
    about = model.metadata
    example = about.load_input_example(address)
    assert list(example) == ["image"]
    assert set(model.predict(example).label) <= {"forest", "sea"}
    assert [column.name for column in about.signature.outputs.inputs] == ["label", "probability", "probabilities"]
    files_there = [path for path in Path(about.artifact_path).rglob("*") if path.is_file()]
    assert about.model_size_bytes == pytest.approx(sum(path.stat().st_size for path in files_there), rel=0.02)
    assert not any(b"Exif" in path.read_bytes() for path in files_there if path.suffix != ".py")


@pytest.mark.slow
def test_a_served_model_answers_over_http_where_harness_is_not_installed(
    tracked: Tracked, address: str, judged: Any, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_HARNESS)
    port = free_port(None, 5650, "--port")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracked.uri, "PYTHONPATH": str(tmp_path), "PATH": path}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", address, "--env-manager", "local"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait(lambda: answers(f"http://127.0.0.1:{port}/ping"), 90)
            files, expected = judged
            texts = [base64.b64encode(content).decode() for content in files[:3]]
            for body in (
                {"inputs": texts},
                {"instances": texts},
                {"dataframe_records": [{"image": text} for text in texts]},
                {"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]}},
            ):
                code, answer = asked(port, body)
                rows = [row["probabilities"] for row in answer["predictions"]]
                found = np.array([[row["forest"], row["sea"]] for row in rows])
                assert code == 200
                assert np.abs(found - expected[:3]).max() < 1e-5
            assert asked(port, {"inputs": [texts[0], "bm8gaW1hZ2U="]}) == (
                400,
                {
                    "error_code": "BAD_REQUEST",
                    "message": "image 2 of 2: it cannot be read: a text file",
                    "sqlstate": "KAM00",
                    "error_class": "INVALID_PARAMETER_VALUE",
                },
            )
        finally:
            kill_tree(server.pid)
            server.wait()


def answers(url: str) -> bool:
    try:
        with DIRECT.open(url, timeout=2):
            return True
    except OSError:
        return False


def asked(port: int, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with DIRECT.open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
