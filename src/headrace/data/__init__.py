"""Data sets as runs note them: name, digest, source, schema and profile.

`headrace.log_input(headrace.data.from_pandas(df), context="training")` notes what a run was
trained on. Names and parameters are those of `mlflow.data`; `from_path` and `from_url` are ours.
The libraries that hold the data (pandas, NumPy, Polars, datasets) are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.data.dataset import Dataset
    from headrace.data.dataset_source import DatasetSource, get_source
    from headrace.data.file_dataset import from_path
    from headrace.data.huggingface_dataset import from_huggingface
    from headrace.data.numpy_dataset import from_numpy
    from headrace.data.pandas_dataset import from_pandas
    from headrace.data.polars_dataset import from_polars
    from headrace.data.profile import read_profile
    from headrace.data.url_dataset import from_url

__all__ = [
    "Dataset",
    "DatasetSource",
    "from_huggingface",
    "from_numpy",
    "from_pandas",
    "from_path",
    "from_polars",
    "from_url",
    "get_source",
    "read_profile",
]

_HOMES = {
    "Dataset": "dataset",
    "DatasetSource": "dataset_source",
    "from_huggingface": "huggingface_dataset",
    "from_numpy": "numpy_dataset",
    "from_pandas": "pandas_dataset",
    "from_path": "file_dataset",
    "from_polars": "polars_dataset",
    "from_url": "url_dataset",
    "get_source": "dataset_source",
    "read_profile": "profile",
}


def __getattr__(name: str) -> Any:
    import importlib

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'headrace.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"headrace.data.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
