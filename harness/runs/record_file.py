"""Reads and writes the JSON files of all records."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from harness.runs.record_parts import SCHEMA
from harness.runs.records import RunRecord, TestRecord
from harness.util.schema import (
    SchemaError,
    parse,
    read_text,
    schema_of,
)

R = TypeVar("R")


def read_record(kind: type[R], path: Path) -> R:
    """Returns the record in the file at `path`.

    Raises:
        SchemaError: The file is not JSON, has a newer schema, lacks a field, or a field has a wrong value.
        OSError: The file cannot be read.
    """
    try:
        content = json.loads(read_text(path))
    except RecursionError:
        raise SchemaError("it is nested too deep") from None
    except ValueError as error:
        raise SchemaError(str(error)) from error
    if not isinstance(content, dict):
        raise SchemaError(f"it is a {type(content).__name__}: it must be an object with fields")
    schema = content.get("schema", 1)
    if type(schema) is int and schema > SCHEMA:
        newer = f"schema is {schema}, from a newer version of harness; this version reads up to {SCHEMA}"
        raise SchemaError(f"{newer} (upgrade harness)")
    wanted: Any = TestRecord if kind is RunRecord and content.get("kind") == "test" else kind
    record: R = parse(schema_of(wanted), {"schema": 1, **content})
    return record


def to_plain(value: Any) -> Any:
    """Returns a record as plain values for JSON. Leaves out fields that are None by default and have no value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((item, getattr(value, item.name)) for item in dataclasses.fields(value))
        return {item.name: to_plain(each) for item, each in fields if each is not None or item.default is not None}
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def to_json(value: Any) -> bytes:
    """Returns a record as the content of a file."""
    plain = to_plain(value) | ({"schema": SCHEMA} if hasattr(value, "schema") else {})
    return f"{json.dumps(plain, indent=2, default=str)}\n".encode()
