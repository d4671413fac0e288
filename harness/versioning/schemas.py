"""A `.dvc` file, and DVC's list of the files of a folder."""

from __future__ import annotations

from typing_extensions import NotRequired, TypedDict

from harness.util.schema import AnyPath, Count, Digest, FileDigest, PathBelow, PathBelowAnywhere, Text, record


@record
class Out(TypedDict):
    md5: Digest
    path: PathBelowAnywhere
    nfiles: NotRequired[Count]
    hash: NotRequired[Text]


@record
class DvcFile(TypedDict):
    """The content of a `.dvc` file: the files or folders that DVC tracks, with their digests."""

    outs: list[Out]
    wdir: NotRequired[AnyPath]


@record
class Listed(TypedDict):
    """An entry of DVC's list of a folder's files."""

    md5: FileDigest
    relpath: PathBelow
