"""The page of `harness ui --predict`: `python -m harness.cli.predict_page CHECKPOINT SOURCE HOST PORT [--trust]`.

With `--listener` in place of host and port, standard input is a listening socket. The page predicts photographs that
are dropped on it. Each photograph comes to this process as the body of a request. Nothing is written to disk.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
import threading
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from harness.data.decode import problem, read
from harness.data.thumbnail import thumbnail
from harness.errors import HarnessError, ModelError
from harness.models.saved import SavedModel
from harness.trackers.local_only import local_only
from harness.workflows.find_model import find_model
from harness.workflows.predict.files import as_batch
from harness.workflows.predict.predictor import Predictor
from harness.workflows.predict.worth import worth_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MOST_BYTES = 64 * 2**20  # the largest file
THUMBNAIL = 480  # pixels
AT_ONCE = 2  # the most files in memory, even if the browser sends more
STATIC = {"": ("html", "text/html"), "predict.css": ("css", "text/css"), "predict.js": ("js", "text/javascript")}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ROUTES = Map(
    [
        *(Rule(f"/{name}", endpoint=f"static:{name}", methods=["GET"]) for name in STATIC),
        Rule("/about", endpoint="about", methods=["GET"]),
        Rule("/predict", endpoint="predict", methods=["POST"]),
    ]
)


class PredictPage:
    """The WSGI application.

    Args:
        saved: The model. It predicts as in `harness predict`.
        source: The name of the model that the page shows.
    """

    def __init__(self, saved: SavedModel, source: str) -> None:
        self._saved = saved
        self._source = source
        self._predictor = Predictor([saved], "cpu")  # one photograph takes milliseconds; a GPU may be busy with a run
        self._room = threading.Semaphore(AT_ONCE)

    def wsgi(self) -> WSGIApplication:
        """The application. It answers only requests from its own pages."""
        return local_only(Request.application(self._answer))

    def _answer(self, request: Request) -> Response:
        try:
            endpoint, _ = ROUTES.bind_to_environ(request.environ).match()
            if endpoint == "predict":
                response = self._predicted(request)
            elif endpoint == "about":
                response = _json({"source": self._source, "classes": self._saved.classes, "most_bytes": MOST_BYTES})
            else:
                suffix, kind = STATIC[endpoint.removeprefix("static:")]
                file = resources.files("harness.cli").joinpath(f"templates/predict.{suffix}")
                response = Response(file.read_bytes(), content_type=f"{kind}; charset=utf-8")
        except HTTPException as error:
            response = _json({"error": error.name.lower()}, error.code or 500)
        except Exception as error:  # the page shows no path of this machine
            logging.getLogger(__name__).exception("a request failed")
            response = _json({"error": f"internal error ({type(error).__name__})"}, 500)
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    def _predicted(self, request: Request) -> Response:
        if request.content_length is None:
            return _json({"error": "the request has no Content-Length"}, 411)
        if request.content_length > MOST_BYTES:
            return _json({"error": f"the file is larger than {MOST_BYTES >> 20} MB"}, 413)
        with self._room:
            content = request.stream.read(request.content_length)
            try:
                small, square = self._decoded(content)
            except ValueError as error:
                return _json({"error": str(error)}, 422)
            try:
                (shares,) = self._predictor.probabilities(as_batch([square])).tolist()
            except ModelError as error:
                return _json({"error": error.what}, 500)
        classes = sorted(zip(self._saved.classes, shares, strict=True), key=lambda pair: -pair[1])
        return _json({"classes": classes, "thumbnail": f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"})

    def _decoded(self, content: bytes) -> tuple[bytes, NDArray[np.uint8]]:
        """Returns a JPEG to show, and the pixels (H, W, C) for the model. Raises ValueError with the reason."""
        made: list[tuple[bytes, NDArray[np.uint8]]] = []

        def make(content: bytes) -> None:
            raw = read(content)
            preparation = self._saved.transform.preparation.alone(raw)
            picture = preparation.picture(raw)
            made.append((thumbnail(picture, THUMBNAIL), preparation.array(picture)))

        why = problem(content, make)
        if why:
            raise ValueError(f"the file cannot be read ({why})")
        return made[0]


def _json(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def main(checkpoint: str, source: str, host: str, port: int, trusted: bool, listener: int | None = None) -> None:
    """Serves on a port, or on the socket with the file descriptor `listener`, until a signal ends the process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # without this, it writes a line for each request
    worth = worth_of(Path(checkpoint))
    page = PredictPage(find_model(checkpoint, trust=trusted).saved, f"{source}, accuracy {worth}" if worth else source)
    make_server(host, port, page.wsgi(), threaded=True, fd=listener).serve_forever()


if __name__ == "__main__":
    own = [argument for argument in sys.argv[1:] if argument != "--trust"]
    trust = "--trust" in sys.argv[3:]
    try:
        if own[2] == "--listener":
            main(own[0], own[1], "127.0.0.1", 0, trust, listener=sys.stdin.fileno())
        else:
            main(own[0], own[1], own[2], int(own[3]), trust)
    except HarnessError as error:
        sys.exit(f"{error.what}: {error.why} ({error.fix})")
