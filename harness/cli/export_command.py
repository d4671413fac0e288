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
@click.option("--to", type=click.Choice(FORMATS), help="Format of the file.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write. By default it is in the current folder and has the name of the experiment.",
)
@click.option("--with-preprocessing", is_flag=True, help="ONNX only: the exported model also resizes images.")
@click.option("--int8", is_flag=True, help="ONNX only: use 8-bit integers. Both models are tested on the test images.")
@click.option("--benchmark", is_flag=True, help="Show the size and the speed of each format on this machine.")
@click.option(
    "--data",
    help="Images to compare on, one folder per class. By default the images of the run; with --int8, the test images.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@bare_weights_options
@cli.trust_option
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
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
    """Export MODEL to one file that takes batches of any size. A .json file beside it describes the inputs and outputs.

    MODEL is a run, a checkpoint, or champion. The default is the champion, or the latest finished run if there is no
    champion.

    Before the file is written, it is loaded in its own runtime and compared with the model on 64 images. Exit code 3 if
    they disagree.
    """
    if to is None and not benchmark:
        raise UsageError("harness export needs --to FORMAT", f"formats: {', '.join(FORMATS)}", "--to onnx")
    from harness.workflows.export.write import export
    from harness.workflows.find_model import find_model

    if model is not None and Path(model).suffix in (".onnx", ".pt2"):
        why = "it is an exported program, and a program cannot be exported again"
        raise UsageError(f"{model} is not a model to export", why, "harness export RUN, with the run that it came from")
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
    lines = [f"{'format':<14}{'MB':>8}{'images/s':>10}{'speedup':>8}  equal predictions, largest difference"]
    for row in measured.rows:
        if row.problem or row.speed is None or row.bytes is None:
            lines.append(f"{row.name:<14}  {row.problem}")
            continue
        numbers = f"{row.bytes / 1e6:>8.1f}{row.speed:>10.0f}{row.ratio:>8.2f}"
        agreement = row.agreement
        agrees = ""
        if agreement is not None:
            agrees = f"{agreement.agree} of {agreement.n}, {agreement.probabilities:.1e} in probabilities"
        lines.append(f"{row.name:<14}{numbers}  {agrees}".rstrip())
    load = "" if measured.load is None else f"; load of the machine {measured.load:.1f}"
    threads = f"{measured.threads} thread{'s' * (measured.threads > 1)}"
    lines.append(f"batches of {measured.batch}, {threads}, median of {measured.rounds} alternating rounds{load}")
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
        ("input", f"{takes.dtype} ({', '.join(map(str, takes.shape))}): {takes.meaning}"),
        ("outputs", ", ".join(output.name for output in record.outputs)),
        ("compared", str(exported.agreement)),
        *([] if exported.resized is None else [("resizing", str(exported.resized))]),
        *([] if exported.int8 is None else [("int8", str(exported.int8)), ("tested", _looks(exported))]),
        ("written to", f"{exported.path} ({exported.bytes / 1e6:.1f} MB), {exported.json_path}"),
    ]
    return [f"{name:<10}  {text}" for name, text in rows]


def _looks(exported: Exported) -> str:
    looks = None if exported.int8 is None else exported.int8.looks
    return str(looks or "not counted: .harness/tests.jsonl cannot be written")
