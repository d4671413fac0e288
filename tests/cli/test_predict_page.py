"""The page that predicts photographs answers the requests of a browser."""

from __future__ import annotations

import base64
import io
import re
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from werkzeug.test import Client, TestResponse

from harness.cli.predict_page import MOST_BYTES, PredictPage
from harness.data.prepare import Preparation
from harness.data.transforms import Transform
from harness.models.saved import SavedModel
from tests.conftest import Outcome

OWN = {"Host": "127.0.0.1:8090", "Origin": "http://127.0.0.1:8090", "Sec-Fetch-Site": "same-origin"}
HOSTILE = "<img src=x onerror=alert(1)>"


class Halves(torch.nn.Module):
    """A model with three logits: the brightness of the left half, of the top half, and 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        left, top = images[..., :4].mean((1, 2, 3)), images[:, :, :4].mean((1, 2, 3))
        return torch.stack([left, top, torch.zeros_like(left)], 1)


@pytest.fixture
def client() -> Client:
    transform = Transform(Preparation(image_size=8), (0.5,) * 3, (0.5,) * 3)
    classes = ("left", "top", HOSTILE)
    saved = SavedModel(Halves(), "halves", classes, transform, {}, None, None, temperature=0.25)
    return Client(PredictPage(saved, "champion 7").wsgi())


def photograph(**options: Any) -> bytes:
    """A photograph that is bright on the left."""
    image = Image.new("L", (80, 40))
    image.paste(255, (0, 0, 40, 40))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def sent(client: Client, content: bytes, **headers: str) -> TestResponse:
    return client.post("/predict", data=content, headers={**OWN, **headers})


def test_predict_page_returns_classes_and_a_thumbnail(client: Client) -> None:
    answer = sent(client, photograph())
    assert answer.status_code == 200
    content = answer.get_json()
    assert [name for name, _ in content["classes"]] == ["left", "top", HOSTILE]
    logits = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64) / 0.25
    assert [share for _, share in content["classes"]] == pytest.approx(logits.softmax(0).tolist(), abs=0.01)
    kind, _, text = content["thumbnail"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as small:
        assert small.size == (80, 40)


def test_predict_page_rotates_by_exif_and_removes_exif(client: Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to show"
    exif[0x010E] = "secret"
    content = sent(client, photograph(exif=exif)).get_json()
    assert content["classes"][0][0] == "top"
    small = base64.b64decode(content["thumbnail"].partition(",")[2])
    assert b"secret" not in small
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (40, 80)


@pytest.mark.parametrize(
    ("content", "status", "why"),
    [
        (b"hello", 422, "a text file"),
        (b"<html>404</html>", 422, "an HTML page"),
        (photograph()[:-150], 422, "truncated"),
        (b"\0" * (MOST_BYTES + 1), 413, "larger than 64 MB"),
    ],
    ids=["text", "html", "truncated", "large"],
)
def test_predict_page_refuses_other_files_with_a_reason(client: Client, content: bytes, status: int, why: str) -> None:
    answer = sent(client, content)
    assert answer.status_code == status
    assert why in answer.get_json()["error"]


def test_predict_page_hides_paths_if_the_model_fails(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError("/home/somebody/secret")

    monkeypatch.setattr(Halves, "forward", fail)
    answer = sent(client, photograph())
    assert (answer.status_code, answer.get_json()) == (500, {"error": "internal error (OSError)"})
    assert "/home/somebody/secret" in caplog.text  # for the terminal


def test_predict_page_reports_nan_probabilities(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Halves, "forward", lambda _, images: torch.full((len(images), 3), torch.nan))
    answer = sent(client, photograph())
    assert (answer.status_code, answer.get_json()) == (500, {"error": "the model returns nan or inf for 1 of 1 images"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_predict_page_refuses_requests_of_other_sites(client: Client, headers: dict[str, str]) -> None:
    answer = sent(client, photograph(), **headers)
    assert answer.status_code == 403
    assert "left" not in answer.text
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_predict_page_policy_allows_only_its_own_files(client: Client) -> None:
    for path, status in {"/": 200, "/predict.js": 200, "/predict.css": 200, "/about": 200, "/other": 404}.items():
        answer = client.get(path, headers=OWN)
        assert answer.status_code == status
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
    assert client.get("/about", headers=OWN).get_json()["source"] == "champion 7"
    assert client.get("/predict", headers=OWN).status_code == 405
    assert client.get("/..%2fmain.py", headers=OWN).status_code == 404


def test_predict_page_templates_load_nothing_and_build_no_html() -> None:
    folder = resources.files("harness.cli").joinpath("templates")
    texts = {kind: folder.joinpath(f"predict.{kind}").read_text() for kind in ("html", "css", "js")}
    assert not re.search(
        r"https?://|//[a-z]", "".join(re.sub(r"^\s*//.*$", "", text, flags=re.M) for text in texts.values())
    )
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval", texts["js"])
    assert "style=" not in texts["html"]  # the content security policy allows no inline style
    assert "<label for=" in texts["html"]
    assert 'role="status"' in texts["html"]


def test_ui_reports_a_missing_model(call: Callable[..., Outcome], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("ui", "--only", "predict")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "there is no model to use" in outcome.error_lines[0]
    outcome = call("ui", "--only", "predict", "--predict", "nothing.pt")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)


def test_ui_reports_a_port_in_use(call: Callable[..., Outcome], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"never read")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        outcome = call("ui", "--only", "predict", "--predict", "model.pt", "--predict-port", port)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert f"port {port} cannot be used" in outcome.error_lines[0]
    assert "--predict-port" in outcome.error_lines[2]
