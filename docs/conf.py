"""Settings of the documentation site. `scripts/docs` builds it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, get_type_hints

from sphinx.util.typing import stringify_annotation

import harness.errors

# Page -> file of the repository's root that has its text. The page itself links to the file, for readers on a git host.
ROOT_FILES = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "guide": "README.md",
    "security": "SECURITY.md",
}

# The line of a page that becomes the tables of all fields of an experiment, and the first field below each heading.
FIELD_TABLES = "<!-- the fields of an experiment -->"
FIELD_GROUPS = {
    "name": "Data",
    "image_size": "Images",
    "model": "Model",
    "optimizer": "Training",
    "folds": "Cross-validation and metrics",
    "precision": "Machine and randomness",
    "min_accuracy": "Test, own parts, trackers",
}

project = "harness"
release = harness.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_copyright = False
smartquotes = False  # names in quotes stay as they are typed

nb_execution_mode = "off"  # the notebook is kept with its outputs; a test runs it
myst_heading_anchors = 3  # links to headings (page.md#heading) work as on a git host
highlight_language = "text"  # a block without a language is a command or its output
default_role = "code"  # docstrings write `name`, as Markdown does

autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False  # a callback's page does not repeat what each event is
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

# With -n every type in a signature must have a page. The build needs no network, so other packages' types have none,
# and neither have types that are not public.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|contextlib|nn|np|numpy|pandas|pathlib|torch)\..*"),
    ("py:.*", "Path|Exported"),
    ("py:.*", r"harness\.\w+\..*"),
]


def setup(app: Any) -> None:
    app.connect("source-read", read_root_file)
    app.connect("source-read", add_field_tables)
    app.connect("autodoc-process-docstring", describe_fields)
    app.connect("missing-reference", link_public_name)


def read_root_file(app: Any, page: str, source: list[str]) -> None:
    """Gives a page of ROOT_FILES its text, and turns links to those files into links to their pages."""
    text = source[0]
    if page in ROOT_FILES:
        path = Path(app.srcdir).parent / ROOT_FILES[page]
        app.env.note_dependency(str(path))
        text = re.sub(r"\]\((?!https?:|#)", "](../", path.read_text(encoding="utf-8")).replace("](../docs/", "](")
    for name, file in ROOT_FILES.items():
        text = text.replace(f"](../{file}", f"]({name}.md")
    source[0] = text.replace("# harness\n", "# Guide\n", 1) if page == "guide" else text  # one page alone is "harness"


def add_field_tables(_app: Any, _page: str, source: list[str]) -> None:
    """Replaces FIELD_TABLES by a table for each group of fields: name, type, default and meaning, from the code."""
    if FIELD_TABLES in source[0]:
        source[0] = source[0].replace(FIELD_TABLES, field_tables())


def field_tables() -> str:
    """One Markdown table per group of FIELD_GROUPS, with all fields of an experiment."""
    lines: list[str] = []
    for field in dataclasses.fields(harness.Experiment):
        if field.name in FIELD_GROUPS:
            lines += ["```", "", f"### {FIELD_GROUPS[field.name]}", "", "```{table}", ":class: fields", ""]
            lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        kind = str(field.type).replace("Callable[..., Any]", "function").replace("Any", "object")
        meaning = f"{field.metadata['about']}. Values: {field.metadata['rule'].takes}"
        cells = (f"`{field.name}`", f"`{kind}`", f"`{field.default!r}`", meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines[1:], "```"]).strip()


def describe_fields(_app: Any, _what: str, _name: str, thing: Any, _options: Any, lines: list[str]) -> None:
    """Adds the fields of a dataclass that its docstring leaves out, with their metadata or the comment beside them."""
    if not (isinstance(thing, type) and dataclasses.is_dataclass(thing)):
        return
    types = get_type_hints(thing)
    for field in dataclasses.fields(thing):
        if f".. attribute:: {field.name}" in lines:
            continue
        comment = re.search(rf"^    {field.name}: .*?  # (.+)$", inspect.getsource(thing), re.MULTILINE)
        about = field.metadata.get("about") or (comment[1] if comment else "")
        if "rule" in field.metadata:
            about += f" ({field.metadata['rule'].takes})"
        shown_type = stringify_annotation(types[field.name], "smart")
        lines += ["", f".. attribute:: {field.name}", f"   :type: {shown_type}"]
        if field.default is not dataclasses.MISSING:
            lines.append(f"   :value: {field.default!r}")
        lines += ["", f"   {about[:1].upper()}{about[1:]}"]


def link_public_name(app: Any, env: Any, node: Any, shown: Any) -> Any:
    """Links a public name that a signature calls by its home (harness.engine.trainer.State) to its page."""
    name = node.get("reftarget", "").rpartition(".")[2]
    name = "HarnessError" if hasattr(harness.errors, name) and name.endswith("Error") else name
    if node.get("refdomain") != "py" or name not in harness.__all__:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"harness.{name}", node, shown)
