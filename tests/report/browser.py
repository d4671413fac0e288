"""Drives Chromium without a screen, through a pipe and the DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60.0


class Page:
    """A page. It records the logs and errors of the page's script in `said`, and all requested addresses in `asked`."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out, self._number, self._session, self._rest = into, out, 0, "", b""
        self.asked: list[str] = []
        self.said: list[str] = []
        self._around = ""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Opens an address, and waits until it is loaded."""
        self.asked, self.said = [], []
        self._send("Page.navigate", url="about:blank")
        self._send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def ask(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression in the page."""
        answer = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not self.ask(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.01)

    def press(self, key: str) -> None:
        """Presses and releases a key."""
        text = {"Enter": "\r"}.get(key, "")
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text, windowsVirtualKeyCode=code)

    def look(self, width: int, height: int = 800, dark: bool = False, media: str = "screen") -> None:
        """Sets the size of the window, the colour scheme and the medium: screen or print."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._send("Emulation.setEmulatedMedia", media=media, features=scheme)

    def open_in_frame(self, page: str, around: Path) -> None:
        """Opens HTML as MLflow shows an artifact: as a blob, in a frame that may run scripts and has no origin.

        From then on `ask` asks that page. `around` is where the page around the frame is written.
        """
        content = base64.b64encode(page.encode()).decode()
        around.write_text(
            f"<iframe id=f sandbox=allow-scripts width=900 height=700></iframe><script>var b = atob('{content}');"
            "var bytes = Uint8Array.from(b, c => c.charCodeAt(0));"
            "f.src = URL.createObjectURL(new Blob([bytes], {type: 'text/html'}))</script>"
        )
        self.open(around.as_uri())
        page_session, self._session = self._session, ""
        deadline, frames = time.monotonic() + SECONDS, []
        while not frames:
            assert time.monotonic() < deadline, "there is no frame"
            targets = self._send("Target.getTargets")["targetInfos"]
            frames = [each["targetId"] for each in targets if each["type"] == "iframe" and each["url"][:5] == "blob:"]
        self._session = self._send("Target.attachToTarget", targetId=frames[0], flatten=True)["sessionId"]
        for domain in ("Runtime", "Log"):
            self._send(f"{domain}.enable")
        self.wait("document.readyState === 'complete'")
        self._around = page_session

    def leave_frame(self) -> None:
        """Makes `ask` evaluate in the outer page again."""
        self._session = self._around

    def send(self, method: str, **values: Any) -> dict[str, Any]:
        """Sends any command of the protocol, and returns its result."""
        return self._send(method, **values)

    def _send(self, method: str, **values: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return dict(answer["result"])
            self._keep(answer)

    def _keep(self, event: dict[str, Any]) -> None:
        values = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.asked.append(values["request"]["url"])
        if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.said.append(json.dumps(values)[:500])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._out, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))


@contextlib.contextmanager
def browser(home: Path) -> Iterator[Page]:
    """Yields a page of a new browser with its profile in `home`. Skips the test if there is no browser."""
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None or os.name == "nt":  # on Windows, a process cannot inherit the descriptors
        pytest.skip("no Chromium on this machine")
    (their_in, into), (out, their_out) = os.pipe(), os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [program, *options, "--remote-debugging-pipe", f"--user-data-dir={home}"]

    def pipes() -> None:  # Chromium reads descriptor 3 and writes 4
        first, second = os.dup(their_in), os.dup(their_out)
        os.dup2(first, 3)
        os.dup2(second, 4)

    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=pipes,
    ) as process:
        os.close(their_in)
        os.close(their_out)
        try:
            yield Page(into, out)
        finally:
            process.kill()
            os.close(into)
            os.close(out)
