"""`harness export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import main as cli
from harness.cli.bare_weights import bare_weights_options, class_names
from harness.cli.output import echo, echo_json
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.workflows.export.benchmark import Benchmark
    from harness.workflows.export.write import Exported
    from harness.workflows.find_model import FoundModel

FORMATS = ("onnx", "pt2", "state_dict", "safetensors")


@click.command("export", short_help=cli.VERBS["export"])
@click.argument("model", required=False)
@click.option("--to", type=click.Choice(FORMATS), help="The format.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file to write. By default it has the experiment's name and lies in this folder.",
)
@click.option("--with-preprocessing", is_flag=True, help="ONNX only: the file itself resizes images of any size.")
@click.option("--int8", is_flag=True, help="ONNX only: 8-bit integers; both models are tested on the test images.")
@click.option("--benchmark", is_flag=True, help="Show size and speed of each format on this machine.")
@click.option(
    "--data", help="Images to compare on, a folder per class. By default the run's own. With --int8 the test images."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@bare_weights_options
@cli.trust_option
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(
    model: str | None,
    to: str | None,
    out: Path | None,
    with_preprocessing: bool,
    int8: bool,
    benchmark: bool,
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
    if to is None and not benchmark:
        raise UsageError("harness export takes --to FORMAT", f"formats: {', '.join(FORMATS)}", "--to onnx")
    from harness.workflows.export.write import export
    from harness.workflows.find_model import find_model

    if model is not None and Path(model).suffix in (".onnx", ".pt2"):
        why = "a file of that kind holds a program, and a program is not made into another one"
        raise UsageError(f"{model} is no model to export", why, "harness export RUN, which it was made of")
    found = find_model(
        model,
        Path(runs),
        trust=trust,
        classes=class_names(classes),
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    exported = None
    if to is not None:
        exported = export(
            found,
            to,
            out,
            with_preprocessing=with_preprocessing,
            int8=int8,
            data=data,
            force=force,
            trust=trust,
        )
    measured = _benchmark(found, data, trust) if benchmark else None
    if as_json:
        plain = {} if exported is None else _plain(exported)
        echo_json(plain | ({} if measured is None else {"benchmark": measured.to_plain()}))
        return
    lines = [] if exported is None else _report(exported, found.source)
    echo(*lines, *([""] if exported and measured else []), *([] if measured is None else _table(measured)))


def _benchmark(found: FoundModel, data: str | None, trust: bool) -> Benchmark:
    from harness.workflows.export.benchmark import benchmark
    from harness.workflows.export.images import sample_images

    return benchmark(found, sample_images(found.saved, data), trust)


def _table(measured: Benchmark) -> list[str]:
    lines = [f"{'format':<14}{'MB':>8}{'images/s':>10}{'times':>8}  predictions that agree, largest difference"]
    for row in measured.rows:
        if row.problem or row.speed is None or row.bytes is None:
            lines.append(f"{row.name:<14}  {row.problem}")
            continue
        numbers = f"{row.bytes / 1e6:>8.1f}{row.speed:>10.0f}{row.ratio:>8.2f}"
        found = row.agreement
        agrees = "" if found is None else f"{found.agree} of {found.n}, {found.probabilities:.1e} in probabilities"
        lines.append(f"{row.name:<14}{numbers}  {agrees}".rstrip())
    load = "" if measured.load is None else f"; load of the machine {measured.load:.1f}"
    threads = f"{measured.threads} thread{'s' * (measured.threads > 1)}"
    lines.append(f"batches of {measured.batch}, {threads}, median of {measured.rounds} rounds in turn{load}")
    return lines


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
        "looks": None if exported.int8 is None else _looks(exported),
        "resizing": None
        if exported.resized is None
        else {
            "largest_pixel_difference": exported.resized.largest,
            "mean_pixel_difference": exported.resized.mean,
            "largest_difference": exported.resized.agreement.probabilities,
            "agree": exported.resized.agreement.agree,
        },
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
        *([] if exported.resized is None else [("resizing", str(exported.resized))]),
        *([] if exported.int8 is None else [("int8", str(exported.int8)), ("looks", _looks(exported))]),
        ("written to", f"{exported.path} ({exported.bytes / 1e6:.1f} MB), {exported.json_path}"),
    ]
    return [f"{name:<10}  {text}" for name, text in rows]


def _looks(exported: Exported) -> str:
    looks = None if exported.int8 is None else exported.int8.looks
    return str(looks or "not counted: .harness/tests.jsonl cannot be written")
