"""`scripts/docs --update [PAGE...]`: runs the commands of the pages and writes what they print into the pages."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from cells import run_notebook
from pages import ROOT, find_pages
from story import rewrite, tell

NOTEBOOK = ROOT / "docs/notebook.ipynb"


def update(path: Path, scratch: Path) -> bool:
    """Rewrites the outputs of one page. Returns False if a command failed."""
    page = path.read_text(encoding="utf-8")
    outcomes = tell(page, scratch)
    path.write_text(rewrite(page, outcomes), encoding="utf-8")
    name = path.relative_to(ROOT)
    changed = [outcome for outcome in outcomes if outcome.problems]
    print(f"{name}: {len(outcomes)} blocks run, {len(changed)} changed or failed", flush=True)
    failed = [problem for outcome in changed for problem in outcome.problems if "prints something else" not in problem]
    for problem in failed:
        print(f"  {problem}".replace("\n", "\n  "), flush=True)
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="names of pages, such as start or README; by default all")
    parser.add_argument("--scratch", type=Path, help="keeps the projects in this folder for the next call")
    arguments = parser.parse_args()
    pages = [path for path in find_pages() if not arguments.pages or path.stem in arguments.pages]
    with tempfile.TemporaryDirectory(prefix="pages-") as temporary:
        scratch = (arguments.scratch or Path(temporary)).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        failed = [path for path in pages if not update(path, scratch)]
        if not arguments.pages or NOTEBOOK.stem in arguments.pages:
            run_notebook(NOTEBOOK, scratch)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
