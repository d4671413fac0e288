"""Pictures of pages, by Chromium without a window."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")


def screenshot(address: str, size: tuple[int, int], seconds: int = 3) -> Image.Image:
    """The page at `address` in a window of (width, height) CSS pixels, after `seconds` of its scripts' time."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        sys.exit("error: no picture was made\n  why: Chromium is not installed\n  try: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={folder}/profile", f"--virtual-time-budget={1000 * seconds}",
            f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}", address,
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=180)
        with Image.open(picture) as image:
            converted: Image.Image = image.convert("RGB")
    return converted
