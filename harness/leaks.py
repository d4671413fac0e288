"""Keys and tokens where git keeps or would keep them: in the tree, in what is about to be committed, in the history.

What a secret looks like is known by `detect-secrets`, and for what that does not know by the patterns below. What is
found is told by its place and kind, and never quoted.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from harness.errors import HarnessError
from harness.git import ask_git

# modules of detect-secrets whose patterns hardly ever fit anything else; not those that guess by entropy or by a name
DETECTORS = {
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
}
OURS = {
    "Private Key": (  # with what follows it: code may well name its first line
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:Proc-Type|DEK-Info|Version|Comment|Charset|Hash): ?[^\n]*|\\[nr]|[\s\"'+,\\#>*;]|//)*"
        r"[A-Za-z0-9+/=]{20}"
    ),
    "private key of SSH2 or PuTTY": r"-{4} BEGIN SSH2 ENCRYPTED PRIVATE KEY|PuTTY-User-Key-File-[23]:",
    "private key in base64": (  # -----BEGIN PRIVATE KEY, of RSA, of OpenSSH
        r"LS0tLS1CRUdJTiB(?:QUklWQVRFIEtFWS|SU0EgUFJJVkFURSBLRV|PUEVOU1NIIFBSSVZBVEUgS0VZ)[A-Za-z0-9+/]{40}"
    ),
    "Google service account key": r"""["']private_key_id\\*["']\s*:\s*\\*["'][0-9a-f]{40}""",
    "Google service account key in base64": (  # the word service_account, wherever it begins among three bytes
        r"(?:c2VydmljZV9hY2NvdW50|zZXJ2aWNlX2FjY291bn|NlcnZpY2VfYWNjb3Vud)[A-Za-z0-9+/]{100}"
    ),
    "Google API key": r"\bAIza[0-9A-Za-z_\-]{35}(?![\w\-])",
    "Google OAuth client secret": r"\bGOCSPX-[0-9A-Za-z_\-]{28}(?![\w\-])",
    "Google OAuth token": r"\bya29\.[0-9A-Za-z_\-]{20,}",
    "Google OAuth refresh token": r"(?<![\w/.\-])1//0[0-9A-Za-z_\-]{40,}",
    "GitHub token": r"\bgithub_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}\b",
    "AWS Access Key": r"(?<![A-Za-z0-9+/])(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9+/=])",
    "AWS secret key": r"(?i)aws_?secret_?(?:access_?)?key[\"']?\s*[=:]\s*[\"']?[0-9a-z/+]{40}(?![0-9a-z/+=])",
    "NPM token": r":_authToken\s*=\s*(?:npm_[0-9A-Za-z]{36}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
    "Anthropic token": r"\bsk-ant-[a-z0-9]+-[0-9A-Za-z_\-]{80,}",
    "Hugging Face token": r"\bhf_[0-9A-Za-z]{34}\b",
}
SUBMODULE = "160000"  # git's mode of one: it has a history of its own
LARGEST = 50_000_000  # bytes of a file: a longer one is data


@dataclass(frozen=True)
class Leak:
    """One secret: where, and of what kind."""

    kind: str
    path: str
    line: int
    commit: str = ""  # in the history: the commit that added it

    def __str__(self) -> str:
        return f"{self.kind} in {self.path}, line {self.line}" + (f", commit {self.commit[:10]}" if self.commit else "")


def in_text(text: str, path: str) -> list[Leak]:
    """The secrets in a text, one of a kind for each line."""
    found = {
        (kind, text.count("\n", 0, match.start()) + 1)
        for kind, pattern in _patterns()
        for match in pattern.finditer(text)
    }
    return [Leak(kind, path, line) for kind, line in sorted(found, key=lambda leak: (leak[1], leak[0]))]


def in_tree(root: Path = Path()) -> list[Leak]:
    """Those in files that git has, or would take with the next `git add`."""
    root = _top(root)
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    leaks = []
    for name in sorted({*filter(None, names)}):
        try:
            path = root / name
            content = path.read_bytes() if _is_short_file(path) else b""
        except OSError:
            continue
        leaks += _in_bytes(content, name)
    return leaks


def tracked_names(root: Path = Path()) -> set[str]:
    """The files that git has, or that the next commit adds."""
    root = _top(root)
    return {name for name in _git(root, "ls-files", "-z", "--cached").split("\0") if name}


def in_index(root: Path = Path()) -> list[Leak]:
    """Those in what the next commit would add or change."""
    root = _top(root)
    changes = _git(
        root, "diff", "--cached", "--no-relative", "--raw", "--no-abbrev", "--no-renames", "-z", "--diff-filter=ACMT"
    )
    fields = changes.split("\0")
    pairs = [(described.split(), name) for described, name in zip(fields[::2], fields[1::2], strict=False)]
    named = [(described[3], name) for described, name in pairs if described[1] != SUBMODULE]
    return [leak for _, name, content in _blobs(root, named) for leak in _in_bytes(content, name)]


def in_history(root: Path = Path()) -> list[Leak]:
    """Those that any commit of any branch, tag or stash ever held, also where a later one took them away.

    Every version of every file is looked at, whatever git thinks of it as text. Raises HarnessError where git cannot
    read all of them.
    """
    root = _top(root)
    everywhere = ["--all", *_git(root, "stash", "list", "--format=%H").split()]
    listed = (line.partition(" ") for line in _git(root, "rev-list", "--objects", *everywhere).split("\n"))
    leaks = []
    for sha, name, content in _blobs(root, [(own, name) for own, _, name in listed if name]):
        found = _in_bytes(content, name)
        if found:
            commits = _git(root, "log", *everywhere, "-m", "--reverse", "--format=%H", f"--find-object={sha}").split()
            leaks += [replace(leak, commit=commits[0] if commits else "") for leak in found]
    return leaks


def is_shallow(root: Path = Path()) -> bool:
    """Whether the history was cut short when it was cloned."""
    return _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def _top(root: Path) -> Path:
    """The folder of the whole repository: a search that began below it would not see all."""
    return Path(_git(root, "rev-parse", "--show-toplevel").rstrip("\n"))


def _blobs(root: Path, named: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, bytes]]:
    """(object, name, content) of each that is a file and not too long."""
    with subprocess.Popen(
        ["git", "-C", str(root), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018
        for sha, name in named:
            process.stdin.write(f"{sha}\n".encode())
            process.stdin.flush()
            _, kind, *size = process.stdout.readline().decode().split()
            if not size:
                raise HarnessError("git cannot read its own history", f"{sha} of {name}: {kind}", "git fsck")
            content = process.stdout.read(int(size[0]) + 1)[:-1]
            if kind == "blob" and len(content) <= LARGEST:
                yield sha, name, content


def _is_short_file(path: Path) -> bool:
    """Of a link git keeps where it leads, and not what lies there."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST


def _in_bytes(content: bytes, path: str) -> list[Leak]:
    """Zeros are passed over, so that a text of two bytes a letter is read, too."""
    return in_text(content.replace(b"\0", b"").decode("utf-8", "replace"), path)


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    patterns = [(kind, re.compile(pattern)) for kind, pattern in OURS.items()]
    for module, name in DETECTORS.items():
        detector = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
        patterns += [(detector.secret_type, pattern) for pattern in detector.denylist]
    return patterns


def _git(root: Path, *arguments: str) -> str:
    return ask_git(root, *arguments).decode("utf-8", "surrogateescape")
