from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.client.autolog import autolog
from headrace.client.autolog.libraries import LIBRARIES
from headrace.client.autolog.library import Library, Options, numbers
from headrace.client.autolog.sklearn import LIBRARY as SKLEARN
from headrace.client.autolog.sklearn import autolog as sklearn_autolog
from headrace.errors import InvalidRequest
from tests.client.autolog.conftest import imported, runs


def fit() -> None:
    imported("sklearn.linear_model").LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])


def printed_by(program: str, *arguments: str) -> list[str]:
    """The lines that a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return done.stdout.splitlines()


def test_switching_everything_on_loads_no_library() -> None:
    program = (
        "import sys, headrace\n"
        "from headrace.client.autolog import autolog\n"
        "autolog()\n"
        "print(len(sys.modules))\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    count, names = printed_by(program)
    assert int(count) <= 350
    assert not {"numpy", "pandas", "msgspec", *LIBRARIES} & set(names.split())


def test_a_library_that_is_imported_later_logs_itself(tmp_path: Path) -> None:
    program = (
        "import sys, headrace\n"
        "from headrace.client.autolog import autolog\n"
        "headrace.set_tracking_uri(sys.argv[1])\n"
        "autolog()\n"
        "from sklearn.linear_model import LinearRegression\n"
        "LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])\n"
        "print(headrace.last_active_run().data.tags['estimator_name'])\n"
    )
    assert printed_by(program, f"sqlite:///{tmp_path}/h.db") == ["LinearRegression"]


def test_a_library_that_is_there_logs_itself_until_it_is_switched_off(database: str) -> None:
    linear = imported("sklearn.linear_model").LinearRegression
    plain = vars(linear)["fit"]
    autolog()
    fit()
    assert len(runs()) == 1
    autolog(disable=True)
    fit()
    assert len(runs()) == 1
    assert vars(linear)["fit"] is plain


CHANGED = """
import joblib, sklearn.base, sklearn.ensemble, sklearn.metrics, sklearn.neighbors, sklearn.pipeline
from headrace.client.autolog import autolog

def changed():
    owners, waiting = [sklearn.metrics, joblib.Parallel], [sklearn.base.BaseEstimator]
    while waiting:
        found = waiting.pop()
        owners += found.__mro__
        waiting += found.__subclasses__()
    return {
        f"{owner.__name__}.{name}"
        for owner in owners
        for name, value in vars(owner).items()
        for plain in (value, getattr(value, "__func__", None), getattr(value, "fn", None))
        if "headrace/client/autolog"
        in getattr(getattr(plain, "__code__", None), "co_filename", "")
    }

print(sorted(changed()))
autolog()
print({"LinearRegression.fit", "Pipeline.fit_predict", "Parallel.__call__"} <= changed())
autolog(disable=True)
print(sorted(changed()))
"""


def test_switched_off_no_class_or_function_of_the_library_is_changed() -> None:
    """In a program of its own: a class made meanwhile may copy another's method as it was then.

    scikit-learn's NearestCentroid does; such a copy stays, and only calls what it was around.
    """
    assert printed_by(CHANGED) == ["[]", "True", "[]"]


def test_flavors_can_be_left_out(database: str) -> None:
    autolog(exclude_flavors=["sklearn"])
    fit()
    assert not runs()


def test_options_of_a_librarys_own_switch_stay(database: str) -> None:
    sklearn_autolog(max_tuning_runs=2, extra_tags={"team": "blue"})
    autolog(extra_tags={"team": "red"})
    assert SKLEARN.options.max_tuning_runs == 2
    fit()
    assert runs()[0].data.tags["team"] == "blue"
    autolog(disable=True)
    autolog(extra_tags={"team": "red"})
    fit()
    assert runs()[-1].data.tags["team"] == "red"


def test_a_later_call_for_all_brings_its_own_options(database: str) -> None:
    autolog(extra_tags={"team": "red"})
    autolog(extra_tags={"team": "green"}, exclusive=True)
    assert SKLEARN.options.extra_tags == {"team": "green"}
    assert SKLEARN.options.exclusive


def test_wrong_options_raise(database: str) -> None:
    wrong: Any = "sklearn"
    with pytest.raises(InvalidRequest, match="exclude_flavors"):
        autolog(exclude_flavors=wrong)
    with pytest.raises(InvalidRequest, match="extra_tags"):
        autolog(extra_tags=wrong)
    with pytest.raises(InvalidRequest, match="max_tuning_runs"):
        sklearn_autolog(max_tuning_runs=-1)


@pytest.mark.parametrize("disable", [False, True])
def test_a_version_that_was_not_tried_is_said_and_can_be_left_alone(
    disable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hooked: list[object] = []
    library = Library("json", {"json": hooked.append}, Options(), versions=("0.1", "1.0"))
    with caplog.at_level(logging.WARNING, "headrace"):
        library.switch(Options(disable_for_unsupported_versions=disable))
    library.switch(Options(disable=True))
    assert len(hooked) == (0 if disable else 1)
    assert "from 0.1 to before 1.0; this is 2" in caplog.text
    assert ("it is off" in caplog.text) is disable


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("1.10.2") > numbers("1.9") > numbers("0.24.2")
    assert numbers("1.9rc1.dev0+cu") == (1, 9)
    assert numbers("unknown") == ()


def test_switching_in_many_threads_ends_in_one_state(database: str) -> None:
    threads = [
        threading.Thread(target=autolog, kwargs={"disable": bool(number % 2)})
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    autolog()
    fit()
    assert len(runs()) == 1
    assert headrace.active_run() is None
