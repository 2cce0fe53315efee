"""Calls that are answered together: what each would get alone, and errors where they belong."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.models.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from headrace.models.signature import ModelSignature
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker.merging import of_data
from headrace.serving.worker.scoring import Scorer
from headrace.serving.worker.trial import Trial

COLUMNS = ModelSignature(Schema([ColSpec("double", "x"), ColSpec("long", "n")]))
Predict = Callable[[Any], Any]


class Told(pyfunc.PythonModel):
    """Predicts by a function, and notes how many rows it was given each time."""

    def __init__(self, function: Predict) -> None:
        self.function = function
        self.sizes: list[int] = []
        self.params: list[Any] = []

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """What the function says."""
        self.sizes.append(len(model_input))
        self.params.append(params)
        return self.function(model_input)


class Made:
    """A model that was saved and loaded, and its scorer."""

    def __init__(self, folder: Path, model: Any, signature: Any = COLUMNS, **more: Any) -> None:
        pyfunc.save_model(folder, python_model=model, signature=signature, **more)
        loaded = pyfunc.load_model(str(folder), trust=True)
        self.native: Any = loaded.native
        self.scorer = Scorer(loaded)

    def ask(self, *bodies: Any, kind: Any = "invocations") -> list[Any]:
        """Answers to bodies that came together: predictions, or Failed."""
        calls = [Call(kind, json.dumps(body).encode()) for body in bodies]
        return [_said(answer) for answer in self.scorer.answer(calls)]

    def trust(self) -> None:
        """Have the model proven to take several calls."""
        for _ in range(5):
            self.ask(rows((1.0, 1)), rows((2.0, 2)))
        self.native.sizes.clear()


def _said(answer: Answered | Failed) -> Any:
    return answer if isinstance(answer, Failed) else json.loads(answer.body)["predictions"]


def rows(*given: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    """A request with these rows of x and n."""
    return {"dataframe_split": {"columns": ["x", "n"], "data": [[*row] for row in given]}, **more}


def total(table: Any) -> Any:
    """x + n of each row."""
    return (table["x"] + table["n"]).to_numpy()


@pytest.fixture(autouse=True)
def importable() -> Iterator[None]:
    """Models are pickled by reference to this module, which must be found by its name."""
    before = list(sys.path)
    sys.path.insert(0, str(Path(__file__).parents[3]))
    yield
    sys.path[:] = before


def test_the_first_batches_are_predicted_both_ways_and_later_ones_at_once(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(total))
    bodies = rows((1.0, 1)), rows((2.0, 2), (3, 3)), rows((None, 4))
    wanted = [[2.0], [4.0, 6.0], [None]]
    for _ in range(3):
        assert made.ask(*bodies) == wanted
    assert made.native.sizes == [4, 1, 2, 1] * 3
    made.native.sizes.clear()
    for _ in range(3):
        assert made.ask(*bodies) == wanted
    assert made.native.sizes == [4, 1, 2, 1, 4, 4]  # the 4th is a power of two
    assert made.scorer.takes_several


def test_equal_calls_prove_nothing_of_unlike_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made(tmp_path / "m", Told(lambda table: (table["x"] - table["x"].mean()).to_numpy()))
    same = rows((5.0, 1))
    for _ in range(10):
        assert made.ask(same, same) == [[0.0], [0.0]]
    with caplog.at_level(logging.WARNING, "headrace.serving"):
        for _ in range(2):
            assert made.ask(rows((1.0, 1)), rows((3.0, 1))) == [[0.0], [0.0]]
    assert not made.scorer.takes_several
    (said,) = [record for record in caplog.records if record.name == "headrace.serving"]
    assert "differ" in said.getMessage()


@pytest.mark.parametrize(
    "function",
    [
        lambda table: np.array([float(table["x"].sum())]),
        lambda table: "one answer",
        lambda table: {"answer": [1, 2, 3]},
        lambda table: np.float64(1),
        lambda table: None,
    ],
)
def test_a_model_without_an_entry_for_each_row_is_asked_one_by_one(
    tmp_path: Path, function: Predict
) -> None:
    made = Made(tmp_path / "m", Told(function))
    alone = [made.ask(rows((1.0, 1)))[0], made.ask(rows((2.0, 2)))[0]]
    assert made.ask(rows((1.0, 1)), rows((2.0, 2))) == alone
    assert not made.scorer.takes_several
    assert made.ask(rows((1.0, 1)), rows((2.0, 2))) == alone


@pytest.mark.parametrize(
    "function",
    [
        total,
        lambda table: total(table).tolist(),
        lambda table: pd.Series(total(table)),
        lambda table: pd.DataFrame({"a": total(table), "b": "x"}),
        lambda table: {"a": total(table), "b": np.zeros((len(table), 2, 2), dtype="float32")},
        lambda table: [{"a": [x], "b": b"x"} for x in total(table)],
        lambda table: np.array([f"{x}" for x in total(table)]),
        lambda table: np.array([np.inf, -np.inf, np.nan] * len(table)).reshape(-1, 3),
    ],
)
def test_predictions_of_every_kind_are_taken_apart(tmp_path: Path, function: Predict) -> None:
    made = Made(tmp_path / "m", Told(function))
    bodies = [rows((1.0, 1)), rows((2.0, 2), (3.0, 4))]
    alone = [
        next(made.scorer.answer([Call("invocations", json.dumps(b).encode())])) for b in bodies
    ]
    made.trust()
    calls = [Call("invocations", json.dumps(body).encode()) for body in bodies]
    assert list(made.scorer.answer(calls)) == alone
    assert made.native.sizes == [3]
    assert made.scorer.takes_several


def test_only_equal_params_go_together(tmp_path: Path) -> None:
    params = ParamSchema([ParamSpec("k", "double", 1.0), ParamSpec("m", "string", "")])
    made = Made(tmp_path / "m", Told(total), ModelSignature(COLUMNS.inputs, params=params))
    made.trust()
    made.native.params.clear()
    body = rows((1.0, 1))
    assert (
        made.ask(
            body,
            rows((1.0, 1), params={"k": 2}),
            {**body, "params": {"k": 1}},
            {**body, "params": None},
        )
        == [[2.0]] * 4
    )
    assert sorted(made.native.sizes) == [1, 3]
    assert made.scorer.takes_several
    assert sorted(each["k"] for each in made.native.params) == [1.0, 2.0]
    wrong = made.ask(body, {**body, "params": {"k": "x"}}, {**body, "params": [1]})
    assert wrong[0] == [2.0]
    assert "'k'" in wrong[1].message
    assert "'params'" in wrong[2].message


def test_predictions_of_another_length_are_noticed_at_any_time(tmp_path: Path) -> None:
    def sometimes(table: Any) -> Any:
        return total(table)[:1] if (table["x"] == 9).any() else total(table)

    made = Made(tmp_path / "m", Told(sometimes))
    made.trust()
    assert made.ask(rows((9.0, 1)), rows((2.0, 2))) == [[10.0], [4.0]]
    assert not made.scorer.takes_several


def test_a_table_whose_rows_are_counted_otherwise_goes_alone() -> None:
    table = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    assert of_data(table, may_grow=True).likeness is not None
    for other in (table.iloc[1:], table.iloc[::2], table.set_index("x"), table.iloc[:0]):
        assert of_data(other, may_grow=True).likeness is None


class Centered(Told):
    """Mixes its rows up if a param says so."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """x, or what is above its mean."""
        x = model_input["x"].to_numpy()
        return x - x.mean() if params["center"] else x


def test_trust_with_some_params_is_none_with_others(tmp_path: Path) -> None:
    params = ParamSchema([ParamSpec("center", "boolean", default=False)])
    signature = ModelSignature(COLUMNS.inputs, params=params)
    made = Made(tmp_path / "m", Centered(total), signature)
    made.trust()
    asked = {"params": {"center": True}}
    assert made.ask(rows((1.0, 1), **asked), rows((2.0, 2), **asked)) == [[0.0], [0.0]]
    assert not made.scorer.takes_several


def test_a_family_that_was_forgotten_is_tried_anew() -> None:
    trial = Trial(is_over=False)
    for _ in range(5):
        trial.must_check("old", are_alike=False)
    assert not trial.must_check("old", are_alike=False)
    for family in range(300):
        assert trial.must_check(family, are_alike=False)
    assert trial.must_check("old", are_alike=False)


def refuse_seven(table: Any) -> Any:
    """Fails for a row with x = 7."""
    if (table["x"] == 7).any():
        raise ValueError("no sevens")
    return total(table)


def test_an_error_stays_with_the_call_that_caused_it(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(refuse_seven))
    made.trust()
    good, failed, odd, bad = made.ask(
        rows((1.0, 1)), rows((7.0, 1)), rows((1.0, "x")), {"dataframe_split": 3}
    )
    assert good == [2.0]
    assert (failed.status, failed.code) == (400, "BAD_REQUEST")
    assert "ValueError: no sevens" in failed.message
    assert "Traceback" not in failed.message
    assert "refuse_seven" in failed.trace
    assert "'n'" in odd.message
    assert (odd.code, odd.trace) == ("INVALID_PARAMETER_VALUE", None)
    assert "dataframe_split" in bad.message
    assert made.scorer.takes_several


def test_a_model_that_fails_only_for_several_is_asked_one_by_one(tmp_path: Path) -> None:
    def one(table: Any) -> Any:
        if len(table) != 1:
            raise ValueError("one row at a time")
        return total(table)

    made = Made(tmp_path / "m", Told(one))
    assert made.ask(rows((1.0, 1)), rows((2.0, 2))) == [[2.0], [4.0]]
    assert not made.scorer.takes_several


def test_a_model_that_fails_only_for_one_is_asked_one_by_one(tmp_path: Path) -> None:
    def several(table: Any) -> Any:
        if len(table) == 1:
            raise ValueError("several rows at a time")
        return total(table)

    made = Made(tmp_path / "m", Told(several))
    assert [answer.status for answer in made.ask(rows((1.0, 1)), rows((2.0, 2)))] == [400, 400]
    assert not made.scorer.takes_several


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("too deep")])
def test_errors_of_python_itself_are_answers_too(tmp_path: Path, error: Exception) -> None:
    def fail(table: Any) -> Any:
        raise error

    (answer,) = Made(tmp_path / "m", Told(fail)).ask(rows((1.0, 1)))
    assert answer.status == 400
    assert type(error).__name__ in answer.trace


@pytest.mark.parametrize(
    "more", [{"metadata": {"batching": False}}, {"model_config": {"batching": False}}]
)
def test_batching_can_be_turned_off(tmp_path: Path, more: Any) -> None:
    made = Made(tmp_path / "m", Told(total), **more)
    made.trust()
    assert made.ask(rows((1.0, 1)), rows((2.0, 2))) == [[2.0], [4.0]]
    assert made.native.sizes == [1, 1]


def test_without_a_signature_tables_of_equal_types_go_together(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(total), None)
    made.trust()
    # The table of whole numbers has another type of column, and goes alone.
    assert made.ask(rows((1.0, 1)), rows((1, 1)), rows((2.0, 2))) == [[2.0], [2], [4.0]]
    assert sorted(made.native.sizes) == [1, 2]


def test_tensors_go_together_along_their_first_axis(tmp_path: Path) -> None:
    signature = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2))]))
    made = Made(tmp_path / "m", Told(lambda array: array.sum(axis=1)), signature)
    one, two = {"inputs": [[1, 2]]}, {"instances": [[3.5, 4], [5, 6]]}
    for _ in range(5):
        assert made.ask(one, two) == [[3.0], [7.5, 11.0]]
    assert made.native.sizes[-1] == 3


def test_tensors_of_a_fixed_length_go_alone(tmp_path: Path) -> None:
    signature = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (1, 2))]))
    made = Made(tmp_path / "m", Told(lambda array: array.sum(axis=1)), signature)
    for _ in range(5):
        assert made.ask({"inputs": [[1, 2]]}, {"inputs": [[3, 4]]}) == [[3.0], [7.0]]
    assert set(made.native.sizes) == {1}


def test_named_tensors_go_together(tmp_path: Path) -> None:
    signature = ModelSignature(
        Schema(
            [
                TensorSpec(np.dtype("int64"), (-1,), "a"),
                TensorSpec(np.dtype("float64"), (-1, 2), "b"),
            ]
        )
    )
    made = Made(tmp_path / "m", Told(lambda given: given["b"].sum(axis=1) + given["a"]), signature)
    body = {"inputs": {"a": [1, 2], "b": [[1, 2], [3, 4]]}}
    for _ in range(5):
        assert made.ask(body, {"instances": [{"a": 3, "b": [0, 0.5]}]}) == [[4.0, 9.0], [3.5]]
    assert made.scorer.takes_several


class Hinted(pyfunc.PythonModel):
    """Takes a list of texts."""

    sizes: list[int]

    def load_context(self, context: Any) -> None:
        """Begin."""
        self.sizes = []

    def predict(self, model_input: list[str]) -> list[str]:
        """Each text in capitals."""
        self.sizes.append(len(model_input))
        return [text.upper() for text in model_input]


def test_lists_go_together_where_a_hint_says_that_each_item_is_one(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Hinted(), None)
    for _ in range(5):
        good, wrong, other = made.ask(
            {"inputs": ["a"]}, {"inputs": [{"a": 1}]}, {"inputs": ["b", "c"]}
        )
        assert (good, other) == (["A"], ["B", "C"])
        assert wrong.status == 400
    assert made.scorer.takes_several
    for _ in range(5):
        made.native.sizes.clear()
        assert made.ask({"inputs": ["a"]}, {"inputs": ["b"]}) == [["A"], ["B"]]
    assert made.native.sizes == [2]
    assert "inputs" in made.ask({"dataframe_split": {}})[0].message


def test_a_list_without_a_hint_is_one_input(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(len), None)
    body = {"inputs": [{"role": "user"}, {"role": "assistant"}]}
    assert made.ask(body, body) == [2, 2]
    assert made.scorer.takes_several


def test_what_language_models_are_asked_is_answered_bare(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(lambda given: {"said": given}), None)
    body = {"messages": [{"role": "user", "content": "hi"}]}
    (answer,) = made.scorer.answer([Call("invocations", json.dumps(body).encode())])
    assert isinstance(answer, Answered)
    assert json.loads(answer.body) == {"said": body}


def test_csv_goes_together_with_json(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(total))
    table = Call("invocations", b"\xef\xbb\xbfx,n\n1.5,2\n", "text/csv")
    for _ in range(4):
        assert [_said(each) for each in made.scorer.answer([table, table])] == [[3.5], [3.5]]
    for body in (b"\xff", b"x\n1", b"", b"x,n\na,b"):
        (answer,) = made.scorer.answer([Call("invocations", body, "text/csv")])
        assert isinstance(answer, Failed)
        assert answer.status == 400


def test_parquet_needs_pyarrow(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(total))
    call = Call("invocations", b"PAR1", "application/vnd.apache.parquet")
    (answer,) = made.scorer.answer([call])
    assert isinstance(answer, Failed)
    assert answer.status == 400
    assert "pyarrow" in answer.message or "Parquet" in answer.message


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b'"x"', b'{"inputs":1,"a":2}'],
)
def test_bodies_that_are_no_request_are_told_apart(tmp_path: Path, body: bytes) -> None:
    made = Made(tmp_path / "m", Told(total))
    good = Call("invocations", json.dumps(rows((1.0, 1))).encode())
    first, failed = made.scorer.answer([good, Call("invocations", body)])
    assert _said(first) == [2.0]
    assert isinstance(failed, Failed)
    assert (failed.status, failed.trace) == (400, None)


def test_predictions_that_have_no_form_in_json_fail_alone(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", Told(lambda table: [object() if x == 7 else x for x in table["x"]]))
    for _ in range(4):
        good, failed = made.ask(rows((1.0, 1)), rows((7.0, 1)))
        assert good == [1.0]
        assert "object" in failed.message
    assert made.scorer.takes_several
