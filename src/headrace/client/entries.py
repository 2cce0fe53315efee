"""What runs log, as records of a journal.

Points of metrics are by far the most: each is 24 bytes under a name, its series (run, key, and
what it was measured on). Everything else is a JSON document with its type in `type`.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from headrace.client.values import checked
from headrace.protocol import codec
from headrace.protocol.datasets import LogInputs, LogOutputs
from headrace.protocol.metrics import LogMetric, Metric
from headrace.protocol.runs import CreateRun, LogBatch, UpdateRun

POINT: Final = struct.Struct("<dqq")
"""Value, timestamp (ms since 1970), step."""


class Series(NamedTuple):
    """What points belong to. A plain tuple of run and key stands for a series without links."""

    run_id: str
    key: str
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class RunCreated(Struct, tag="create_run", omit_defaults=True):
    """A run began. With `experiment_name` it goes to the experiment of that name."""

    request: CreateRun
    experiment_name: str | None = None


class RunUpdated(Struct, tag="update_run"):
    """A run ended, was resumed, or got another name."""

    request: UpdateRun


class Logged(Struct, tag="log_batch"):
    """Parameters and tags (and, when it is sent again, points) of a run."""

    request: LogBatch


class InputsLogged(Struct, tag="log_inputs"):
    """What a run takes in."""

    request: LogInputs


class OutputsLogged(Struct, tag="log_outputs"):
    """What a run makes."""

    request: LogOutputs


class ArtifactLogged(Struct, tag="log_artifact"):
    """A file for `path` of a run; it lies in `file`, relative to the log's folder."""

    run_id: str
    path: str
    file: str


Entry = RunCreated | RunUpdated | Logged | InputsLogged | OutputsLogged | ArtifactLogged
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry, strict=False)


def encode(entry: Entry) -> bytes:
    """The body of a record without a name."""
    return codec.encode(entry)


def decode(body: bytes) -> Entry:
    """The entry in a record without a name. Raises msgspec.DecodeError, InvalidRequest."""
    return _decoder.decode(body)


def spell_series(series: Hashable) -> bytes:
    """A series as bytes. Raises InvalidRequest when no store could hold it."""
    assert isinstance(series, tuple)
    found = Series(*series)
    checked(
        LogMetric,
        run_id=found.run_id,
        key=found.key,
        value=0.0,
        timestamp=0,
        model_id=found.model_id,
        dataset_name=found.dataset_name,
        dataset_digest=found.dataset_digest,
    )
    return msgspec.json.encode(list(series))


def read_series(name: bytes) -> Series:
    """The series that `spell_series` spelled."""
    return Series(*msgspec.json.decode(name, type=list[str | None]))  # type: ignore[arg-type]  # run and key are never None


def read_point(series: Series, body: bytes) -> Metric:
    """The point in a record under a series' name."""
    value, timestamp, step = POINT.unpack(body)
    return Metric(
        series.key,
        value,
        timestamp,
        step,
        model_id=series.model_id,
        dataset_name=series.dataset_name,
        dataset_digest=series.dataset_digest,
    )
