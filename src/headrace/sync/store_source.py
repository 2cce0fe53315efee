"""Everything in a `Store`, page by page, as a `Source`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from headrace.artifacts.open import local_path, open_artifacts
from headrace.artifacts.paths import safe_path
from headrace.artifacts.read_only import ReadOnlyFolder
from headrace.protocol import (
    experiments,
    logged_models,
    metrics,
    runs,
)
from headrace.protocol.model_versions import ModelVersion, SearchModelVersions
from headrace.protocol.registered_models import (
    PROMPT_TAG,
    RegisteredModel,
    SearchRegisteredModels,
)
from headrace.protocol.uris import parse_proxy_uri, scheme_of
from headrace.protocol.wire import ViewType
from headrace.store.base import Store
from headrace.sync.source import Files

T = TypeVar("T")

_PAGE: Final = 1000
_MODELS_PAGE: Final = 100
_POINTS_PAGE: Final = 25_000
_IS_PROMPT: Final = f"tags.`{PROMPT_TAG}` = 'true'"


class StoreSource:
    """A database of Headrace's, or a tracking server, to copy from; see Source.

    `server` is the server's address, without one the store is a database. `folder` is where its
    `mlflow-artifacts:/` lies on this machine.
    """

    def __init__(
        self, store: Store, name: str, *, server: str | None = None, folder: Path | None = None
    ) -> None:
        self.name = name
        self.complaints: list[str] = []
        self.notes: list[str] = []
        self.store = store
        self._server = server
        self._folder = folder

    def experiments(self) -> Iterator[experiments.Experiment]:
        """See Source."""

        def page(token: str | None) -> tuple[list[experiments.Experiment], str | None]:
            found = self.store.experiments.search(
                experiments.SearchExperiments(
                    max_results=_PAGE, page_token=token, view_type=ViewType.ALL
                )
            )
            return found.experiments, found.next_page_token

        return _pages(page)

    def runs(self, experiment_id: str) -> Iterator[runs.Run]:
        """See Source. The oldest first: what is added meanwhile comes last."""

        def page(token: str | None) -> tuple[list[runs.Run], str | None]:
            found = self.store.runs.search(
                runs.SearchRuns(
                    experiment_ids=[experiment_id],
                    run_view_type=ViewType.ALL,
                    max_results=_PAGE,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
            )
            return found.runs, found.next_page_token

        return _pages(page)

    def history(self, run_id: str, key: str) -> Iterator[metrics.Metric]:
        """See Source."""

        def page(token: str | None) -> tuple[list[metrics.Metric], str | None]:
            found = self.store.metrics.history(
                metrics.GetMetricHistory(
                    run_id=run_id, metric_key=key, page_token=token, max_results=_POINTS_PAGE
                )
            )
            return found.metrics, found.next_page_token

        return _pages(page)

    def logged_models(self, experiment_id: str) -> Iterator[logged_models.LoggedModel]:
        """See Source."""

        def page(token: str | None) -> tuple[list[logged_models.LoggedModel], str | None]:
            found = self.store.logged_models.search(
                logged_models.SearchLoggedModels(
                    experiment_ids=[experiment_id],
                    max_results=_MODELS_PAGE,
                    order_by=[logged_models.OrderBy("creation_timestamp")],
                    page_token=token,
                )
            )
            return found.models, found.next_page_token

        return _pages(page)

    def registered_models(self) -> Iterator[RegisteredModel]:
        """See Source."""
        seen: set[str] = set()
        # Searches leave prompts out unless the filter asks for them.
        for text in (None, _IS_PROMPT):
            for model in self._registered(text):
                if model.name not in seen:
                    seen.add(model.name)
                    yield model

    def _registered(self, text: str | None) -> Iterator[RegisteredModel]:
        def page(token: str | None) -> tuple[list[RegisteredModel], str | None]:
            found = self.store.registered_models.search(
                SearchRegisteredModels(filter=text, max_results=_MODELS_PAGE, page_token=token)
            )
            return found.registered_models, found.next_page_token

        return _pages(page)

    def model_versions(self, name: str) -> Iterator[ModelVersion]:
        """See Source."""
        quote = '"' if "'" in name else "'"
        # A filter cannot hold a name with both quotes; then all versions are looked through.
        named = f"name = {quote}{name}{quote}" if quote not in name else None
        found = list(self._versions(named))
        if not any(version.name == name for version in found):
            found = list(self._versions(f"{named} AND {_IS_PROMPT}" if named else _IS_PROMPT))
        mine = (version for version in found if version.name == name)
        return iter(sorted(mine, key=lambda version: int(version.version)))

    def _versions(self, text: str | None) -> Iterator[ModelVersion]:
        def page(token: str | None) -> tuple[list[ModelVersion], str | None]:
            found = self.store.model_versions.search(
                SearchModelVersions(filter=text, max_results=_PAGE, page_token=token)
            )
            return found.model_versions, found.next_page_token

        return _pages(page)

    def artifacts(self, uri: str) -> Files | None:
        """See Source. A server's word leads to no folder of this machine but the one given."""
        scheme = scheme_of(uri)
        if scheme == "mlflow-artifacts":
            if self._folder is not None:
                path = safe_path(parse_proxy_uri(uri).path, "artifact URI", allow_root=True)
                return Files(ReadOnlyFolder(self._folder), path)
            if self._server is None:
                return None
            return Files(*open_artifacts(uri, self._server))
        if scheme not in ("", "file"):
            return None
        local = local_path(uri)
        if self._server is not None and not (
            self._folder is not None and local.resolve().is_relative_to(self._folder.resolve())
        ):
            return None
        return Files(ReadOnlyFolder(local), "")

    def close(self) -> None:
        """See Source."""
        self.store.close()


def _pages(ask: Callable[[str | None], tuple[list[T], str | None]]) -> Iterator[T]:
    """The items of all pages, asked for one at a time."""
    found, token = ask(None)
    yield from found
    while token:
        found, token = ask(token)
        yield from found
