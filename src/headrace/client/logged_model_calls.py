"""The client's calls about logged models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.client import values
from headrace.client.connection import Connection
from headrace.client.entities import LoggedModel, PagedList, logged_model_from_wire, wire_status
from headrace.client.values import checked, identifier
from headrace.protocol import limits
from headrace.protocol import logged_models as wire


class LoggedModelCalls(Connection):
    """Logged models: a model's files and facts. See LoggedModelStore for what can be raised."""

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        model_type: str | None = None,
    ) -> LoggedModel:
        """Make a logged model, PENDING until it is finalized. NotFound for the experiment."""
        param_list = values.pairs("params", params)
        request = checked(
            wire.CreateLoggedModel,
            experiment_id=identifier(experiment_id),
            name=name,
            source_run_id=source_run_id,
            tags=values.pairs("tags", tags),
            params=param_list[: limits.MAX_PARAMS_PER_BATCH],
            model_type=model_type,
        )
        model = self._store.logged_models.create(request).model
        rest = param_list[limits.MAX_PARAMS_PER_BATCH :]
        if rest:
            self._log_params(model.info.model_id, rest)
            return self.get_logged_model(model.info.model_id)
        return logged_model_from_wire(model)

    def get_logged_model(self, model_id: str) -> LoggedModel:
        """The logged model with this id. NotFound, also when it is deleted."""
        answer = self._store.logged_models.get(checked(wire.GetLoggedModel, model_id=model_id))
        return logged_model_from_wire(answer.model)

    def finalize_logged_model(self, model_id: str, status: str) -> LoggedModel:
        """Say that a model's files are there ("READY"), or that saving them failed ("FAILED")."""
        request = checked(
            wire.FinalizeLoggedModel, model_id=model_id, status=wire_status(str(status))
        )
        return logged_model_from_wire(self._store.logged_models.finalize(request).model)

    def delete_logged_model(self, model_id: str) -> None:
        """Delete a logged model. NotFound."""
        self._store.logged_models.delete(checked(wire.LoggedModelRef, model_id=model_id))

    def search_logged_models(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None = None,
        datasets: Sequence[Mapping[str, Any]] | None = None,
        max_results: int | None = None,
        order_by: Sequence[Mapping[str, Any]] | None = None,
        page_token: str | None = None,
    ) -> PagedList[LoggedModel]:
        """A page of logged models that a filter accepts.

        `order_by` holds dictionaries with `field_name`, and `ascending`, `dataset_name`,
        `dataset_digest` if wanted; `datasets` such with `dataset_name`, `dataset_digest`.
        """
        request = checked(
            wire.SearchLoggedModels,
            experiment_ids=[identifier(experiment_id) for experiment_id in experiment_ids],
            filter=filter_string or None,
            datasets=[dict(dataset) for dataset in datasets or ()],
            max_results=max_results,
            order_by=[dict(order) for order in order_by or ()],
            page_token=page_token,
        )
        page = self._store.logged_models.search(request)
        return PagedList([logged_model_from_wire(m) for m in page.models], page.next_page_token)

    def set_logged_model_tags(self, model_id: str, tags: Mapping[str, Any]) -> None:
        """Write tags of a logged model, over what was there. NotFound."""
        self._store.logged_models.set_tags(
            checked(wire.SetLoggedModelTags, model_id=model_id, tags=values.pairs("tags", tags))
        )

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        """Remove a tag of a logged model. NotFound, also when the tag is not there."""
        self._store.logged_models.delete_tag(
            checked(wire.DeleteLoggedModelTag, model_id=model_id, tag_key=key)
        )

    def log_model_params(self, model_id: str, params: Mapping[str, str]) -> None:
        """Write parameters of a logged model, each once. NotFound."""
        self._log_params(model_id, values.pairs("params", params))

    def _log_params(self, model_id: str, params: list[dict[str, Any]]) -> None:
        size = limits.MAX_PARAMS_PER_BATCH
        requests = [
            checked(wire.LogLoggedModelParams, model_id=model_id, params=params[i : i + size])
            for i in range(0, len(params), size)
        ]
        for request in requests:
            self._store.logged_models.log_params(request)
