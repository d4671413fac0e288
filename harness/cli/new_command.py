"""`harness new`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli import main as cli
from harness.cli.output import echo
from harness.cli.run_command import parse_settings
from harness.util.text import few

if TYPE_CHECKING:
    from harness.workflows.new.look import Facts
    from harness.workflows.new.write import Written


@click.command("new", short_help=cli.VERBS["new"])
@click.argument("name")
@click.option("--data", required=True, help="A folder with a folder per class, or a table of path,label.")
@click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Decide a field. May be repeated.")
@click.option("--force", is_flag=True, help="Replace experiments/NAME.py.")
def command(name: str, data: str, settings: tuple[str, ...], force: bool) -> None:
    """Look at the images in a folder, and write experiments/NAME.py, an experiment that suits them.

    Each line of the file has its reason. Every image is read, as by a run. Nothing is trained.
    """
    from harness.workflows.new.write import write_new

    with cli.without_collecting():
        written = write_new(name, data, parse_settings(settings), force)
    rows = [*_facts(written.facts), *_experiment(written)]
    echo(*(f"{label:<10}  {text}" for label, text in rows))
    for line in _warnings(written):
        echo(line)
    facts = written.facts
    options = " --skip-corrupt" * bool(facts.unreadable) + " --allow-leak" * bool(facts.leak)
    echo(f"next: harness run {written.named} --dry-run{options}")


def _facts(facts: Facts) -> list[tuple[str, str]]:
    from harness.workflows.new.size import sides_text

    counts = few([f"{name} {count}" for name, count in facts.counts.items()], 6)
    kind = "grey" if facts.grey else "colour"
    depth = "" if facts.value_range is None else ", more than 8 bits, {:g} to {:g}".format(*facts.value_range)
    looked = "" if len(facts.sizes) == facts.images else f" ({len(facts.sizes)} were looked at)"
    rows = [
        ("images", f"{facts.images:,} for training in {facts.experiment.data}: {counts}"),
        ("pictures", f"{sides_text(facts.sizes)}, {kind}{depth}{looked}"),
        ("guessing", f"{100 * facts.guessing:.1f} % by always naming the most frequent class"),
    ]
    if facts.valid:
        rows.append(("hold-out", f"{facts.valid:,} images in {facts.experiment.valid_data}"))
    rows.append(("test", f"{facts.test:,} images in {facts.experiment.test_data}" if facts.test else "none"))
    if facts.copies:
        rows.append(("copies", f"{facts.copies:,} images are copies of others; they stay in one fold"))
    if facts.grouping is not None:
        rows.append(("groups", f"perhaps: {facts.grouping.evidence}"))
    return rows


def _experiment(written: Written) -> list[tuple[str, str]]:
    says = {field.name: field.value for field in written.fields if not field.is_suggestion}
    start = "from scratch" if says["weights"] is None else f"from {says['weights']}"
    frozen = ", only its head is trained" if says.get("freeze") is True else ""
    folds = f"{says['folds']} folds" if says["folds"] else "one hold-out"
    return [
        (
            "model",
            f"{says['model']} {start}{frozen}; {folds} of {says['epochs']} epochs; gate {says['min_accuracy']:.2f}",
        ),
        ("written", str(written.path)),
    ]


def _warnings(written: Written) -> list[str]:
    facts, lines = written.facts, list(written.facts.notes)
    if facts.in_two_classes:
        lines.append(f"{facts.in_two_classes} pictures are in two classes, so one of their labels is wrong")
    if facts.leak:
        lines.append(f"{facts.leak}. Remove them from one of the two; a run refuses them without --allow-leak")
    if facts.unreadable:
        lines.append(f"images that cannot be decoded: {facts.unreadable}")
    if written.weights == "network":
        lines.append("ImageNet's weights are not on this machine yet: the first run downloads them")
    if written.weights == "":
        lines.append(
            "ImageNet's weights are not on this machine, and there is no network: a small network from scratch is "
            "written. With a file of weights of a ResNet18: -s model=resnet18 -s weights=FILE --force"
        )
    return [f"note: {line}" for line in lines]
