"""`harness export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.workflows.export import Exported

FORMATS = ("onnx", "pt2", "state_dict", "safetensors")


@click.command("export", short_help=cli.VERBS["export"])
@click.argument("model", required=False)
@click.option("--to", type=click.Choice(FORMATS), help="The format.")
@click.option("--out", type=click.Path(path_type=Path), help="The file. By default the experiment's name, here.")
@click.option("--data", help="Images to compare on, a folder per class. By default the run's own.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--classes", help="Of a bare state dict: the names of its outputs, in order, as in sea,forest.")
@click.option("--model", "architecture", help="Of a bare state dict: which model it is.")
@click.option("--image-size", type=click.IntRange(16, 4096), help="Of a bare state dict: pixels. By default 224.")
@click.option("--weights-key", help="Of such a file: which part of it to take, if several fit the model.")
@cli.trust_option
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(
    model: str | None,
    to: str | None,
    out: Path | None,
    data: str | None,
    force: bool,
    classes: str | None,
    architecture: str | None,
    image_size: int | None,
    weights_key: str | None,
    trust: bool,
    runs: str,
    as_json: bool,
) -> None:
    """Write MODEL to one file that takes batches of any size, with a .json beside it that describes it.

    MODEL is a run, a checkpoint, or champion. By default it is the champion, or the latest finished run.

    The file is loaded again in its own runtime and compared with the model on 64 images before it is written. Ends with
    exit code 3 if they disagree.
    """
    if to is None:
        raise UsageError("harness export takes --to FORMAT", f"formats: {', '.join(FORMATS)}", "--to onnx")
    from harness.cli.test_command import _class_names
    from harness.workflows.export import export
    from harness.workflows.find_model import find_model

    found = find_model(
        model,
        Path(runs),
        trust=trust,
        classes=_class_names(classes),
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    exported = export(found, to, out, data=data, force=force, trust=trust)
    if as_json:
        echo_json(_plain(exported))
    else:
        echo(*_report(exported, found.source))


def _plain(exported: Exported) -> dict[str, Any]:
    agreement = exported.agreement
    return {
        "path": str(exported.path),
        "json_path": str(exported.json_path),
        "format": exported.format,
        "bytes": exported.bytes,
        "images": agreement.images,
        "noise": agreement.is_noise,
        "n": agreement.n,
        "agree": agreement.agree,
        "largest_difference": {"probabilities": agreement.probabilities, "logits": agreement.logits},
        "description": exported.record.to_plain(),
    }


def _report(exported: Exported, source: str) -> list[str]:
    record = exported.record
    takes = record.inputs[0]
    rows = [
        ("model", f"{source}: {record.architecture.rpartition(':')[2]}"),
        ("classes", ", ".join(record.classes)),
        ("takes", f"{takes.dtype} ({', '.join(map(str, takes.shape))}): {takes.meaning}"),
        ("gives", ", ".join(output.name for output in record.outputs)),
        ("compared", str(exported.agreement)),
        ("written to", f"{exported.path} ({exported.bytes / 1e6:.1f} MB), {exported.json_path}"),
    ]
    return [f"{name:<10}  {text}" for name, text in rows]
