"""What the client gives and takes, under MLflow's names: the door to read and import them by."""

from __future__ import annotations

from headrace.client.entities import (
    Experiment,
    LifecycleStage,
    LoggedModel,
    LoggedModelStatus,
    ModelVersion,
    PagedList,
    RegisteredModel,
    Run,
    RunData,
    RunInputs,
    RunOutputs,
)
from headrace.protocol.artifacts import FileInfo
from headrace.protocol.datasets import Dataset, DatasetInput
from headrace.protocol.datasets import ModelInput as LoggedModelInput
from headrace.protocol.datasets import ModelOutput as LoggedModelOutput
from headrace.protocol.metrics import Metric
from headrace.protocol.runs import RunInfo, RunStatus
from headrace.protocol.wire import Param, ViewType
from headrace.protocol.wire import Param as LoggedModelParameter
from headrace.protocol.wire import Tag as ExperimentTag
from headrace.protocol.wire import Tag as InputTag
from headrace.protocol.wire import Tag as LoggedModelTag
from headrace.protocol.wire import Tag as RunTag

__all__ = [
    "Dataset",
    "DatasetInput",
    "Experiment",
    "ExperimentTag",
    "FileInfo",
    "InputTag",
    "LifecycleStage",
    "LoggedModel",
    "LoggedModelInput",
    "LoggedModelOutput",
    "LoggedModelParameter",
    "LoggedModelStatus",
    "LoggedModelTag",
    "Metric",
    "ModelVersion",
    "PagedList",
    "Param",
    "RegisteredModel",
    "Run",
    "RunData",
    "RunInfo",
    "RunInputs",
    "RunOutputs",
    "RunStatus",
    "RunTag",
    "ViewType",
]
