"""Data sets of Hugging Face's `datasets` library."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from headrace.data.arrow_columns import arrow_spec, arrow_stream
from headrace.data.columns import Column
from headrace.data.dataset import Dataset, check_column
from headrace.data.dataset_source import DatasetSource, HuggingFaceSource, resolve_source
from headrace.data.digests import table_digest
from headrace.data.profile import Profile
from headrace.data.schema import column_spec, table_schema
from headrace.data.table_profile import profile_of
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import os

    import datasets

_BATCH: Final = 1000
_logger = logging.getLogger("headrace")


class HuggingFaceProfile(Profile):
    """The profile of a Hugging Face data set, with the sizes that it knows of itself, in bytes."""

    dataset_size: int | None = None
    size_in_bytes: int | None = None


class HuggingFaceDataset(Dataset):
    """A `datasets.Dataset`: `ds`, and the name of its column of targets."""

    def __init__(
        self,
        ds: datasets.Dataset,
        source: DatasetSource,
        targets: str | None = None,
        name: str | None = None,
        digest: str | None = None,
    ) -> None:
        check_column("targets", targets, ds.column_names)
        self._ds = ds
        self._targets = targets
        super().__init__(source, name, digest)

    @property
    def ds(self) -> datasets.Dataset:
        """The data set of the `datasets` library."""
        return self._ds

    @property
    def targets(self) -> str | None:
        """The column of targets."""
        return self._targets

    @cached_property
    def _columns(self) -> list[Column]:
        return [self._column(name) for name in self._ds.column_names]

    def _column(self, name: str) -> Column:
        """One column, read in batches from where it is mapped into memory."""
        only = self._ds.select_columns([name]).with_format("arrow")

        def arrays() -> Iterator[Any]:
            for batch in only.iter(batch_size=_BATCH):
                yield from batch.column(0).chunks

        labels = tuple(getattr(self._ds.features[name], "names", None) or ())
        arrow_type = self._ds.features.arrow_schema.field(name).type
        return arrow_stream(name, str(arrow_type), arrow_type, arrays, labels)

    def _compute_digest(self) -> str:
        return table_digest(self._ds.num_rows, self._columns)

    def _compute_schema(self) -> dict[str, Any] | None:
        fields = zip_longest(self._ds.features.arrow_schema, self._statistics.columns)
        return table_schema(
            [
                column_spec(
                    field.name,
                    arrow_spec(field.type),
                    required=column is not None and not column.missing,
                )
                for field, column in fields
            ]
        )

    def _compute_profile(self) -> Profile:
        plain = profile_of(self._ds.num_rows, self._columns)
        return HuggingFaceProfile(
            **{field: getattr(plain, field) for field in plain.__struct_fields__},
            dataset_size=self._ds.dataset_size,
            size_in_bytes=self._ds.size_in_bytes,
        )


def from_huggingface(  # noqa: PLR0913, PLR0917  (MLflow's signature)
    ds: datasets.Dataset,
    path: str | None = None,
    targets: str | None = None,
    data_dir: str | None = None,
    data_files: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
    revision: Any = None,
    name: str | None = None,
    digest: str | None = None,
    trust_remote_code: bool | None = None,  # noqa: ARG001  (MLflow's; we run no remote code)
    source: str | os.PathLike[str] | DatasetSource | None = None,
) -> HuggingFaceDataset:
    """A data set of a `datasets.Dataset`; of a DatasetDict, one split at a time.

    `path`, `data_dir`, `data_files` and `revision` are what `datasets.load_dataset` was given, and
    become the source; `source` wins over them, and without either it is the code that calls.
    `targets` names a column. `digest` replaces the one that is computed over every value, column
    name and feature type. `trust_remote_code` is taken and ignored: a source that is loaded runs
    no code of the data set's. Raises InvalidRequest.
    """
    import datasets

    if not isinstance(ds, datasets.Dataset):
        raise InvalidRequest(
            f"'ds' is of type {type(ds).__name__}: expected a datasets.Dataset; of a DatasetDict "
            "give one split, such as ds['train']."
        )
    if source is None and path is not None:
        fields = {
            "path": path,
            "config_name": ds.config_name,
            "data_dir": data_dir,
            "data_files": data_files,
            "split": str(ds.split),
            "revision": None if revision is None else str(revision),
        }
        return HuggingFaceDataset(ds, HuggingFaceSource(fields), targets, name, digest)
    if path is not None:
        _logger.warning("Both 'source' and 'path' are given: 'path' is not used.")
    return HuggingFaceDataset(ds, resolve_source(source), targets, name, digest)
