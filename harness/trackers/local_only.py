"""A WSGI middleware for a server of `harness ui`: only the server's own pages get an answer.

The server asks for no password, and each page in the same browser can send requests to it. A page of another site
cannot read the answers, unless its own name leads to 127.0.0.1 for a moment (DNS rebinding). Then the browser takes
both for one site, and only the Host header shows the difference. So the Host must be a name of this machine, or, with
`harness ui --host`, one of the names and addresses in `hosts.names_of`, or any IP address, which no DNS name can be.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.trackers.hosts import NAMES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Any port: with `ssh -L` the browser's port differs from the server's.
LOCAL = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
WITH_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)


def local_only(app: WSGIApplication) -> WSGIApplication:
    """Returns `app` behind a check of each request. A refused request gets HTTP 403 and the reason from `refusal`."""

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        why = refusal(environ)
        if not why:
            return app(environ, start_response)
        body = f"{why}: open http://127.0.0.1:{environ.get('SERVER_PORT', '')}/\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("403 Forbidden", [*headers, ("X-Content-Type-Options", "nosniff")])
        return [body]

    return checked


def refusal(environ: WSGIEnvironment) -> str:
    """Returns why a request is refused; an empty string if it is allowed.

    A request is refused if its Host is not this machine, if its Origin is not that Host, or if another site's page sent
    it. Following a link on another site is allowed: the browser sends a GET that opens a page in a tab.
    """
    host = environ.get("HTTP_HOST", "")
    if LOCAL.fullmatch(host) is None and not _is_own_name(host):
        return "This server answers only to the names 127.0.0.1 and localhost"
    origin = environ.get("HTTP_ORIGIN")
    own = {f"http://{host}".lower(), f"https://{host}".lower()}
    foreign = origin is not None and origin.lower() not in own
    if foreign or (environ.get("HTTP_SEC_FETCH_SITE") == "cross-site" and not _follows_link(environ)):
        return "This server answers only to its own pages, and another site's page sent this request"
    return ""


def _is_own_name(host: str) -> bool:
    """Whether a server that others can reach may be called so: by a name of this machine, or by an IP address."""
    names, match = os.environ.get(NAMES, "").split(","), WITH_PORT.fullmatch(host)
    if names == [""] or match is None:
        return False
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(match[1].strip("[]")))
    return match[1].lower() in names


def _follows_link(environ: WSGIEnvironment) -> bool:
    """Whether the page opens in a tab, not in a frame of another site's page."""
    mode, destination = environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST", "document")
    return bool(environ["REQUEST_METHOD"] == "GET" and mode == "navigate" and destination == "document")
