"""The default remote of a project: its address, its configuration and its key."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from configobj import ConfigObj, ConfigObjError

from harness.errors import RemoteError, UsageError
from harness.util.addresses import has_secrets, short_address
from harness.util.files import write_whole
from harness.util.text import see

PLACEHOLDER = "PUT-THE-ID-OF-YOUR-FOLDER-HERE"  # the id of the Google Drive folder in a new project's `.dvc/config`
GDRIVE = "gdrive_remote"
STORAGE = "storage"
KEY_PATH = "gdrive_service_account_json_file_path"
HOW = f"harness data remote gdrive FOLDER_ID, or harness data remote FOLDER; {see('data-versioning')}"
LONGEST = 1000  # characters of an address or path
CORE = {"autostage": "true", "analytics": "false", "check_update": "false"}


@dataclass(frozen=True)
class Remote:
    """DVC's default remote, by DVC's configuration of the system, the user, the project and the clone."""

    name: str
    url: str
    options: dict[str, str] = field(default_factory=dict)
    base: Path = Path(".dvc")  # the folder that a relative address starts from

    @property
    def is_gdrive(self) -> bool:
        return self.url.startswith("gdrive://")

    @property
    def folder(self) -> Path | None:
        """The folder of a remote on a disk of this machine; None for other remotes."""
        return None if "://" in self.url else self.base / Path(self.url).expanduser()

    @property
    def is_placeholder(self) -> bool:
        return PLACEHOLDER in self.url

    @property
    def has_service_account(self) -> bool:
        """Whether a service account is used, and not a user's login in a browser."""
        return self.is_gdrive and self.options.get("gdrive_use_service_account", "").lower() in ("true", "1", "yes")

    @property
    def key_file(self) -> Path | None:
        """The file with the service account's key, if the configuration names one."""
        path = self.options.get(KEY_PATH)
        return Path(path) if path else None


def default_remote(root: Path = Path()) -> Remote | None:
    """The remote that DVC uses by default; None if there is none. Raises UsageError for a damaged file."""
    name = _merged(root).get("core", {}).get("remote")
    return _named(name, root) if name else None


def require_usable(remote: Remote) -> None:
    """Raises RemoteError if the remote is still the placeholder."""
    if remote.is_placeholder:
        raise RemoteError("no remote is set up", f".dvc/config still has the placeholder {PLACEHOLDER}", HOW)


def no_project() -> RemoteError:
    return RemoteError("this folder is not a DVC project", "it has no .dvc folder", "git init, then dvc init")


def set_gdrive(folder: str, key: Path | None, root: Path = Path()) -> Remote:
    """Makes a Google Drive folder the default remote. The path of the key is written only to `.dvc/config.local`."""
    require_plain(folder, "FOLDER_ID")
    match = re.search(r"(?:folders/|^)([\w-]{10,})(?:[?/#].*)?$", folder)
    if match is None or match[1] == PLACEHOLDER:
        raise UsageError(
            f"{folder!r} is not the id of a folder",
            "the id is the last part of the folder's address: https://drive.google.com/drive/folders/ID",
            "harness data remote gdrive ID --service-account FILE",
        )
    public = {
        "url": f"gdrive://{match[1]}",
        "gdrive_use_service_account": "true",
        "gdrive_acknowledge_abuse": "true",
    }
    private = {} if key is None else {KEY_PATH: str(key.absolute())}
    return _set(GDRIVE, public, private, root)


def set_storage(url: str, root: Path = Path()) -> Remote:
    """Makes a folder, or any address that DVC accepts, the default remote."""
    require_plain(url, "the address")
    nameless = re.sub(r"^ssh://[\w.-]+@", "ssh://", url)  # a user name without a password is not a secret
    if has_secrets(nameless):
        raise UsageError(
            f"{short_address(url)} contains a password or a token",
            ".dvc/config is public: anyone who has the project can read it",
            f"the address without the password, then dvc remote modify --local {STORAGE} password PASSWORD",
        )
    if "://" not in url:
        url = Path(os.path.normpath(Path(url).expanduser().absolute())).as_posix()
    return _set(STORAGE, {"url": url}, {}, root)


def require_plain(value: str, what: str) -> None:
    """Raises UsageError if a value is not a valid name or address. The error does not contain it: it may be a key."""
    if "PRIVATE KEY" in value or "{" in value or len(value) > LONGEST:
        raise UsageError(
            f"{what} is not the name of a file or folder",
            "it looks like the content of a key, which must only be in a file outside the project",
            "harness data remote gdrive FOLDER_ID --service-account FILE",
        )
    if not value.strip() or value != value.strip() or not value.isprintable() or set(value) & set("#,;\"'`"):
        raise UsageError(
            f"{what} cannot be written to .dvc/config",
            "it is empty, or contains a line break, a quote, a comma, ';' or '#', which DVC would not read correctly",
            "harness data remote FOLDER, with another name",
        )


def _set(name: str, public: dict[str, str], private: dict[str, str], root: Path) -> Remote:
    if not (root / ".dvc").is_dir():
        raise no_project()
    section, path, own_path = f'remote "{name}"', root / ".dvc" / "config", root / ".dvc" / "config.local"
    config, own = _read(path), _read(own_path)
    chosen = own.get("core", {}).get("remote", name)
    if chosen != name:
        raise UsageError(
            f"the default remote of this machine is {chosen}",
            f"{own_path} sets it, and has priority over .dvc/config",
            "dvc config --local --unset core.remote, then the same command",
        )
    if private:
        own.setdefault(section, {}).update(private)
        _write(own_path, own)
    core = config.setdefault("core", {})
    core.update({key: value for key, value in CORE.items() if key not in core} | {"remote": name})
    config.setdefault(section, {}).update(public)
    config[section].pop(KEY_PATH, None)
    _write(path, config)
    return _named(name, root)


def _named(name: str, root: Path) -> Remote:
    section = f'remote "{name}"'.lower()
    options = _merged(root).get(section, {})
    bases = [path.parent for path in _files(root) if "url" in _sections(path).get(section, {})]
    return Remote(name, options.get("url", ""), options, bases[-1] if bases else root / ".dvc")


def _merged(root: Path) -> dict[str, dict[str, str]]:
    """The sections and options of all files. A later file has priority."""
    merged: dict[str, dict[str, str]] = {}
    for path in _files(root):
        for section, options in _sections(path).items():
            merged.setdefault(section, {}).update(options)
    return merged


def _sections(path: Path) -> dict[str, dict[str, str]]:
    """A file's sections and options, with names in lower case, because DVC ignores case."""
    return {
        section.lower(): {key.lower(): value for key, value in options.items() if isinstance(value, str)}
        for section, options in _read(path).items()
        if isinstance(options, dict)
    }


def _files(root: Path) -> list[Path]:
    """DVC's configuration files of the system and the user (if DVC is installed), the project and the clone."""
    above = (folder for folder in (root, *root.absolute().parents) if (folder / ".dvc").is_dir())
    project = next(above, root) / ".dvc"
    try:
        from dvc.dirs import global_config_dir, system_config_dir
    except ImportError:
        return [project / "config", project / "config.local"]
    wider = [Path(system_config_dir()) / "config", Path(global_config_dir()) / "config"]
    return [*wider, project / "config", project / "config.local"]


def _read(path: Path) -> ConfigObj:
    """Reads a configuration file of DVC; empty if it does not exist. Raises UsageError if it is damaged."""
    try:
        config = ConfigObj(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [])
        config.dict()  # replaces %(name)s, which may fail
    except (ConfigObjError, UnicodeDecodeError) as error:
        line = getattr(error, "line_number", None)
        why = f"damaged{f', in line {line}' if line else ''}"
        raise UsageError(
            f"{path} cannot be read", why, f"git checkout {path}, or correct it"
        ) from None  # the cause would quote the damaged line, which may have a password
    return config


def _write(path: Path, config: ConfigObj) -> None:
    config.indent_type = config.indent_type or "    "  # like DVC
    write_whole(path, "".join(f"{line}\n" for line in config.write()).encode())
