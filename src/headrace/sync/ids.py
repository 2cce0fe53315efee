"""Which id at the destination stands for which at the source."""

from __future__ import annotations

from headrace.protocol import uris
from headrace.protocol.runs import LOG_MODEL_HISTORY_TAG, PARENT_RUN_TAG
from headrace.protocol.wire import Tag


class Ids:
    """Filled while things are found or made at the destination. Safe to read from any thread.

    Runs are noted only where the ids differ, so that a copy of a million runs keeps no list; a
    logged model is noted always, because not every model that is named is there.
    """

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}
        self._models: dict[str, str] = {}
        self._versions: dict[tuple[str, str], str] = {}

    def note_run(self, source: str, here: str) -> None:
        """The run `source` is `here` at the destination."""
        if source != here:
            self._runs[source] = here

    def note_model(self, source: str, here: str) -> None:
        """The logged model `source` is `here` at the destination."""
        self._models[source] = here

    def note_version(self, name: str, source: str, here: str) -> None:
        """The version `source` of a registered model is `here` at the destination."""
        if source != here:
            self._versions[name, source] = here

    def run(self, source: str) -> str:
        """The run's id at the destination; the same one if nothing else is known."""
        return self._runs.get(source, source)

    def model(self, source: str) -> str:
        """The logged model's id at the destination; the same one if nothing else is known."""
        return self._models.get(source, source)

    def model_there(self, source: str | None) -> str | None:
        """The logged model's id at the destination, None if it is not there."""
        return self._models.get(source) if source else None

    def version(self, name: str, source: str) -> str:
        """The version's number at the destination; the same one if nothing else is known."""
        return self._versions.get((name, source), source)

    def tag(self, tag: Tag, run_id: str) -> Tag:
        """A tag of the run `run_id`, with ids as they are at the destination."""
        if tag.key == PARENT_RUN_TAG:
            return Tag(tag.key, self.run(tag.value))
        if tag.key == LOG_MODEL_HISTORY_TAG and self.run(run_id) != run_id:
            return Tag(tag.key, tag.value.replace(run_id, self.run(run_id)))
        return tag

    def model_source(self, source: str) -> str:
        """A `runs:` or `models:` URI with ids as they are at the destination; others as given."""
        scheme = uris.scheme_of(source)
        if scheme == "runs":
            named = uris.parse_run_uri(source)
            here = self.run(named.run_id)
            return source if here == named.run_id else uris.join(f"runs:/{here}", named.path)
        if scheme == "models":
            model = uris.parse_models_uri(source)
            if isinstance(model, uris.LoggedModelUri):
                return source.replace(model.model_id, self.model(model.model_id))
            if model.version is not None:
                return f"models:/{model.name}/{self.version(model.name, model.version)}"
        return source
