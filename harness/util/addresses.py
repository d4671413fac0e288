"""Removes secrets from the addresses of databases, servers and remotes, before they are printed or recorded.

An address may contain a password or a token anywhere: before the host, in the path, in the query, or as the host. So
the address of a server is shortened to scheme and host. The address of a file keeps its path.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_plus

# Schemes whose addresses begin with a host, a bucket or the id of a folder. With other schemes it may be a token.
DATABASES = frozenset(("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "redis", "rediss"))
SERVERS = frozenset(("http", "https", "ftp", "ftps", "sftp", "ssh", "scp", "grpc", "grpcs", "webdav", "webdavs"))
HADOOP = frozenset(("hdfs", "webhdfs", "swebhdfs"))
CLOUDS = frozenset(("s3", "s3a", "gs", "gcs", "gdrive", "azure", "abfs", "abfss", "wasb", "wasbs", "adl", "oss"))
HOSTS = DATABASES | SERVERS | HADOOP | CLOUDS
FILES = frozenset(("sqlite", "file"))
NO_HOSTS = frozenset(("databricks", "uc"))  # schemes followed by a profile or a token
UNKNOWN = "…"  # replaces a host that may be a secret
HIDDEN = "***"
SHORTEST = 4  # least characters of a part to hide in a text; a shorter part may be in ordinary words
ID_DIGITS = 16

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,60})://")  # two letters at least: `C://x` is a path
ONE_HOST = r"(?:[\w.-]+|\[[\w:.%]+\])(?::\d*)?"
HOST = re.compile(rf"{ONE_HOST}(?:,{ONE_HOST})*")
FULL_HOST = re.compile(r"(?:[^@]*@)?(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[\w:.%]+\])(?::\d*)?")
USER = re.compile(r"[^/\\@:]{2,}:[^/\\@]+@")  # before a host without a scheme
PAIR = re.compile(
    r"""((?<!\w)\w*(?:pass|pwd|token|secret|key|signature|credential)\w*|\bsig)=(?:'[^'\n]*'|"[^"\n]*")?[^&\s]*""",
    re.IGNORECASE,
)
HEADER = re.compile(r"\b(Bearer|Basic)\s+(?=[^\s'\"]*[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
NAMED = re.compile(r"""((?<!\w)\w*(?:password|passwd|token|secret)\w*["']?\s*:\s*["']?)[\w.~+/=-]{8,}""", re.IGNORECASE)
# Variables whose values are secrets: of MLflow, Databricks, DVC's remotes, Optuna's databases
SECRET_NAME = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|ACCESS_KEY|API_KEY|CONNECTION_STRING|CREDENTIALS_DATA)$")
SHORTEST_SECRET = 6  # least characters of such a value; a shorter value may be in ordinary words
CLOSING = "'\"`)]}>.,;:!?"  # punctuation that may follow an address in a text


@dataclass(frozen=True)
class _Address:
    scheme: str = ""  # empty for the path of a file
    user: str = ""  # includes the password
    host: str = ""  # includes the port
    path: str = ""
    query: str = ""  # includes the fragment
    certain: bool = True  # False if the host may be a part of the password

    def has_scheme_of(self, known: frozenset[str]) -> bool:
        return not known.isdisjoint(self.scheme.lower().split("+"))


def short_address(uri: str) -> str:
    """Shortens an address for printing: `scheme://host:port`, `scheme://…`, or the path of a file.

    Example:
        >>> short_address("postgresql://me:secret@db:5432/mlflow?sslmode=require")
        'postgresql://db:5432'
        >>> short_address("databricks://TOKEN")
        'databricks://…'
        >>> short_address("sqlite:///mlflow.db")
        'sqlite:///mlflow.db'
    """
    uri = uri.strip()
    if "://" in uri and SCHEME.match(uri) is None:  # such as jdbc:postgresql://
        return without_secrets(uri)
    address = _parsed(uri)
    if not address.scheme:
        return _without_pairs(address.path)
    if address.has_scheme_of(FILES):
        known, name = True, _without_pairs(address.path)
    else:
        known = address.has_scheme_of(HOSTS) and not address.has_scheme_of(NO_HOSTS)
        known, name = known and HOST.fullmatch(address.host) is not None, address.host
    return f"{address.scheme}://{name if known and address.certain else UNKNOWN}"


def address_id(uri: str) -> str:
    """Returns an id of a store: 16 hexadecimal digits of the SHA-256 of its address without user and query."""
    address = _parsed(uri.strip())
    text = "\n".join((address.scheme.lower(), address.host, address.path.rstrip("/")))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:ID_DIGITS]


def has_secrets(uri: str) -> bool:
    """Returns whether an address contains a user, a password or a query."""
    rest = uri.partition("://")[2]
    return "@" in rest or "?" in rest or PAIR.search(uri) is not None


def without_secrets(text: str, *about: str) -> str:
    """Shortens the addresses in a text, and replaces passwords, tokens and keys by `***`.

    These are the values after `password=`, `token: ` or `Bearer `, and the values of environment variables with the
    name of a secret, such as `MLFLOW_TRACKING_TOKEN`.

    Args:
        text: An error message, a traceback or a log.
        about: Addresses that the text is about. Each part of them that `short_address` removes becomes `***`, even if
            the text contains only this part.
    """
    known = sorted({uri.strip() for uri in about if SCHEME.match(uri.strip())}, key=len, reverse=True)
    pieces = re.split("(" + "|".join(rf"{re.escape(uri)}\S*" for uri in known) + ")", text) if known else [text]
    for i, piece in enumerate(pieces):
        pieces[i] = short_address(piece.rstrip(CLOSING)) + _closing(piece) if i % 2 else _shortened(piece)
    text = NAMED.sub(rf"\1{HIDDEN}", HEADER.sub(rf"\1 {HIDDEN}", _without_pairs("".join(pieces))))
    hidden = {part for uri in about for part in _left_out(uri.strip())} | _secrets()
    for part in sorted(hidden, key=len, reverse=True):
        text = text.replace(part, HIDDEN)
    return text


def typed_without_secrets(arguments: Iterable[str]) -> list[str]:
    """Shortens the address in each argument of a command line."""
    return [_typed(argument) for argument in arguments]


def addresses(texts: Iterable[str]) -> list[str]:
    """Returns the address in each text that has one, such as `--storage=ADDRESS`. It ends at the end of the text."""
    return [text[match.start() :] for text in texts if (match := SCHEME.search(text)) is not None]


def _secrets() -> set[str]:
    values = {value.strip() for name, value in os.environ.items() if SECRET_NAME.search(name.upper())}
    return {value for value in values if len(value) >= SHORTEST_SECRET}


def _typed(argument: str) -> str:
    for uri in addresses([argument]):
        return _without_pairs(argument.removesuffix(uri)) + short_address(uri)
    return _without_pairs(argument)


def _without_pairs(text: str) -> str:
    return PAIR.sub(rf"\1={HIDDEN}", text)


def _parsed(uri: str) -> _Address:
    match = SCHEME.match(uri)
    if match is None:
        user = USER.match(uri)
        path, _, query = uri.removeprefix(user[0] if user else "").partition("?")
        return _Address(user=user[0][:-1] if user else "", path=path, query=query)
    rest, bare = uri[match.end() :], _Address(match[1])
    if bare.has_scheme_of(FILES):
        user_part, _, rest = ("", "", rest) if rest.startswith("/") else rest.rpartition("@")
        path, _, query = rest.partition("?")
        return _Address(match[1], user_part, "", path, query, not user_part or path.startswith("/"))
    user_part, host, tail, certain = _authority(rest, bare.has_scheme_of(DATABASES))
    path = re.split(r"[?#]", tail, maxsplit=1)[0]
    return _Address(match[1], user_part, host, path, tail[len(path) + 1 :], certain)


def _authority(rest: str, database: bool) -> tuple[str, str, str, bool]:
    """(user, host, the rest, whether the host is certain) of what follows `://`.

    A password that is not URL-encoded may contain "@". SQLAlchemy also accepts "/", "?" and "#" in it.
    """
    host, tail = _cut(rest)
    user, _, host = host.rpartition("@")
    if "@" not in tail:
        return user, host, tail, True
    if not user and HOST.fullmatch(host) and (not database or (":" not in host and tail.startswith("/"))):
        return user, host, tail, True  # the "@" belongs to the path
    no_host = not user and ":" in host and HOST.fullmatch(host) is None
    user, _, after = rest.rpartition("@")
    return user, *_cut(after), no_host and rest.count("@") == 1


def _cut(rest: str) -> tuple[str, str]:
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return host, rest[len(host) :]


def _shortened(text: str) -> str:
    done, at = "", 0
    while (match := SCHEME.search(text, at)) is not None:
        end = match.end() + len(_after_scheme(text[match.end() :].partition("\n")[0]))
        done += text[at : match.start()] + short_address(text[match.start() : end])
        at = end
    return done + text[at:]


def _after_scheme(line: str) -> str:
    """The part of an address at the beginning of `line`: up to the first space that is not in the password."""
    word = line.split(maxsplit=1)[0] if line[:1].strip() else ""
    following = SCHEME.search(line, len(word))
    line = line[: following.start()] if following else line
    if "@" in line[len(word) :] and not _is_whole(word.rstrip(CLOSING)):
        start, _, end = line.rpartition("@")
        word = f"{start}@{end.split(maxsplit=1)[0] if end[:1].strip() else ''}"
    return word.rstrip(CLOSING)


def _is_whole(word: str) -> bool:
    """Whether it has a host. If it only begins with `user:`, the password may contain a space and continue."""
    authority = _cut(word)[0]
    return FULL_HOST.fullmatch(authority) is not None or not {"@", ":"} & set(authority)


def _closing(word: str) -> str:
    return word[len(word.rstrip(CLOSING)) :]


def _left_out(uri: str) -> set[str]:
    """The parts of an address that `short_address` removes, also URL-decoded and URL-encoded."""
    address, short = _parsed(uri), short_address(uri)
    rest = uri.partition("://")[2] if address.scheme else f"{address.user}@{address.query}"
    parts = {rest, address.user, *address.user.partition(":"), address.query, *re.split(r"[/?#&=:@;]", rest)}
    forms = {form for part in parts for form in (part, unquote(part), unquote_plus(part), quote(part, safe=""))}
    return {form for form in forms if len(form) >= SHORTEST and form not in short}
