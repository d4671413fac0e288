"""Types that validate values from files before they are used.

Runs, checkpoints, `.dvc` files and studies may come from untrusted authors. Each value in them is validated by one of
these types when its file is read.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, with_config

T = TypeVar("T")
record = with_config(ConfigDict(strict=True, extra="allow"))  # "5" is not 5; fields of newer versions are kept
# names of experiments and studies: valid as a folder on every system, and never an option of a program
NAME = re.compile(r"(?!-)[a-z0-9._-]{0,99}[a-z0-9_-]")
LONGEST = 100_000  # characters of a text
LONGEST_PATH = 4096
LONGEST_NAME = 255  # bytes of a file's name
LARGEST = 64 * 2**20  # bytes of a record
QUOTED = 80  # characters of a value in an error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    if len(value) > LONGEST:
        raise ValueError(f"it has {len(value)} characters; at most {LONGEST} are read")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("it must be text: a part of it is neither a byte nor a letter") from None
    return value


def _name(value: str) -> str:
    if NAME.fullmatch(value) is None:
        raise ValueError("it must be a name: lower-case letters, digits, '.', '_' and '-'")
    return value


def _path(value: str) -> str:
    if not value or "\0" in value or len(value) > LONGEST_PATH:
        raise ValueError("it must be a path")
    return value


def path_below(value: str, anywhere: bool = False) -> str:
    """Returns `value` if it is a path below its folder: on this system, or with `anywhere` also on Windows.

    Raises SchemaError if it is absolute, contains "..", or has a part that is too long for a file system.
    """
    windows = anywhere or os.name == "nt"
    parts = (value.replace("\\", "/") if windows else value).split("/")
    odd = not parts[0] or (windows and value[1:2] == ":") or "\0" in value
    if odd or ".." in parts or any(len(part.encode("utf-8", "surrogateescape")) > LONGEST_NAME for part in parts):
        raise SchemaError("it must be a path that stays below its folder")
    return value


def _class_name(value: str) -> str:
    if value in ("", ".", "..") or "/" in value or "\0" in value or len(value) > 255:
        raise ValueError("it must be the name of a folder")
    return value


def _moment(value: str) -> str:
    moment = datetime.fromisoformat(value)
    if not 1990 <= moment.year <= 2200:
        raise ValueError("it must be a year from 1990 to 2200")
    return value


def _like(pattern: str, takes: str) -> AfterValidator:
    """A validator of texts by a regular expression; `takes` describes it for the error."""
    known = re.compile(pattern)

    def check(value: str) -> str:
        if known.fullmatch(value) is None:
            raise ValueError(f"it must be {takes}")
        return value

    return AfterValidator(check)


Text = Annotated[str, PlainValidator(_text)]  # also with bytes that are not UTF-8, as in some file names
Name = Annotated[Text, AfterValidator(_name)]
AnyPath = Annotated[Text, AfterValidator(_path)]  # a path to read from, in any folder
PathBelow = Annotated[AnyPath, AfterValidator(path_below)]  # relative, without ".."
PathBelowAnywhere = Annotated[AnyPath, AfterValidator(lambda value: path_below(value, anywhere=True))]
ClassName = Annotated[Text, AfterValidator(_class_name)]
Moment = Annotated[Text, AfterValidator(_moment)]  # in the format of datetime.isoformat
Digest = Annotated[Text, _like(r"[0-9a-f]{32}(\.dir)?", "an MD5: 32 hexadecimal digits, and .dir of a folder")]
FileDigest = Annotated[Text, _like(r"[0-9a-f]{32}", "an MD5: 32 hexadecimal digits")]
Sha256 = Annotated[Text, _like(r"[0-9a-f]{64}", "a SHA-256: 64 hexadecimal digits")]
Commit = Annotated[Text, _like(r"[0-9a-f]{7,64}", "a commit of git: 7 to 64 hexadecimal digits")]
RunId = Annotated[Text, _like(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", "an id: letters, digits, '.', '_' and '-'")]
Digits = Annotated[Text, _like(r"[0-9]{1,9}", "a whole number, as text")]
Word = Annotated[Text, _like(r"[a-z][a-z_-]{0,29}", "a word of lower-case letters")]  # a status, a kind
Version = Annotated[Text, _like(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}", "the name or version of a package")]
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=10**12)]
Positive = Annotated[int, Field(strict=True, ge=1, le=10**12)]
Ordinal = Annotated[int, Field(strict=True, ge=1, le=10**6)]  # of a fold or an epoch, from 1
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=True)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=1e10, allow_inf_nan=False)]
NameOrNone = Annotated[Text, AfterValidator(lambda value: value and _name(value))]  # "" if there is none
Interval = Annotated[list[Share], Field(min_length=2, max_length=2)]


class SchemaError(ValueError):
    """A value has the wrong form. The message names the field, and quotes the beginning of the value."""


@cache
def schema_of(kind: Any) -> TypeAdapter[Any]:
    """The validator for the class of a record."""
    return TypeAdapter(kind)


def validate(kind: TypeAdapter[T], value: object) -> T:
    """Returns `value` unchanged if it is valid. Raises SchemaError for the first field that is not."""
    parse(kind, value)
    return cast(T, value)  # pydantic's copy has its fields in another order


def parse(kind: TypeAdapter[T], value: object) -> T:
    """Converts `value`, such as a dictionary to a dataclass. Raises SchemaError for the first wrong field."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"] if not _is_choice(part)) or "it"
        if first["type"] == "missing":
            raise SchemaError(f"{field[:QUOTED]} is missing") from None
        raise SchemaError(f"{field[:QUOTED]} is {quoted(first['input'])}: {_reason(first['msg'])}") from None
    except RecursionError:
        raise SchemaError("it is nested too deep") from None


def quoted(value: object) -> str:
    """Formats a value for an error: always short, even if it is huge or contains itself."""
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a huge number"
    text = ascii(value[: QUOTED + 1] if isinstance(value, str) else value)
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 1]}…"


def read_text(path: Path, most: int = LARGEST) -> str:
    """Reads the text of a small file. Raises OSError, and SchemaError if it is large or not a file."""
    if path.exists() and not path.is_file():
        raise SchemaError("it is not a file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise SchemaError(f"it is larger than {most // 2**20} MB")
    return content.decode("utf-8")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is in `folder` after all links are resolved. Neither needs to exist."""
    real, home = os.path.realpath(path), os.path.realpath(folder)
    return real.startswith(home.rstrip(os.sep) + os.sep)


def is_on_this_machine(path: str) -> bool:
    """Whether a path is on this machine. For a path on another one, Windows would send the user's login there."""
    return not path.startswith(("\\\\", "//", "\\/", "/\\")) and "://" not in path


def require_inside(path: Path, folder: Path) -> Path:
    """Returns `path` unchanged. Raises SchemaError if a link makes it point outside `folder`."""
    if not is_inside(path, folder):
        raise SchemaError(f"{path} is a link that points outside {folder}, and is not followed")
    return path


def _is_choice(part: object) -> bool:
    """Whether pydantic has added this part to the place of a field, to name one of several types."""
    return isinstance(part, str) and ("[" in part or part in ("float", "int", "str", "bool", "none"))


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")
