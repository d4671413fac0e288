from __future__ import annotations

import sys
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows, get_win_folder_from_env_vars

from harness.cache.folder import cache_folder
from harness.cache.store import Cache
from tests.cache.test_cache_store import rows


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a user's home, without variables that name another folder."""
    for name in ("HARNESS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def pretend(monkeypatch: pytest.MonkeyPatch, system: type) -> None:
    """Makes platformdirs return the paths of another system."""
    monkeypatch.setattr(platformdirs, "PlatformDirs", system)


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
@pytest.mark.parametrize(("system", "folder"), [(Unix, ".cache/harness"), (MacOS, "Library/Caches/harness")])
def test_cache_folder_is_the_systems_folder_for_caches(
    home: Path, monkeypatch: pytest.MonkeyPatch, system: type, folder: str
) -> None:
    pretend(monkeypatch, system)
    assert cache_folder() == home / folder
    monkeypatch.setenv("HARNESS_CACHE", "elsewhere")
    assert cache_folder() == Path("elsewhere")


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("system", "earlier"), [(MacOS, ".cache/harness"), (Windows, "AppData/Local/harness"), (Unix, ".cache/harness")]
)
def test_cache_folder_of_0_1_0_is_used_while_it_has_entries(
    home: Path, monkeypatch: pytest.MonkeyPatch, system: type, earlier: str
) -> None:
    pretend(monkeypatch, system)
    if system is Windows:
        monkeypatch.setenv("LOCALAPPDATA", str(home / "AppData/Local"))
        monkeypatch.setattr("sys.platform", "win32")
        monkeypatch.setattr("platformdirs.windows.get_win_folder", get_win_folder_from_env_vars)
        later = home / "AppData/Local/harness/Cache"
    else:
        later = home / ("Library/Caches/harness" if system is MacOS else ".cache/harness")
    assert cache_folder() == later
    (home / earlier).mkdir(parents=True, exist_ok=True)
    assert cache_folder() == later  # the earlier folder is empty
    rows(Cache(home / earlier))
    assert cache_folder() == home / earlier
    Cache(home / earlier).clear()
    assert cache_folder() == later


@pytest.mark.skipif(sys.platform == "win32", reason="every user has a home on Windows")
def test_cache_folder_of_a_user_without_a_home_is_temporary(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A container may run under a numeric user: there must be no folder named "~"."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 2)
    monkeypatch.setenv("TMPDIR", str(home))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert cache_folder() == home / "harness"
