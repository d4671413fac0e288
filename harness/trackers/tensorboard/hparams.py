"""Writes a run's row on TensorBoard's HPARAMS page into the run's own event file, so that it adds no run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.runs.record_parts import Status
from harness.runs.run_folder import RESULTS
from harness.util.files import as_text

# The page takes the names from the run that it reads first, so each run has all of them. FIRST are the columns that the
# page shows; the user must tick a box to see the others.
FIRST = ("model", "freeze", "lr", "batch_size", "weight_decay")
OTHERS = (
    *("data", "weights", "image_size", "augment", "optimizer", "scheduler", "epochs", "folds", "patience"),
    *("precision", "loss", "seed"),
)
NUMBERS = {"image_size", "lr", "weight_decay", "batch_size", "epochs", "folds", "seed"}
ENDS = {
    Status.FINISHED: "STATUS_SUCCESS",
    Status.PRUNED: "STATUS_SUCCESS",
    Status.RUNNING: "STATUS_RUNNING",
}  # any other status is STATUS_FAILURE


def start(experiment: Mapping[str, Any], title: str, seconds: float) -> list[Any]:
    """The summaries for the start of a run: the page's columns, and the run's values in them."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    infos = []
    for name in (*FIRST, *OTHERS):
        kind = api_pb2.DATA_TYPE_FLOAT64 if name in NUMBERS else api_pb2.DATA_TYPE_STRING
        infos.append(api_pb2.HParamInfo(name=name, type=kind, differs=name in FIRST))
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=metric_tag(name)), display_name=name.replace("_", " "))
        for name in RESULTS
    ]
    session = plugin_data_pb2.SessionStartInfo(group_name=title, start_time_secs=seconds)
    for name in (*FIRST, *OTHERS):
        value = experiment.get(name)
        if name in NUMBERS and isinstance(value, (int, float)):
            session.hparams[name].number_value = value
        else:
            text = str(value).lower() if value is None or isinstance(value, bool) else str(value)
            session.hparams[name].string_value = as_text(text)
    columns = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    return [
        _summary(metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=columns)),
        _summary(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=session)),
    ]


def end(status: Status, seconds: float) -> Any:
    """The summary for the end of a run."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    how = api_pb2.Status.Value(ENDS.get(status, "STATUS_FAILURE"))
    info = plugin_data_pb2.SessionEndInfo(status=how, end_time_secs=seconds)
    return _summary(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=info))


def metric_tag(name: str) -> str:
    """The tag of the scalar that holds one of a run's results."""
    return f"out_of_fold/{name}"


def _summary(tag: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    about = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])
