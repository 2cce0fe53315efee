"""What every ModelVersionStore must do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import logged_models, model_versions
from headrace.protocol.model_versions import ModelVersionRef, TransitionStage
from headrace.protocol.registered_models import AliasRef, SetAlias
from headrace.protocol.wire import Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    AWKWARD_TEXTS,
    UNKNOWN,
    UNKNOWN_MODEL,
    all_pages,
    as_dict,
    get_registered_model,
    get_run,
    get_version,
    new_experiment,
    new_model,
    new_registered_model,
    new_run,
    new_version,
    outcomes,
    unique,
)


def _place(store: Store, name: str, version: str) -> str:
    return store.model_versions.download_uri(ModelVersionRef(name, version)).artifact_uri


class ModelVersionContract:
    """Versions: numbered, described, staged, tagged, deleted."""

    def test_new_version(self, store: Store) -> None:
        """Is READY at once, in no stage, with what it was given."""
        name = new_registered_model(store)
        version = new_version(
            store,
            name,
            source="s3://bucket/x",
            tags=[Tag("k", "v")],
            description="d",
            run_link="http://link",
        )
        assert (version.name, version.version) == (name, "1")
        assert (version.status, version.current_stage) == ("READY", "None")
        assert (version.source, version.run_id) == ("s3://bucket/x", "")
        assert (version.description, version.run_link) == ("d", "http://link")
        assert as_dict(version.tags) == {"k": "v"}
        assert version.creation_timestamp == version.last_updated_timestamp
        assert get_version(store, name, "1") == version
        assert _place(store, name, "1") == "s3://bucket/x"
        assert get_registered_model(store, name).latest_versions == [version]

    def test_numbers_are_never_given_twice(self, store: Store) -> None:
        """Not after the highest was deleted, and not to two who ask at once."""
        name = new_registered_model(store)
        found = outcomes([lambda: new_version(store, name).version] * 6)
        assert set(found) == {"1", "2", "3", "4", "5", "6"}
        store.model_versions.delete(ModelVersionRef(name, "6"))
        assert new_version(store, name).version == "7"

    def test_unknown_is_not_found(self, store: Store) -> None:
        """A version, and a version of an unknown model."""
        with pytest.raises(NotFound):
            new_version(store, unique("never"))
        for name in (unique("never"), new_registered_model(store)):
            for call in self._calls(store, name):
                with pytest.raises(NotFound):
                    call()

    def _calls(self, store: Store, name: str) -> list[Callable[[], object]]:
        s, p, ref = store.model_versions, model_versions, ModelVersionRef(name, "1")
        return [
            lambda: s.get(ref),
            lambda: s.update(p.UpdateModelVersion(name, "1", "d")),
            lambda: s.delete(ref),
            lambda: s.download_uri(ref),
            lambda: s.transition_stage(TransitionStage(name, "1", "Staging")),
            lambda: s.set_tag(p.SetModelVersionTag(name, "1", "k", "v")),
            lambda: s.delete_tag(p.DeleteModelVersionTag(name, "1", "k")),
        ]

    def test_description_and_tags(self, store: Store) -> None:
        """Are written over; removing a tag that is not there is harmless."""
        name = new_registered_model(store)
        new_version(store, name, description="old")
        answer = store.model_versions.update(model_versions.UpdateModelVersion(name, "1", "new"))
        assert answer.model_version.description == "new"
        for text in AWKWARD_TEXTS:
            store.model_versions.set_tag(model_versions.SetModelVersionTag(name, "1", "k", text))
            version = get_version(store, name, "1")
            assert (version.description, as_dict(version.tags)) == ("new", {"k": text})
        for _ in range(2):
            store.model_versions.delete_tag(model_versions.DeleteModelVersionTag(name, "1", "k"))
        assert get_version(store, name, "1").tags == []

    def test_deleting_takes_aliases_along(self, store: Store) -> None:
        """And leaves the other versions alone."""
        name = new_registered_model(store)
        for _ in range(2):
            new_version(store, name, tags=[Tag("k", "v")])
        store.registered_models.set_alias(SetAlias(name, "gone", "1"))
        store.registered_models.set_alias(SetAlias(name, "kept", "2"))
        store.model_versions.delete(ModelVersionRef(name, "1"))
        for call in self._calls(store, name):
            with pytest.raises(NotFound):
                call()
        with pytest.raises(InvalidRequest):
            store.registered_models.get_by_alias(AliasRef(name, "gone"))
        kept = get_version(store, name, "2")
        assert (kept.aliases, as_dict(kept.tags)) == (["kept"], {"k": "v"})

    def test_stages(self, store: Store) -> None:
        """Others stay where they are unless they are to be archived."""
        name = new_registered_model(store)
        for _ in range(3):
            new_version(store, name)

        def move(version: str, *, archive: bool) -> list[str]:
            answer = store.model_versions.transition_stage(
                TransitionStage(name, version, "production", archive)
            ).model_version
            assert answer == get_version(store, name, version)
            return [get_version(store, name, str(i)).current_stage for i in (1, 2, 3)]

        assert move("1", archive=False) == ["Production", "None", "None"]
        assert move("2", archive=False) == ["Production", "Production", "None"]
        assert move("3", archive=True) == ["Archived", "Archived", "Production"]
        assert move("3", archive=True) == ["Archived", "Archived", "Production"]


class ModelSourceContract:
    """Where a version's files lie, and what they come from."""

    def test_logged_model(self, store: Store) -> None:
        """A version of it lies where the model lies, and comes from its run."""
        run_id = new_run(store)
        info = new_model(store, source_run_id=run_id).info
        name = new_registered_model(store)
        version = new_version(store, name, source=f"models:/{info.model_id}")
        assert (version.run_id, version.model_id) == (run_id, info.model_id)
        assert version.source == f"models:/{info.model_id}"
        assert _place(store, name, "1") == info.artifact_uri

    def test_another_version(self, store: Store) -> None:
        """A copy lies where the original lies, and comes from the same run and model."""
        run_id = new_run(store)
        info = new_model(store, source_run_id=run_id).info
        origin, name = new_registered_model(store), new_registered_model(store)
        new_version(store, origin, source=f"models:/{info.model_id}")
        store.registered_models.set_alias(SetAlias(origin, "best", "1"))
        for i, source in enumerate((f"models:/{origin}/1", f"models:/{origin}@best"), start=1):
            copy = new_version(store, name, source=source)
            assert (copy.run_id, copy.model_id) == (run_id, info.model_id)
            assert _place(store, name, str(i)) == info.artifact_uri
        store.logged_models.delete(logged_models.LoggedModelRef(info.model_id))
        assert new_version(store, name, source=f"models:/{origin}/1").version == "3"

    def test_path_of_a_run(self, store: Store) -> None:
        """Lies below the run's artifacts."""
        run_id, name = new_run(store), new_registered_model(store)
        root = get_run(store, run_id).info.artifact_uri
        for i, fields in enumerate(({}, {"run_id": run_id}), start=1):
            version = new_version(store, name, source=f"runs:/{run_id}/a/model", **fields)
            assert version.run_id == run_id
            assert _place(store, name, str(i)) == f"{root}/a/model"

    @pytest.mark.parametrize("scheme", ["mlflow-artifacts:/root", "/srv/root", "file:///srv/root"])
    def test_place_inside_a_run_or_model(self, store: Store, scheme: str) -> None:
        """Is taken; one outside, beside or above is refused."""
        experiment_id = new_experiment(store, artifact_location=scheme)
        run_id, other = new_run(store, experiment_id), new_run(store, experiment_id)
        info = new_model(store, experiment_id).info
        name = new_registered_model(store)
        root = get_run(store, run_id).info.artifact_uri
        for source, fields in (
            (f"{root}/model", {"run_id": run_id}),
            (root, {"run_id": run_id}),
            (f"{info.artifact_uri}/x", {"model_id": info.model_id}),
        ):
            version = new_version(store, name, source=source, **fields)
            assert _place(store, name, version.version) == source
        outside = root.rpartition("/")[0]
        for source, fields in (
            (f"{root}/model", {}),
            (f"{root}/model", {"run_id": other}),
            (f"{root}/model", {"model_id": info.model_id}),
            (f"{root}-2/model", {"run_id": run_id}),
            (outside, {"run_id": run_id}),
            ("/etc", {"run_id": run_id}),
            ("model", {"run_id": run_id}),
            ("file://elsewhere/srv", {"run_id": run_id}),
            ("http://127.0.0.1/model", {"run_id": run_id}),
            ("http://[", {"run_id": run_id}),
        ):
            with pytest.raises(InvalidRequest):
                new_version(store, name, source=source, **fields)

    @pytest.mark.parametrize(
        "climb", ["..", "%2e%2e", "%252E%252e", ".%2E", "..\\..", "%2e%2e%5c", "%25252e%25252e"]
    )
    def test_no_way_up(self, store: Store, climb: str) -> None:
        """Whatever the scheme and however often it is encoded."""
        run_id, name = new_run(store), new_registered_model(store)
        root = get_run(store, run_id).info.artifact_uri
        for source in (
            f"{root}/{climb}/x",
            f"runs:/{run_id}/{climb}/x",
            f"s3://bucket/{climb}/x",
            f"{root}/a%2f{climb}%2fx",
        ):
            with pytest.raises(InvalidRequest):
                new_version(store, name, source=source, run_id=run_id)
        assert get_registered_model(store, name).latest_versions == []

    @pytest.mark.parametrize("source", ["s3://b/x", "gs://b/x", "dbfs:/x", "abfss://c@a/x"])
    def test_other_places_are_kept(self, store: Store, source: str) -> None:
        """As they are, with the run that the caller names, which may be another server's."""
        name = new_registered_model(store)
        version = new_version(store, name, source=source, run_id=UNKNOWN)
        assert (version.source, version.run_id) == (source, UNKNOWN)
        assert _place(store, name, "1") == source

    def test_what_is_not_there(self, store: Store) -> None:
        """Is NotFound; a URI that names nothing, or two things at once, is refused."""
        run_id, name = new_run(store), new_registered_model(store)
        model_id = new_model(store).info.model_id
        for source in (
            f"models:/{UNKNOWN_MODEL}",
            f"models:/{unique('never')}/1",
            f"models:/{name}/9",
            f"runs:/{UNKNOWN}/model",
        ):
            with pytest.raises(NotFound):
                new_version(store, name, source=source)
        for source, fields in (
            ("models:/", {}),
            (f"models:/{name}/Production", {}),
            (f"models:/{name}/{'9' * 30}", {}),
            (f"models:/{model_id}", {"model_id": new_model(store).info.model_id}),
            (f"runs:/{run_id}/model", {"run_id": new_run(store)}),
        ):
            with pytest.raises(InvalidRequest):
                new_version(store, name, source=source, **fields)

    def test_prompts_have_no_files(self, store: Store) -> None:
        """Their placeholder is taken, but marking a version as a prompt opens no other way."""
        name = new_registered_model(store)
        tags = [Tag("mlflow.prompt.is_prompt", "true")]
        assert new_version(store, name, source="dummy-source", tags=tags).source == "dummy-source"
        for source in ("/etc/passwd", "dummy-source/../x"):
            with pytest.raises(InvalidRequest):
                new_version(store, name, source=source, tags=tags)
        with pytest.raises(InvalidRequest):
            new_version(store, name, source="dummy-source")


class ModelVersionSearchContract:
    """Searching versions."""

    def test_pages_hold_each_match_once(self, store: Store) -> None:
        """In the order that was asked for; the versions are whole."""
        name = new_registered_model(store)
        for i in range(5):
            new_version(store, name, tags=[Tag("n", str(i))])
        store.registered_models.set_alias(SetAlias(name, "best", "3"))

        def ask(token: str | None) -> tuple[list[model_versions.ModelVersion], str | None]:
            page = store.model_versions.search(
                model_versions.SearchModelVersions(
                    filter=f"name = '{name}'",
                    max_results=2,
                    order_by=["version_number DESC"],
                    page_token=token,
                )
            )
            return page.model_versions, page.next_page_token

        found = all_pages(ask)
        assert found == [get_version(store, name, str(i)) for i in (5, 4, 3, 2, 1)]

    def test_filter(self, store: Store) -> None:
        """By name, run, source, number and tags."""
        run_id, name = new_run(store), new_registered_model(store)
        new_version(store, name, source=f"runs:/{run_id}/m")
        new_version(store, name, source="s3://b/2", tags=[Tag("k", "v")])
        for condition, numbers in (
            (f"run_id = '{run_id}'", {"1"}),
            ("source_path LIKE 's3:%'", {"2"}),
            ("version_number > 1", {"2"}),
            ("tags.k = 'v'", {"2"}),
            ("tags.k != 'v'", set()),
        ):
            page = store.model_versions.search(
                model_versions.SearchModelVersions(filter=f"name = '{name}' AND {condition}")
            )
            assert {each.version for each in page.model_versions} == numbers, condition

    def test_bad_searches_are_refused(self, store: Store) -> None:
        """As the caller's mistakes."""
        bad: list[dict[str, object]] = [
            {"filter": "current_stage = 'x'"},
            {"order_by": ["tags.k"]},
            {"page_token": "x"},
        ]
        for fields in bad:
            with pytest.raises(InvalidRequest):
                store.model_versions.search(
                    model_versions.SearchModelVersions(**fields)  # type: ignore[arg-type]  # the fields vary
                )
