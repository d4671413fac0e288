"""Checked types: what a value that comes from a file must be before it is used.

Runs, checkpoints, `.dvc` files and studies are sent from person to person. What they hold is data: each value goes
through one of these types where its file is read, and nowhere is it used before.
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
record = with_config(ConfigDict(strict=True, extra="allow"))  # no "5" for 5; what a newer version adds is kept
# of experiments and studies: valid as a folder on every system, and no option of any program
NAME = re.compile(r"(?!-)[a-z0-9._-]{0,99}[a-z0-9_-]")
LONGEST = 100_000  # characters of a text
LONGEST_PATH = 4096
LONGEST_NAME = 255  # bytes of a file's name
LARGEST = 64 * 2**20  # bytes of a record
QUOTED = 80  # characters of a value that an error quotes


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    if len(value) > LONGEST:
        raise ValueError(f"it has {len(value)} characters; at most {LONGEST} are read")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("it must be text: a part of it stands for no byte and no letter") from None
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
    """`value`, a path that stays below its folder: here, or `anywhere`, on Windows too, where "\\" and "C:" count.

    Raises SchemaError where it is absolute, has "..", or a part that is too long for a file system.
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
    """What checks a text against a regular expression; `takes` says in words what fits."""
    known = re.compile(pattern)

    def check(value: str) -> str:
        if known.fullmatch(value) is None:
            raise ValueError(f"it must be {takes}")
        return value

    return AfterValidator(check)


Text = Annotated[str, PlainValidator(_text)]  # also of bytes that are no UTF-8, as a file's name may have
Name = Annotated[Text, AfterValidator(_name)]
AnyPath = Annotated[Text, AfterValidator(_path)]  # to read from: anywhere
PathBelow = Annotated[AnyPath, AfterValidator(path_below)]  # relative, without ".."
PathBelowAnywhere = Annotated[AnyPath, AfterValidator(lambda value: path_below(value, anywhere=True))]
ClassName = Annotated[Text, AfterValidator(_class_name)]
Moment = Annotated[Text, AfterValidator(_moment)]  # as datetime.isoformat writes it
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
NameOrNone = Annotated[Text, AfterValidator(lambda value: value and _name(value))]  # "" where there is none
Interval = Annotated[list[Share], Field(min_length=2, max_length=2)]


class SchemaError(ValueError):
    """A value has not the form that it must have. The message names the field, and quotes the value in short."""


@cache
def schema_of(kind: Any) -> TypeAdapter[Any]:
    """What checks a value against the class of a record."""
    return TypeAdapter(kind)


def validate(kind: TypeAdapter[T], value: object) -> T:
    """`value` itself, which then has that form. Raises SchemaError for the first field that has not."""
    parse(kind, value)
    return cast(T, value)  # pydantic's copy has its fields in another order


def parse(kind: TypeAdapter[T], value: object) -> T:
    """What `value` stands for: of a dictionary, the dataclass. Raises SchemaError for the first field that is wrong."""
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
    """A value as an error quotes it: short, also where it is huge or refers to itself."""
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a huge number"
    text = ascii(value[: QUOTED + 1] if isinstance(value, str) else value)
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 1]}…"


def read_text(path: Path, most: int = LARGEST) -> str:
    """The text of a small file. Raises OSError, and SchemaError for a large one or what is no file."""
    if path.exists() and not path.is_file():
        raise SchemaError("it is no file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise SchemaError(f"it is larger than {most // 2**20} MB")
    return content.decode("utf-8")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` lies in `folder`, once all links are resolved. Neither need exist."""
    real, home = os.path.realpath(path), os.path.realpath(folder)
    return real.startswith(home.rstrip(os.sep) + os.sep)


def is_on_this_machine(path: str) -> bool:
    """Whether a path names no other machine: asked for one, Windows sends it who is logged in here."""
    return not path.startswith(("\\\\", "//", "\\/", "/\\")) and "://" not in path


def require_inside(path: Path, folder: Path) -> Path:
    """`path`, as it is. Raises SchemaError where it leads out of `folder`, by a link."""
    if not is_inside(path, folder):
        raise SchemaError(f"{path} is a link that leads out of {folder}, and is not followed")
    return path


def _is_choice(part: object) -> bool:
    """Whether pydantic has added it to a field's place: which of several types it tried."""
    return isinstance(part, str) and ("[" in part or part in ("float", "int", "str", "bool", "none"))


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")
