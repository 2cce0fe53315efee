"""What every DatasetStore must do."""

from __future__ import annotations

from headrace.protocol import datasets
from headrace.protocol.datasets import CONTEXT_TAG, Dataset, DatasetInput, ModelInput, ModelOutput
from headrace.protocol.wire import Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    INT64_MAX,
    UNKNOWN_EXPERIMENT,
    as_dict,
    get_run,
    new_experiment,
    new_run,
    outcomes,
)


def _input(name: str, digest: str = "1", **tags: str) -> DatasetInput:
    marks = [Tag(key.replace("context", CONTEXT_TAG), value) for key, value in tags.items()]
    return DatasetInput(Dataset(name, digest, "local", "/data"), marks)


def _noted(store: Store, run_id: str) -> list[tuple[str, str, dict[str, str]]]:
    return [
        (entry.dataset.name, entry.dataset.digest, as_dict(entry.tags))
        for entry in get_run(store, run_id).inputs.dataset_inputs
    ]


class DatasetContract:
    """Inputs and outputs of runs."""

    def test_inputs_are_on_the_run(self, store: Store) -> None:
        """With everything that is known of them, however long."""
        run_id = new_run(store)
        large = Dataset("d", "1", "http", "s" * 65_535, "é" * 1_000_000, "p" * 1_000_000)
        small = Dataset("é日本", "2", "local", "/x")
        store.datasets.log_inputs(
            datasets.LogInputs(
                run_id,
                [DatasetInput(large, [Tag(CONTEXT_TAG, "train")]), DatasetInput(small)],
                [ModelInput("m-1"), ModelInput("m-2")],
            )
        )
        inputs = get_run(store, run_id).inputs
        assert [entry.dataset for entry in inputs.dataset_inputs] == [large, small]
        assert [as_dict(entry.tags) for entry in inputs.dataset_inputs] == [
            {CONTEXT_TAG: "train"},
            {},
        ]
        assert sorted(model.model_id for model in inputs.model_inputs) == ["m-1", "m-2"]

    def test_what_is_noted_stays(self, store: Store) -> None:
        """Noting it again, with other tags too, changes nothing."""
        run_id = new_run(store)
        request = datasets.LogInputs(run_id, [_input("d", context="a")], [ModelInput("m-1")])
        for _ in range(2):
            store.datasets.log_inputs(request)
        twice = [_input("d", context="b"), _input("d", "2"), _input("d", "2", context="c")]
        store.datasets.log_inputs(datasets.LogInputs(run_id, twice))
        assert _noted(store, run_id) == [("d", "1", {CONTEXT_TAG: "a"}), ("d", "2", {})]
        assert len(get_run(store, run_id).inputs.model_inputs) == 1

    def test_experiment_knows_a_data_set_once(self, store: Store) -> None:
        """Each run that takes it in says by itself what for."""
        experiment_id = new_experiment(store)
        one, two = new_run(store, experiment_id), new_run(store, experiment_id)
        store.datasets.log_inputs(datasets.LogInputs(one, [_input("d", context="train")]))
        store.datasets.log_inputs(datasets.LogInputs(two, [_input("d", context="test")]))
        assert _noted(store, one) == [("d", "1", {CONTEXT_TAG: "train"})]
        assert _noted(store, two) == [("d", "1", {CONTEXT_TAG: "test"})]

    def test_inputs_noted_at_once(self, store: Store) -> None:
        """By many runs: all of them have it."""
        experiment_id = new_experiment(store)
        ids = [new_run(store, experiment_id) for _ in range(6)]
        requests = [datasets.LogInputs(run_id, [_input("a"), _input("b")]) for run_id in ids]
        calls = [lambda r=r: store.datasets.log_inputs(r) for r in requests]
        found = outcomes(calls)
        assert not [each for each in found if isinstance(each, Exception)]
        assert all(_noted(store, i) == [("a", "1", {}), ("b", "1", {})] for i in ids)

    def test_outputs(self, store: Store) -> None:
        """Models at steps, each once."""
        run_id = new_run(store)
        made = [ModelOutput("m-1", 0), ModelOutput("m-1", INT64_MAX), ModelOutput("m-2", -3)]
        for _ in range(2):
            store.datasets.log_outputs(datasets.LogOutputs(run_id, made))
        outputs = get_run(store, run_id).outputs
        assert outputs is not None
        found = {(output.model_id, output.step) for output in outputs.model_outputs}
        assert found == {("m-1", 0), ("m-1", INT64_MAX), ("m-2", -3)}
        assert len(outputs.model_outputs) == 3

    def test_search(self, store: Store) -> None:
        """Every data set of the named experiments, with every context it was used in."""
        one, two, other = (new_experiment(store) for _ in range(3))
        for experiment_id, entry in (
            (one, _input("a", context="train")),
            (one, _input("a", context="test")),
            (one, _input("a", context="test")),
            (one, _input("b")),
            (two, _input("a", "2", context="train")),
            (other, _input("c")),
        ):
            store.datasets.log_inputs(datasets.LogInputs(new_run(store, experiment_id), [entry]))
        asked = datasets.SearchDatasets([one, two, UNKNOWN_EXPERIMENT])
        found = store.datasets.search(asked).dataset_summaries
        assert [(d.experiment_id, d.name, d.digest, d.context) for d in found] == [
            (one, "a", "1", "test"),
            (one, "a", "1", "train"),
            (one, "b", "1", None),
            (two, "a", "2", "train"),
        ]
        assert store.datasets.search(datasets.SearchDatasets([])).dataset_summaries == []
