from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from harness.trackers.local_only import local_only

HERE = "127.0.0.1:6006"
TAB = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FRAME = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
OTHER_SITE = {"Host": HERE, "Sec-Fetch-Site": "cross-site"}


def ask(method: str, headers: dict[str, str]) -> tuple[str, str]:
    """The status and the text of the answer to a request."""
    statuses: list[str] = []

    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"the page"]

    variables = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ = {"REQUEST_METHOD": method, "SERVER_PORT": "6006", **variables}
    body = local_only(app)(environ, lambda status, _headers: statuses.append(status))  # type: ignore[arg-type, return-value]
    return statuses[0], b"".join(body).decode()


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"Host": HERE}),
        ("GET", {"Host": "localhost:6006"}),
        ("GET", {"Host": "[::1]:6006"}),
        ("GET", {"Host": "localhost"}),
        ("GET", {"Host": "127.0.0.1:16006"}),  # `ssh -L 16006:127.0.0.1:6006`
        ("GET", {"Host": "LocalHost:6006"}),
        ("POST", {"Host": HERE, "Origin": f"http://{HERE}"}),
        ("DELETE", {"Host": HERE, "Origin": f"http://{HERE}", "Sec-Fetch-Site": "same-origin"}),
        ("POST", {"Host": "localhost:16006", "Origin": "https://localhost:16006"}),
        ("POST", {"Host": "LOCALHOST:6006", "Origin": "http://localhost:6006"}),
        ("GET", {"Host": HERE, "Sec-Fetch-Site": "none", **TAB}),
        ("GET", {**OTHER_SITE, **TAB}),
        ("GET", {**OTHER_SITE, "Sec-Fetch-Mode": "navigate"}),
    ],
    ids=str,
)
def test_local_only_allows_requests_of_its_own_pages(method: str, headers: dict[str, str]) -> None:
    assert ask(method, headers) == ("200 OK", "the page")


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:6006",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.1.nip.io:6006",
        "localhost@evil.example",
        "localhost:6006@evil.example",
        "evil.example,localhost",  # two Host headers
        "localhost.",
        "127.0.0.1.:6006",
        "127.0.0.2",
        "127.1",
        "0.0.0.0:6006",
        "2130706433",
        "[::1",
        "::1",
        "[::ffff:127.0.0.1]",
        "localhost:",
        "localhost:port",
        "localhost:123456",
        "localhost:6006 ",
        " localhost",
        "localhost\n",
        "localhost/",
        "http://localhost",
    ],
)
def test_local_only_refuses_a_foreign_or_malformed_host(host: str | None) -> None:
    status, text = ask("GET", {} if host is None else {"Host": host})
    assert status == "403 Forbidden"
    assert text == "This server answers only to the names 127.0.0.1 and localhost: open http://127.0.0.1:6006/\n"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        *((method, {"Host": HERE, "Origin": "http://evil.example"}) for method in ("GET", "POST", "DELETE", "OPTIONS")),
        ("POST", {"Host": HERE, "Origin": "null"}),
        ("POST", {"Host": HERE, "Origin": ""}),
        ("POST", {"Host": HERE, "Origin": "http://127.0.0.1:8080"}),
        ("POST", {"Host": HERE, "Origin": "http://127.0.0.1"}),
        ("POST", {"Host": HERE, "Origin": "http://localhost:6006"}),
        ("POST", {"Host": HERE, "Origin": f"http://{HERE}/"}),
        ("POST", {"Host": HERE, "Origin": f"http://{HERE}.evil.example"}),
        ("POST", {"Host": HERE, "Origin": f"http://{HERE}@evil.example"}),
        ("POST", {"Host": HERE, "Origin": f"ftp://{HERE}"}),
        ("POST", {"Host": HERE, "Origin": HERE}),
        ("POST", {"Host": HERE, "Origin": f"http://{HERE},http://evil.example"}),
        ("GET", {**OTHER_SITE, "Sec-Fetch-Mode": "no-cors"}),
        ("GET", {**OTHER_SITE, "Sec-Fetch-Mode": "cors"}),
        ("GET", OTHER_SITE),
        ("GET", {**OTHER_SITE, **FRAME}),
        ("POST", {**OTHER_SITE, **TAB}),  # a form of another site's page
        ("GET", {**OTHER_SITE, **TAB, "Origin": "http://evil.example"}),
    ],
    ids=str,
)
def test_local_only_refuses_pages_of_another_site(method: str, headers: dict[str, str]) -> None:
    status, text = ask(method, headers)
    assert status == "403 Forbidden"
    assert text.startswith("This server answers only to its own pages")
    assert text.endswith("open http://127.0.0.1:6006/\n")


@pytest.mark.parametrize("host", ["box.example", "BOX.example:6006", "192.0.2.7:6006", "[2001:db8::1]:6006", HERE])
def test_local_only_follows_the_host_option(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`harness ui --host`: an IP address is no name of another site, so it is safe."""
    monkeypatch.setenv("HARNESS_UI_HOSTS", "box,box.example")
    assert ask("GET", {"Host": host})[0] == "200 OK"
    assert ask("POST", {"Host": host, "Origin": f"http://{host}"})[0] == "200 OK"
    assert ask("POST", {"Host": host, "Origin": "http://evil.example"})[0] == "403 Forbidden"


@pytest.mark.parametrize(
    "host", ["evil.example", "box.example.evil.example", "box.example:6006:1", "x@box.example", ""]
)
def test_local_only_refuses_other_names_with_the_host_option(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_UI_HOSTS", "box,box.example")
    assert ask("GET", {"Host": host})[0] == "403 Forbidden"
