"""What `patch` promises, on a small library that is made for the test."""

from __future__ import annotations

import importlib
import inspect
import logging
import pickle
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import headrace
from headrace.client.autolog.library import Library, Options
from headrace.client.autolog.patching import Call, Observer, patch
from tests.client.autolog.conftest import only_run, runs

BOOST = '''
"""A library that trains."""

def train(params, rounds=2, *, callbacks=(), **more):
    """Trains for some rounds."""
    for n in range(rounds):
        for callback in callbacks:
            callback(n)
    if params.get("fail"):
        raise params["fail"]
    return "booster", params, rounds, more

class Model:
    def fit(self, x):
        """Fits."""
        self.fitted = x
        return self

    @classmethod
    def build(cls, x):
        return cls().fit(x)

    @staticmethod
    def load(path):
        return path

class Child(Model):
    def fit(self, x):
        train({"from": "child"})
        return super().fit(x)
'''


@dataclass(frozen=True, kw_only=True)
class BoostOptions(Options):
    every: int = 1


class Boost:
    """The library, its module, and what was observed."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.library = Library("boost", {}, BoostOptions(), versions=("0", "9"))
        self.calls: list[Call] = []
        self.results: list[Any] = []

    def on(self, **options: Any) -> None:
        self.library.switch(BoostOptions(**options))

    def observe(self, name: str = "train", observer: Observer | None = None, **how: Any) -> None:
        patch(self.library, self.module, name, observer or self.note, **how)

    def note(self, call: Call) -> Generator[None, Any, None]:
        self.calls.append(call)
        call.log.params({"rounds": call.argument("rounds", 2)})
        result = yield
        self.results.append(result)
        call.log.metrics({"done": 1})


@pytest.fixture
def boost(database: str, make_module: Callable[[str, str], Path]) -> Iterator[Boost]:
    make_module("boost", BOOST)
    found = Boost(importlib.import_module("boost"))
    found.on()
    yield found
    found.library.switch(BoostOptions(disable=True))


def test_a_call_makes_a_run_of_its_own_and_ends_it(boost: Boost) -> None:
    boost.observe()
    booster = boost.module.train({"a": 1}, rounds=3)
    assert booster == ("booster", {"a": 1}, 3, {})
    assert boost.results == [booster]
    assert headrace.active_run() is None
    run = only_run()
    assert run.info.status == "FINISHED"
    assert run.data.params == {"rounds": "3"}
    assert run.data.metrics == {"done": 1.0}
    assert run.data.tags["mlflow.autologging"] == "boost"


def test_extra_tags_are_on_the_runs_that_are_begun_for_a_call(boost: Boost) -> None:
    boost.on(extra_tags={"team": "blue"})
    boost.observe()
    boost.module.train({})
    assert only_run().data.tags["team"] == "blue"


def test_the_active_run_is_used_and_left_open(boost: Boost) -> None:
    boost.on(extra_tags={"team": "blue"})
    boost.observe()
    with headrace.start_run() as active:
        boost.module.train({})
        boost.module.train({})
        assert headrace.active_run() is active
    run = only_run()
    assert run.info.run_id == active.info.run_id
    assert run.data.metrics == {"done": 1.0}
    assert not {"team", "mlflow.autologging"} & run.data.tags.keys()


def test_exclusive_leaves_the_users_runs_alone(boost: Boost) -> None:
    boost.on(exclusive=True)
    boost.observe()
    with headrace.start_run():
        assert boost.module.train({})[0] == "booster"
    assert not only_run().data.params
    boost.module.train({})
    assert [bool(run.data.params) for run in runs()] == [False, True]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_call_raises_is_the_users_and_the_run_failed(
    boost: Boost, error: BaseException
) -> None:
    boost.observe()
    with pytest.raises(type(error)) as raised:
        boost.module.train({"fail": error})
    assert raised.value is error
    assert raised.value.__context__ is None
    assert only_run().info.status == "FAILED"
    assert headrace.active_run() is None


def test_an_observer_gives_the_call_other_arguments(boost: Boost) -> None:
    def watch(call: Call) -> Generator[None, Any, None]:
        call.set_argument("callbacks", [lambda n: call.log.metrics({"loss": 1 / (n + 1)}, step=n)])
        call.set_argument("rounds", 4)
        call.set_argument("seed", 7)
        yield

    boost.observe(observer=watch)
    params: dict[str, Any] = {}
    _, given, rounds, more = boost.module.train(params, 1)
    assert given is params
    assert (rounds, more) == (4, {"seed": 7})
    history = headrace.Client().get_metric_history(only_run().info.run_id, "loss")
    assert [point.step for point in history] == [0, 1, 2, 3]


def test_arguments_are_known_by_name(boost: Boost) -> None:
    boost.observe()
    boost.module.train({"a": 1}, 3, seed=7)
    (call,) = boost.calls
    assert call.arguments == {"params": {"a": 1}, "rounds": 3, "seed": 7}


def test_of_a_call_that_cannot_be_made_there_is_no_run(boost: Boost) -> None:
    boost.observe()
    with pytest.raises(TypeError, match="params"):
        boost.module.train(rounds=2)
    assert not runs()


def broken_before(call: Call) -> Generator[None, Any, None]:
    call.set_argument("no such", call.arguments["no such"])
    yield


def broken_after(call: Call) -> Generator[None, Any, None]:
    call.set_argument("rounds", 5)
    yield
    raise RuntimeError("after")


def broken_at_once(_call: Call) -> Generator[None, Any, None]:
    raise RuntimeError("at once")


@pytest.mark.parametrize("observer", [broken_before, broken_after, broken_at_once])
def test_an_observer_that_fails_is_one_warning_and_nothing_else(
    boost: Boost, observer: Observer, caplog: pytest.LogCaptureFixture, failures_warn: None
) -> None:
    boost.observe(observer=observer)
    with caplog.at_level(logging.WARNING, "headrace"):
        for _ in range(3):
            booster = boost.module.train({"a": 1}, 2)
            assert booster[2] == (5 if observer is broken_after else 2)
            with pytest.raises(ValueError, match="mine"):
                boost.module.train({"fail": ValueError("mine")})
    warned = [entry for entry in caplog.records if "boost" in entry.getMessage()]
    assert len(warned) == 1
    assert "the training is not affected" in warned[0].getMessage()
    assert {run.info.status for run in runs()} == {"FINISHED", "FAILED"}


def test_in_a_silent_library_nothing_is_said(
    boost: Boost, caplog: pytest.LogCaptureFixture, failures_warn: None
) -> None:
    boost.on(silent=True)
    boost.observe(observer=broken_before)
    boost.module.train({})
    assert not [entry for entry in caplog.records if "did not log" in entry.getMessage()]


def test_for_tests_an_observer_that_fails_raises(boost: Boost) -> None:
    boost.observe(observer=broken_before)
    with pytest.raises(KeyError, match="no such"):
        boost.module.train({})
    assert only_run().info.status == "FAILED"


def test_where_no_run_can_be_made_the_call_goes_on(
    boost: Boost,
    caplog: pytest.LogCaptureFixture,
    failures_warn: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boost.observe()
    monkeypatch.setenv("HEADRACE_RUN_ID", "no run can be called so!")
    with caplog.at_level(logging.WARNING, "headrace"):
        assert boost.module.train({})[0] == "booster"
    assert "did not log a run" in caplog.text
    assert not boost.calls


def test_calls_inside_a_call_are_not_observed(boost: Boost) -> None:
    boost.observe()
    for owner in (boost.module.Model, boost.module.Child):
        patch(boost.library, owner, "fit", boost.note)
    child = boost.module.Child()
    assert child.fit(3) is child
    assert child.fitted == 3
    assert [call.instance for call in boost.calls] == [child]
    only_run()
    boost.module.train({})
    assert len(runs()) == 2


def test_an_observers_own_calls_are_not_observed(boost: Boost) -> None:
    def train_again(call: Call) -> Generator[None, Any, None]:
        boost.module.train({"again": 1})
        yield
        boost.module.train({"again": 2})

    boost.observe(observer=train_again)
    boost.module.train({})
    only_run()


def test_what_is_not_wanted_is_not_observed_nor_what_it_calls(boost: Boost) -> None:
    boost.observe()
    patch(boost.library, boost.module.Child, "fit", boost.note, when=lambda call: False)
    boost.module.Child().fit(1)
    assert not boost.calls
    assert not runs()


def test_class_and_static_methods_stay_what_they_are(boost: Boost) -> None:
    model = boost.module.Model
    patch(boost.library, model, "build", boost.note)
    patch(boost.library, model, "load", boost.note)
    assert model.build(4).fitted == 4
    assert boost.module.Child.build(5).fitted == 5
    assert model.load("x") == model().load("x") == "x"
    assert [call.args[0] for call in boost.calls] == [model, boost.module.Child, "x", "x"]


def test_a_method_that_is_inherited_is_observed_in_the_class_alone(boost: Boost) -> None:
    patch(boost.library, boost.module.Child, "build", boost.note)
    boost.module.Model.build(1)
    assert not boost.calls
    boost.module.Child.build(1)
    assert len(boost.calls) == 1
    boost.library.switch(BoostOptions(disable=True))
    assert "build" not in vars(boost.module.Child)


def test_the_function_looks_as_before(boost: Boost) -> None:
    plain = boost.module.train
    signature = inspect.signature(plain)
    boost.observe()
    assert boost.module.train is not plain
    assert boost.module.train.__name__ == "train"
    assert boost.module.train.__doc__ == "Trains for some rounds."
    assert inspect.signature(boost.module.train) == signature
    assert inspect.isfunction(boost.module.train)


def test_switched_off_everything_is_as_before(boost: Boost) -> None:
    plain, fit = boost.module.train, vars(boost.module.Model)["fit"]
    kept = []
    for _ in range(2):
        boost.on()
        boost.observe()
        boost.observe()
        patch(boost.library, boost.module.Model, "fit", boost.note)
        kept.append(boost.module.train)
        boost.library.switch(BoostOptions(disable=True))
        assert boost.module.train is plain
        assert vars(boost.module.Model)["fit"] is fit
    for held in kept:
        assert held({})[0] == "booster"
    assert not boost.calls


def test_what_somebody_has_put_over_it_stays_when_switched_off(boost: Boost) -> None:
    boost.observe()
    ours = boost.module.train

    def theirs(*args: Any, **kwargs: Any) -> Any:
        return "theirs", ours(*args, **kwargs)

    vars(boost.module)["train"] = theirs
    boost.library.switch(BoostOptions(disable=True))
    assert boost.module.train({})[0] == "theirs"
    assert not boost.calls


def test_threads_have_runs_of_their_own(boost: Boost) -> None:
    boost.observe()
    together = threading.Barrier(4)

    def work(number: int) -> None:
        boost.module.train({}, number + 1, callbacks=[lambda n: n or together.wait(30)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(run.data.params["rounds"] for run in runs()) == ["1", "2", "3", "4"]
    assert {run.info.status for run in runs()} == {"FINISHED"}


def test_observed_classes_and_objects_can_be_pickled(boost: Boost) -> None:
    patch(boost.library, boost.module.Model, "fit", boost.note)
    boost.observe()
    model = boost.module.Model().fit(2)
    pickled = pickle.dumps((model, boost.module.train, model.fit))
    same, train, fit = pickle.loads(pickled)  # noqa: S301 - pickled one line above
    assert same.fitted == 2
    assert train is boost.module.train
    assert fit(5).fitted == 5


def test_what_a_call_takes_and_is_not_a_number_or_too_long_is_no_obstacle(boost: Boost) -> None:
    def note(call: Call) -> Generator[None, Any, None]:
        call.log.params({"a|b": "x" * 200_000, "nul": "\x00y", "": 1, "many": range(3)})
        call.log.metrics({"good": 1, "text": "one", "list": [1], "inf": float("inf")})
        call.log.params({"a|b": "changed", "later": list(range(300_000))})
        yield

    boost.observe(observer=note)
    boost.library.options = BoostOptions(silent=True)
    boost.module.train({})
    run = only_run()
    assert len(run.data.params["a_b"]) == 100_000
    assert run.data.params["nul"] == "y"
    assert run.data.params["later"].startswith("[0, 1, 2, ")
    assert run.data.metrics == {"good": 1.0, "inf": float("inf")}
