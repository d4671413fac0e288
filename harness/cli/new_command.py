"""`harness new`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_fitting
from harness.cli.run_command import parse_settings
from harness.util.text import counted, few

if TYPE_CHECKING:
    from harness.workflows.new.look import Facts
    from harness.workflows.new.write import Written


@click.command("new", short_help=cli.VERBS["new"])
@click.argument("name")
@click.option("--data", required=True, help="A folder with one folder per class, or a table with columns path,label.")
@click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a field. May be repeated.")
@click.option("--force", is_flag=True, help="Replace experiments/NAME.py.")
def command(name: str, data: str, settings: tuple[str, ...], force: bool) -> None:
    """Read the images in a folder, and write experiments/NAME.py, an experiment that suits them.

    A comment on each line gives the reason for its value. Every image is read once. Nothing is trained.
    """
    from harness.workflows.new.write import write_new

    with cli.without_collecting():
        written = write_new(name, data, parse_settings(settings), force)
    rows = [*_facts(written.facts), *_experiment(written)]
    echo_fitting(*(f"{label:<10}  {text}" for label, text in rows))
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
    sample = "" if len(facts.sizes) == facts.images else f" (of {len(facts.sizes)} images)"
    rows = [
        ("images", f"{facts.images:,} for training in {facts.experiment.data}: {counts}"),
        ("size", f"{sides_text(facts.sizes)}, {kind}{depth}{sample}"),
        ("baseline", f"{100 * facts.guessing:.1f} % by always predicting the most frequent class"),
    ]
    if facts.valid:
        rows.append(("hold-out", f"{facts.valid:,} images in {facts.experiment.valid_data}"))
    rows.append(("test", f"{facts.test:,} images in {facts.experiment.test_data}" if facts.test else "none"))
    if facts.copies:
        rows.append(("copies", f"{facts.copies:,} images are copies of others; copies stay in one fold"))
    if facts.grouping is not None:
        rows.append(("groups", f"possible: {facts.grouping.evidence}"))
    return rows


def _experiment(written: Written) -> list[tuple[str, str]]:
    fields = {field.name: field.value for field in written.fields if not field.is_suggestion}
    start = "from scratch" if fields["weights"] is None else f"from {fields['weights']}"
    frozen = ", only its head is trained" if fields.get("freeze") is True else ""
    folds = f"{fields['folds']} folds" if fields["folds"] else "one hold-out"
    return [
        (
            "model",
            f"{fields['model']} {start}{frozen}; {folds} of {counted(fields['epochs'], 'epoch')}; "
            f"gate {fields['min_accuracy']:.2f}",
        ),
        ("written", str(written.path)),
    ]


def _warnings(written: Written) -> list[str]:
    facts, lines = written.facts, list(written.facts.notes)
    if facts.in_two_classes:
        lines.append(f"{facts.in_two_classes} images are in two classes, so one of their labels is wrong")
    if facts.leak:
        lines.append(f"{facts.leak}. Remove them from one of the two. Without --allow-leak, a run refuses them")
    if facts.unreadable:
        lines.append(f"images that cannot be decoded: {facts.unreadable}")
    if written.weights == "network":
        lines.append("the ImageNet weights are not on this machine yet: the first run downloads them")
    if written.weights == "":
        lines.append(
            "the ImageNet weights are not on this machine and there is no internet connection, so the experiment "
            "trains a small network from scratch. If you have a file of ResNet18 weights: "
            "-s model=resnet18 -s weights=FILE --force"
        )
    return [f"note: {line}" for line in lines]
