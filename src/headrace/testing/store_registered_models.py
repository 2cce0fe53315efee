"""What every RegisteredModelStore must do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.errors import AlreadyExists, InvalidRequest, NotFound
from headrace.protocol import model_versions, registered_models
from headrace.protocol.registered_models import AliasRef, RegisteredModelRef, SetAlias
from headrace.protocol.wire import Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    AWKWARD_TEXTS,
    all_pages,
    as_dict,
    get_registered_model,
    get_version,
    new_registered_model,
    new_version,
    outcomes,
    unique,
)


class RegisteredModelContract:
    """Registered models: made, described, renamed, tagged, deleted."""

    def test_new_model(self, store: Store) -> None:
        """Has what it was given, and no versions."""
        name = new_registered_model(store, tags=[Tag("k", "v")], description="é\n")
        model = get_registered_model(store, name)
        assert (model.name, model.description) == (name, "é\n")
        assert as_dict(model.tags) == {"k": "v"}
        assert model.creation_timestamp == model.last_updated_timestamp
        assert (model.latest_versions, model.aliases) == ([], [])
        assert get_registered_model(store, new_registered_model(store)).description is None

    def test_name_is_taken_once(self, store: Store) -> None:
        """Also among those who ask at the same time; it is free again once it is deleted."""
        name = unique("model")
        request = registered_models.CreateRegisteredModel(name)
        found = outcomes([lambda: store.registered_models.create(request)] * 6)
        refused = [each for each in found if isinstance(each, AlreadyExists)]
        made = [each for each in found if not isinstance(each, Exception)]
        assert (len(made), len(refused)) == (1, 5), found
        with pytest.raises(AlreadyExists, match=name):
            store.registered_models.create(request)
        store.registered_models.delete(RegisteredModelRef(name))
        store.registered_models.create(request)

    def test_unknown_is_not_found(self, store: Store) -> None:
        """Whatever is asked of it."""
        name = unique("never")
        s, p = store.registered_models, registered_models
        calls: list[Callable[[], object]] = [
            lambda: s.get(RegisteredModelRef(name)),
            lambda: s.update(p.UpdateRegisteredModel(name, "d")),
            lambda: s.rename(p.RenameRegisteredModel(name, unique())),
            lambda: s.delete(RegisteredModelRef(name)),
            lambda: s.latest_versions(p.GetLatestVersions(name)),
            lambda: s.set_tag(p.SetRegisteredModelTag(name, "k", "v")),
            lambda: s.delete_tag(p.DeleteRegisteredModelTag(name, "k")),
            lambda: s.set_alias(SetAlias(name, "a", "1")),
            lambda: s.delete_alias(AliasRef(name, "a")),
            lambda: s.get_by_alias(AliasRef(name, "a")),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call()

    def test_description_is_written_over(self, store: Store) -> None:
        """With a text, or with nothing."""
        name = new_registered_model(store, description="old")
        for text in ("new", None):
            answer = store.registered_models.update(
                registered_models.UpdateRegisteredModel(name, text)
            )
            assert not text or answer.registered_model.description == text
            assert (get_registered_model(store, name).description or None) == text

    def test_rename_takes_versions_along(self, store: Store) -> None:
        """With their aliases; not to a name that is taken."""
        name, taken, new_name = new_registered_model(store), new_registered_model(store), unique()
        new_version(store, name)
        store.registered_models.set_alias(SetAlias(name, "best", "1"))
        with pytest.raises(AlreadyExists):
            store.registered_models.rename(registered_models.RenameRegisteredModel(name, taken))
        answer = store.registered_models.rename(
            registered_models.RenameRegisteredModel(name, new_name)
        )
        assert answer.registered_model == get_registered_model(store, new_name)
        version = get_version(store, new_name, "1")
        assert (version.name, version.aliases) == (new_name, ["best"])
        with pytest.raises(NotFound):
            get_registered_model(store, name)

    def test_deleting_is_final(self, store: Store) -> None:
        """Its versions, tags and aliases are gone; a new model of that name has none of them."""
        name = new_registered_model(store, tags=[Tag("k", "v")])
        new_version(store, name, tags=[Tag("k", "v")])
        store.registered_models.set_alias(SetAlias(name, "a", "1"))
        store.registered_models.delete(RegisteredModelRef(name))
        with pytest.raises(NotFound):
            get_version(store, name, "1")
        store.registered_models.create(registered_models.CreateRegisteredModel(name))
        model = get_registered_model(store, name)
        assert (model.tags, model.aliases, model.latest_versions) == ([], [], [])

    def test_tags(self, store: Store) -> None:
        """Are written over, hold any text; removing one that is not there is harmless."""
        name = new_registered_model(store)
        for text in AWKWARD_TEXTS:
            store.registered_models.set_tag(
                registered_models.SetRegisteredModelTag(name, "k", text)
            )
            assert as_dict(get_registered_model(store, name).tags) == {"k": text}
        for _ in range(2):
            store.registered_models.delete_tag(
                registered_models.DeleteRegisteredModelTag(name, "k")
            )
        assert get_registered_model(store, name).tags == []


class AliasContract:
    """Aliases, and the newest version of each stage."""

    def test_alias_points_at_one_version(self, store: Store) -> None:
        """And may be moved; a version may have several."""
        name = new_registered_model(store)
        for _ in range(2):
            new_version(store, name)
        for version in ("1", "2"):
            for alias in ("best", "b"):
                store.registered_models.set_alias(SetAlias(name, alias, version))
            found = store.registered_models.get_by_alias(AliasRef(name, "best")).model_version
            assert (found.version, found.aliases) == (version, ["b", "best"])
        assert get_version(store, name, "1").aliases == []
        aliases = get_registered_model(store, name).aliases
        assert [(each.alias, each.version) for each in aliases] == [("b", "2"), ("best", "2")]
        with pytest.raises(NotFound):
            store.registered_models.set_alias(SetAlias(name, "best", "3"))

    def test_missing_alias(self, store: Store) -> None:
        """Cannot be read; removing it is harmless, twice too."""
        name = new_registered_model(store)
        new_version(store, name)
        store.registered_models.set_alias(SetAlias(name, "best", "1"))
        for _ in range(2):
            store.registered_models.delete_alias(AliasRef(name, "best"))
            with pytest.raises(InvalidRequest, match="best"):
                store.registered_models.get_by_alias(AliasRef(name, "best"))

    def test_latest_is_the_highest_version(self, store: Store) -> None:
        """Without being set; a model without versions has none."""
        name = new_registered_model(store)
        with pytest.raises(InvalidRequest):
            store.registered_models.get_by_alias(AliasRef(name, "latest"))
        for version in ("1", "2"):
            new_version(store, name)
            found = store.registered_models.get_by_alias(AliasRef(name, "latest")).model_version
            assert found == get_version(store, name, version)

    def test_latest_versions(self, store: Store) -> None:
        """The newest of each stage, or of the stages that are named, in any capitals."""
        name = new_registered_model(store)
        for stage in ("Staging", "Staging", "Production", "None"):
            version = new_version(store, name).version
            store.model_versions.transition_stage(
                model_versions.TransitionStage(name, version, stage)
            )
        for stages, expected in (
            ([], {"2": "Staging", "3": "Production", "4": "None"}),
            (["staging"], {"2": "Staging"}),
            (["None", "PRODUCTION"], {"3": "Production", "4": "None"}),
            (["Archived"], {}),
        ):
            found = store.registered_models.latest_versions(
                registered_models.GetLatestVersions(name, list(stages))
            ).model_versions
            assert {each.version: each.current_stage for each in found} == expected
        with pytest.raises(InvalidRequest):
            store.registered_models.latest_versions(
                registered_models.GetLatestVersions(name, ["live"])
            )
        latest = get_registered_model(store, name).latest_versions
        assert {each.version for each in latest} == {"2", "3", "4"}


class RegisteredModelSearchContract:
    """Searching registered models."""

    def _names(self, store: Store, filter_text: str) -> list[str]:
        def ask(token: str | None) -> tuple[list[registered_models.RegisteredModel], str | None]:
            page = store.registered_models.search(
                registered_models.SearchRegisteredModels(
                    filter=filter_text, max_results=2, page_token=token
                )
            )
            return page.registered_models, page.next_page_token

        found = all_pages(ask)
        assert found == [get_registered_model(store, model.name) for model in found]
        return [model.name for model in found]

    def test_pages_are_sorted_by_name(self, store: Store) -> None:
        """And hold whole models, each once."""
        mark = unique("search")
        for i in (3, 1, 2, 0, 4):
            store.registered_models.create(
                registered_models.CreateRegisteredModel(f"{mark}-{i}", tags=[Tag("n", str(i))])
            )
            new_version(store, f"{mark}-{i}")
        by_name = f"name LIKE '{mark}%'"
        assert self._names(store, by_name) == [f"{mark}-{i}" for i in range(5)]
        assert self._names(store, f"{by_name} AND tags.n = '2'") == [f"{mark}-2"]

    def test_prompts_are_left_out_unless_asked_for(self, store: Store) -> None:
        """MLflow keeps prompts among the models, and adds a condition for those without."""
        mark = unique("prompts")
        tag = "mlflow.prompt.is_prompt"
        for name, tags in ((f"{mark}-model", []), (f"{mark}-prompt", [Tag(tag, "true")])):
            store.registered_models.create(registered_models.CreateRegisteredModel(name, tags))
        by_name = f"name LIKE '{mark}%'"
        assert self._names(store, by_name) == [f"{mark}-model"]
        without = f"{by_name} AND tag.`{tag}` != 'true'"
        assert self._names(store, without) == [f"{mark}-model"]
        prompts = f"{by_name} AND tags.`{tag}` = 'true'"
        assert self._names(store, prompts) == [f"{mark}-prompt"]

    def test_bad_searches_are_refused(self, store: Store) -> None:
        """As the caller's mistakes."""
        bad: list[dict[str, object]] = [
            {"filter": "metrics.a > 1"},
            {"order_by": ["description"]},
            {"page_token": "x"},
        ]
        for fields in bad:
            with pytest.raises(InvalidRequest):
                store.registered_models.search(
                    registered_models.SearchRegisteredModels(**fields)  # type: ignore[arg-type]  # the fields vary
                )
