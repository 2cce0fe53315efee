"""Where an observed call is logged: the run that it has, and what can be written there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from headrace.client import active
from headrace.client.active import ActiveRun
from headrace.client.autolog.library import Library, Options
from headrace.client.client import Client
from headrace.client.datasets import dataset_input
from headrace.client.values import now
from headrace.errors import InvalidRequest
from headrace.protocol import limits
from headrace.protocol.metrics import Metric
from headrace.protocol.names import is_key
from headrace.protocol.wire import Param, Tag

AUTOLOGGING_TAG: Final = "mlflow.autologging"
"""On a run that autologging began: the flavor that did."""

_MOST_ITEMS: Final = limits.MAX_VALUE_LENGTH
"""More items than that do not fit anyway, so they are not written out."""
_NOT_IN_KEYS: Final = re.compile(r"[^/\w.\- :]")


def begin(flavor: str, options: Options) -> tuple[ActiveRun | None, tuple[Client, str] | None]:
    """The run to log to, as its client and id, and that run again if it was begun here.

    None, to log nothing: for `exclusive` in a run of the user's.
    """
    if active.active_run() is not None:
        return None, None if options.exclusive else active.active_or_new_run()
    run = active.start_run(tags={AUTOLOGGING_TAG: flavor, **(options.extra_tags or {})})
    return run, active.active_or_new_run()


class Recorder:
    """Writes to one run, from any thread. What cannot be written raises, so use a `guard`."""

    def __init__(self, client: Client, run_id: str, library: Library[Any]) -> None:
        self.client = client
        self.run_id = run_id
        self._library = library
        self._latest: dict[str, Metric] = {}

    def of_run(self, run_id: str) -> Recorder:
        """The same for another run, such as a child of this one."""
        return Recorder(self.client, run_id, self._library)

    def params(self, params: Mapping[str, Any]) -> None:
        """Write parameters as text, cut at 100,000 characters.

        Characters that no key can have become `_`. A parameter that the run has already, with
        another value, keeps that one: a run may see several fits.
        """
        texts = {key_for(key): text_for(value) for key, value in params.items()}
        pairs = [Param(key, text) for key, text in texts.items() if is_key(key)]
        if not pairs:
            return
        try:
            self.client.log_batch(self.run_id, params=pairs)
        except InvalidRequest:
            self._one_by_one(pairs)

    def latest(self) -> list[Metric]:
        """The latest point of each metric that was added here, as far as it was in this process."""
        return list(self._latest.values())

    def metrics(
        self,
        metrics: Mapping[str, Any],
        step: int = 0,
        dataset: Any = None,
        model_id: str | None = None,
    ) -> None:
        """Add a point of each metric, all at one time; `dataset` is what they were measured on.

        `model_id` is the logged model that they are about. What is no number is left out.
        """
        self.points(((key, value, step) for key, value in metrics.items()), dataset, model_id)

    def points(
        self,
        points: Iterable[tuple[str, Any, int]],
        dataset: Any = None,
        model_id: str | None = None,
    ) -> None:
        """Add points: key, value and step. What is no number is left out."""
        at = now()
        measured = {} if dataset is None else {"name": dataset.name, "digest": dataset.digest}
        numbers = ((key, number_for(value), step) for key, value, step in points)
        made = [
            Metric(
                key=key_for(key),
                value=value,
                timestamp=at,
                step=step,
                model_id=model_id,
                dataset_name=measured.get("name"),
                dataset_digest=measured.get("digest"),
            )
            for key, value, step in numbers
            if value is not None
        ]
        for point in made:
            known = self._latest.get(point.key)
            if known is None or point.step >= known.step:
                self._latest[point.key] = point
        if made:
            self.client.log_batch(self.run_id, metrics=made)

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Write tags as text, over what is there."""
        pairs = [Tag(key_for(key), text_for(value)) for key, value in tags.items()]
        self.client.log_batch(self.run_id, tags=pairs)

    def text(self, text: str, artifact_file: str) -> None:
        """Store a text, as UTF-8."""
        self.client.log_text(self.run_id, text, artifact_file)

    def dictionary(self, dictionary: Any, artifact_file: str) -> None:
        """Store a dictionary or list, as JSON or YAML by the file's name."""
        self.client.log_dict(self.run_id, dictionary, artifact_file)

    def figure(self, figure: Any, artifact_file: str) -> None:
        """Store a figure of Matplotlib, in the format that the file's name says."""
        self.client.log_figure(self.run_id, figure, artifact_file)

    def file(self, path: str | Path, folder: str | None = None) -> None:
        """Store a local file under its name, in a folder of the run's artifacts."""
        self.client.log_artifact(self.run_id, path, folder)

    def dataset(self, dataset: Any, context: str) -> None:
        """Note a data set that the call takes in, and what for: "train", "eval"."""
        self.client.log_inputs(self.run_id, [dataset_input(dataset, context)])

    def _one_by_one(self, pairs: Iterable[Param]) -> None:
        for pair in pairs:
            try:
                self.client.log_batch(self.run_id, params=[pair])
            except InvalidRequest as error:
                self._library.warn("a parameter that the run has with another value", error)


def key_for(name: Any) -> str:
    """`name` as the key of a parameter, metric or tag."""
    return _NOT_IN_KEYS.sub("_", str(name))[: limits.MAX_KEY_LENGTH]


def text_for(value: Any) -> str:
    """`value` as text that can be stored: long ones are cut, and end in `...`."""
    if isinstance(value, list | tuple | set | frozenset) and len(value) > _MOST_ITEMS:
        value = [*itertools.islice(value, _MOST_ITEMS), ...]
    text = str(value).replace("\x00", "").encode("utf-8", "replace").decode()
    most = limits.MAX_VALUE_LENGTH
    return text if len(text) <= most else text[: most - 3] + "..."


def number_for(value: Any) -> float | None:
    """`value` as a float, of a number or of an array or tensor of one; None for anything else."""
    try:
        return float(value)
    # RuntimeError: how PyTorch says that a tensor has more than one element.
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
