from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

import pytest

from harness.util import packages
from harness.util.packages import DISTRIBUTION, EXTRAS, install_command, installed

ROOT = Path(__file__).parents[2]


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_installed_imports_nothing() -> None:
    assert installed("torch")
    assert not installed("no_such_package_of_ours")


def test_install_command_names_the_clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("timm") == "pip install -e '.[timm]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("timm") == f"pip install -e '{ROOT}[timm]'"


def test_install_command_names_the_distribution_or_the_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "CLONE", tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert install_command("tiff") == "pip install tifffile imagecodecs"
    (tmp_path / "image_harness-1.0.dist-info").mkdir()
    (tmp_path / "image_harness-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: image-harness\n")
    assert install_command("tiff") == "pip install 'image-harness[tiff]'"


def test_extras_are_those_of_setup_cfg() -> None:
    assert setup()["metadata"]["name"] == DISTRIBUTION
    extras = setup()["options.extras_require"]
    for extra, names in EXTRAS.items():
        assert {*names.split()} == {*re.findall(r"^([\w-]+)", extras[extra], re.MULTILINE)}


def test_nothing_installs_the_other_project_named_harness() -> None:
    """`harness` on PyPI is not this project."""
    wrong = re.compile(r"pip3? install (?:-\w+ )*[\"']?harness\b")
    places = ["harness", "scripts", "docs", "tests", "experiments", ".github"]
    files = [path for place in places for path in (ROOT / place).rglob("*")] + [*ROOT.glob("*.*")]
    for path in files:
        if path.is_file() and path.suffix in (
            ".py",
            ".md",
            ".sh",
            ".yml",
            ".cfg",
            ".toml",
            ".txt",
            ".ipynb",
            ".j2",
            ".html",
            "",
        ):
            assert not wrong.search(path.read_text(encoding="utf-8", errors="replace")), path
