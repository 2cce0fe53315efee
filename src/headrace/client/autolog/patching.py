"""Observing a function: `patch`. The package's docstring says what it does for an observer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from headrace.client.autolog import scope
from headrace.client.autolog.library import Library
from headrace.client.autolog.replacement import Around

if TYPE_CHECKING:
    from headrace.client.active import ActiveRun
    from headrace.client.autolog.recording import Recorder

Observer = Callable[["Call"], Generator[None, Any, None]]


class Call:
    """A call that is being observed: of what, with what, and where it is logged.

    An observer may change the arguments, before its `yield`.
    """

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self._log: Recorder | None = None

    @property
    def log(self) -> Recorder:
        """The run that the call is logged to; only for observers of `patch(..., run=True)`."""
        assert self._log is not None, "this call is observed without a run"
        return self._log

    @property
    def is_possible(self) -> bool:
        """Whether the arguments are such that the function can be called with them."""
        try:
            inspect.signature(self.function).bind(*self.args, **self.kwargs)
        except TypeError:
            return False
        return True

    @property
    def instance(self) -> Any:
        """The object (or class) whose method was called."""
        return self.args[0]

    @property
    def arguments(self) -> dict[str, Any]:
        """What was given, by parameter: neither defaults nor, for a method, the object itself.

        What went into `**kwargs` is among them.
        """
        bound = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        given: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                given.update(value)
            elif name not in ("self", "cls"):
                given[name] = value
        return given

    def argument(self, name: str, default: Any = None) -> Any:
        """The argument for the parameter `name`; `default` when none was given."""
        return self.arguments.get(name, default)

    def set_argument(self, name: str, value: Any) -> None:
        """Give the function another argument, or one more. TypeError as the call would raise."""
        parameters = inspect.signature(self.function).parameters
        bound = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        if name in parameters:
            bound.arguments[name] = value
            # Between two that were given there may now be one that was not.
            self.args, self.kwargs = bound.args, bound.kwargs
        else:
            self.kwargs = {**self.kwargs, name: value}


def patch(
    library: Library[Any],
    owner: type | ModuleType,
    name: str,
    observer: Observer,
    *,
    run: bool = True,
    when: Callable[[Call], bool] | None = None,
) -> None:
    """Have `observer` observe each call of `owner.name` that the user makes, while `library` is on.

    With `run`, the call is logged to the active run or a new one; else the observer finds out for
    itself. `when` says whether a call is to be observed at all, before there is a run: of several
    processes that train together, one logs. What a call that is not observed calls is not observed
    either. A second `patch` of the same function changes nothing. AttributeError when there is no
    such function, TypeError when it cannot be observed.
    """
    library.replace(owner, name, _Observed(library, observer, run, when))


class _Observed(Around):
    """Runs an observer around the user's call. Nothing of ours gets in the way of that call."""

    def __init__(
        self,
        library: Library[Any],
        observer: Observer,
        run: bool,
        when: Callable[[Call], bool] | None,
    ) -> None:
        self._library = library
        self._observer = observer
        self._run = run
        self._when = when

    def __call__(self, original: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """See Around."""
        if not self._library.logs_here():
            return original(*args, **kwargs)
        call = Call(original, args, kwargs)
        what = f"a call of {getattr(original, '__qualname__', original)}"
        if not self._wanted(call, what):
            with scope.observing():
                return original(*args, **kwargs)
        with scope.observing(), self._in_run(call) as observed:
            observation: Generator[None, Any, None] | None = None
            with self._library.guard(what):
                observation = _started(self._observer(call)) if observed else None
                args, kwargs = call.args, call.kwargs
            try:
                result = original(*args, **kwargs)
            except BaseException:
                with self._library.guard(what):
                    if observation is not None:
                        observation.close()
                raise
            with self._library.guard(what):
                _finish(observation, result)
            return result

    def _wanted(self, call: Call, what: str) -> bool:
        if self._when is None:
            return call.is_possible
        wanted = False
        with self._library.guard(what):
            wanted = self._when(call)
        return wanted and call.is_possible

    @contextmanager
    def _in_run(self, call: Call) -> Iterator[bool]:
        """Let the call have its run, one that is begun and ended here if there is none yet.

        Gives whether there is anything to observe.
        """
        own_run: ActiveRun | None = None
        if self._run:
            with self._library.guard("a run"):
                own_run = self._give_run(call)
        try:
            yield not self._run or call._log is not None
        except BaseException as error:
            with self._library.guard("the end of a run"):
                _end(own_run, error)
            raise
        with self._library.guard("the end of a run"):
            _end(own_run, None)

    def _give_run(self, call: Call) -> ActiveRun | None:
        from headrace.client.autolog.recording import Recorder, begin

        own_run, target = begin(self._library.flavor, self._library.options)
        if target is not None:
            call._log = Recorder(*target, self._library)
        return own_run


def _end(run: ActiveRun | None, error: BaseException | None) -> None:
    if run is not None:
        run.__exit__(None if error is None else type(error), error, None)


def _started(observation: Generator[None, Any, None]) -> Generator[None, Any, None] | None:
    """The observation at its `yield`; None when it ends before, for it has seen enough."""
    try:
        next(observation)
    except StopIteration:
        return None
    return observation


def _finish(observation: Generator[None, Any, None] | None, result: Any) -> None:
    if observation is None:
        return
    try:
        observation.send(result)
    except StopIteration:
        return
    observation.close()
