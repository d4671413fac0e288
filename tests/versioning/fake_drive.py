"""A fake of Google's Drive API (v2) on this machine, with the parts that DVC's client uses.

The address of the API is fixed in Google's client, so `redirect` gives a folder for PYTHONPATH whose `sitecustomize.py`
sends its requests here. The key of a service account names its own token server, and needs no such thing.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FOLDER_TYPE = "application/vnd.google-apps.folder"
SAID = {  # Google's message for each reason
    "storageQuotaExceeded": "Service Accounts do not have storage quota. Leverage shared drives instead.",
    "insufficientFilePermissions": "The user does not have sufficient permissions for this file.",
}
REDIRECT = """
import os

import httplib2

real = httplib2.Http.request


def request(self, uri, *arguments, **options):
    return real(self, uri.replace("https://www.googleapis.com", os.environ["FAKE_DRIVE"]), *arguments, **options)


httplib2.Http.request = request
"""


@dataclass
class Drive:
    """The files on the drive, and the requests that it refuses."""

    address: str = ""
    folder: str = "1aTeamFolderOfOurs0000"
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    refuse: tuple[int, str] | None = None  # (status, reason) of every upload
    bad_key: bool = False  # the token server refuses
    hidden: bool = False  # the folder is not shared with the account

    def __post_init__(self) -> None:
        self.files[self.folder] = {"id": self.folder, "title": "ours", "mimeType": FOLDER_TYPE, "parents": []}

    def matching(self, query: str) -> list[dict[str, Any]]:
        parents = set(re.findall(r"'([^']+)' in parents", query))
        titles = set(re.findall(r"title\s*=\s*'([^']+)'", query))
        return [
            file
            for file in self.files.values()
            if (not parents or parents & {parent["id"] for parent in file["parents"]})
            and (not titles or file["title"] in titles)
        ]

    def add(self, described: dict[str, Any], content: bytes | None) -> dict[str, Any]:
        own = uuid.uuid4().hex
        made = {"id": own, "mimeType": "application/octet-stream", "labels": {"trashed": False}, **described}
        made["parents"] = [{"id": parent["id"]} for parent in described.get("parents", [])]
        if content is not None:
            made |= {"fileSize": str(len(content)), "downloadUrl": f"{self.address}/content/{own}"}
            self.contents[own] = content
        self.files[own] = made
        return made


@contextmanager
def running() -> Iterator[Drive]:
    """A drive that answers until the end of the block."""
    drive = Drive()
    uploads: dict[str, dict[str, Any]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def refuse(self, status: int, reason: str, message: str) -> None:
            errors = [{"domain": "usageLimits", "reason": reason, "message": message}]
            self.answer({"error": {"errors": errors, "code": status, "message": message}}, status)

        def do_GET(self) -> None:
            where = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(where.query).items()}
            own = where.path.rpartition("/")[2]
            if where.path == "/drive/v2/about":
                self.answer({"rootFolderId": "root"})
            elif where.path == "/drive/v2/files":
                self.answer({"items": [] if drive.hidden else drive.matching(asked.get("q", ""))})
            elif own in drive.contents and (asked.get("alt") == "media" or where.path.startswith("/content/")):
                self.send_content(drive.contents[own])
            elif own in drive.files and not drive.hidden:
                self.answer(drive.files[own])
            else:
                self.refuse(404, "notFound", f"File not found: {own}")

        def send_content(self, content: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, last = (int(wanted[1]), min(int(wanted[2]), len(content) - 1)) if wanted else (0, len(content) - 1)
            span = f"bytes {first}-{last}/{len(content)}"
            self.answer(content[first : last + 1], 206 if wanted else 200, {"Content-Range": span})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            where = urlsplit(self.path)
            if where.path == "/token":
                if drive.bad_key:
                    self.answer({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
                else:
                    self.answer({"access_token": "of-no-worth", "expires_in": 3600, "token_type": "Bearer"})
            elif where.path == "/drive/v2/files":
                self.answer(drive.add(json.loads(body), None))
            elif drive.refuse is not None:
                self.refuse(*drive.refuse, SAID[drive.refuse[1]])
            else:
                own = uuid.uuid4().hex
                uploads[own] = json.loads(body)
                self.answer({}, 200, {"Location": f"{drive.address}/upload/{own}"})

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(drive.add(uploads.pop(urlsplit(self.path).path.rpartition("/")[2]), content))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    drive.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield drive
    finally:
        server.shutdown()
        server.server_close()


def redirect(folder: Path) -> Path:
    """A folder for PYTHONPATH, which makes Google's client use $FAKE_DRIVE."""
    (folder / "sitecustomize.py").write_text(REDIRECT, encoding="utf-8")
    return folder


def key(drive: Drive) -> dict[str, str]:
    """A service account's key, created for this test, whose tokens come from the fake."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "project_id": "ours",
        "private_key_id": "0" * 40,
        "private_key": text,
        "client_email": "robot@ours.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{drive.address}/token",
    }
