"""Autologging: the training calls of machine-learning libraries log themselves.

`autolog()` (in `switch.py`) turns on every library of the table in `libraries.py`: now, when the
library is imported already, else when it is first imported (`imports.py`). What isn't imported
costs nothing.

A library is one file and one row of that table. The file never imports the library at its top,
and holds a `LIBRARY`, a function `autolog` with MLflow's signature, and observers:

    @dataclass(frozen=True, kw_only=True)
    class BoostOptions(Options):                  # the common switches, and what is special here
        importance_types: Sequence[str] = ("weight",)

    def autolog(importance_types=None, log_models=True, ..., disable=False) -> None:
        LIBRARY.switch(BoostOptions(**given))     # does all the rest, also for disable=True

    def _hook(boost: ModuleType) -> None:         # runs when the module has been imported,
        patch(LIBRARY, boost, "train", _train)    # and again after a reload

    def _train(call: Call) -> Generator[None, Any, None]:
        rounds = call.argument("num_boost_round", 10)
        call.log.params({"num_boost_round": rounds})
        call.set_argument("callbacks", [*call.argument("callbacks", ()), Watcher(call)])
        booster = yield                           # the user's own call runs here
        with LIBRARY.guard("the importance of features"):
            call.log.figure(draw(booster), "importance.png")

    LIBRARY = Library("boost", {"boost.training": _hook}, BoostOptions(), versions=("1.7", "4"))

`patch` does what every library needs, so that an observer can be as plain as that:

- It uses the active run, or starts one and ends it (FAILED when the user's call raises). A run
  that it starts has the tag `mlflow.autologging` and the `extra_tags`.
- Whatever an observer raises is a warning, logged once, and the user's call goes on untouched
  with its own arguments, result and exceptions. `LIBRARY.guard("what")` does the same for one
  part of an observer, so that the parts after it still run, and for callbacks, which run inside
  the user's call. With HEADRACE_AUTOLOGGING_TESTING=true both raise, so that tests see it.
- Calls inside an observed call are not observed: neither the steps of a pipeline, nor what an
  observer itself calls. So a `train` that `fit` calls is seen only when the user calls it. Worker
  processes log nothing, unless they start a run of their own (`scope.py`).
- It can be taken back, keeps signature, docstring and pickles, and is a plain call of the
  original while the library is switched off.

`patch(..., when=...)` says which calls are observed at all, and `scope.called_from("boost")`
whether the library itself made a call. `classes.py` observes all classes below another, also those
to come; `datasets.py` makes a data set of what a call was given.

`call.log` (`recording.py`) is the run: `params`, `metrics`, `tags`, `text`, `dictionary`, `figure`,
`file`, `dataset`. It may be used from any thread while the call lasts, and after it.
`Library.options` are the options now; `call.instance` is the object whose method was called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.autolog.switch import autolog

__all__ = ["autolog"]


def __getattr__(name: str) -> Any:
    if name != "autolog":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headrace.client.autolog.switch import autolog

    return autolog
