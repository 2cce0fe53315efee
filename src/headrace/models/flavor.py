"""What a library must say of its models, so that they can be saved, loaded and asked to predict.

A flavor is one class with four methods, one file in `flavors/`, and a row in the table below;
other packages add theirs under the entry points `headrace.flavors`. The module of a flavor never
imports its library at the top: importing the module must cost next to nothing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from headrace.errors import InvalidRequest
from headrace.plugins import Plugins

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature
    from headrace.models.trust import VerifiedFolder

FLAVORS: Final = Plugins(
    "headrace.flavors",
    {
        # In this order they are asked whether a model is theirs: XGBoost's and LightGBM's
        # classifiers are scikit-learn's too, and everything that can be called is the last's.
        "xgboost": "headrace.models.flavors.xgboost:XgboostFlavor",
        "lightgbm": "headrace.models.flavors.lightgbm:LightgbmFlavor",
        "catboost": "headrace.models.flavors.catboost:CatboostFlavor",
        "statsmodels": "headrace.models.flavors.statsmodels:StatsmodelsFlavor",
        "sklearn": "headrace.models.flavors.sklearn:SklearnFlavor",
        # Models of these are PyTorch's modules too.
        "transformers": "headrace.models.flavors.transformers:TransformersFlavor",
        "sentence_transformers": (
            "headrace.models.flavors.sentence_transformers:SentenceTransformersFlavor"
        ),
        "onnxruntime_genai": "headrace.models.flavors.onnxruntime_genai:OnnxRuntimeGenAIFlavor",
        # Keras's models are PyTorch's modules too where PyTorch calculates for it.
        "keras": "headrace.models.flavors.keras:KerasFlavor",
        "tensorflow": "headrace.models.flavors.keras:TensorFlowFlavor",
        "onnx": "headrace.models.flavors.onnx:OnnxFlavor",
        "pytorch": "headrace.models.flavors.pytorch:PyTorchFlavor",
        "python_function": "headrace.models.flavors.python_function:PythonFunctionFlavor",
    },
)


@dataclass(frozen=True)
class Saved:
    """What a flavor has written, and what it takes to load it."""

    facts: dict[str, Any]
    """The flavor's own entry in `MLmodel`, with MLflow's keys; without `code`."""
    pyfunc: dict[str, Any] | None = field(default_factory=dict)
    """What `python_function` says beside loader_module, env, code and python_version: `data`,
    `model_path`, `config` … None for a model that has no `predict`."""
    packages: tuple[str, ...] = ()
    """Distributions that loading needs, by their names on the index, without versions."""
    modules: frozenset[str] = frozenset()
    """Modules that loading imports: those of the classes that were saved."""
    pickled: tuple[str, ...] = ()
    """Files that can run code when they are loaded, because there is no other form for them."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Added to the model's metadata."""
    signature: ModelSignature | None = None
    """The signature where the flavor knows it; a signature of the user's goes before it."""
    signature_from_type_hints: bool = False
    type_hint_from_example: bool = False
    """Whether tables are to be given to the model in the form that its example has."""
    predictor: Callable[[], Predictor] | None = None
    """What predicts for the example, where the saved object itself must not be touched."""


class Target:
    """The folder that a model is saved to, and what the flavor may need to know while it does."""

    def __init__(
        self,
        folder: Path,
        *,
        example: Any = None,
        example_params: Mapping[str, Any] | None = None,
        signature: ModelSignature | None = None,
        model_config: Mapping[str, Any] | None = None,
        code_paths: tuple[Path, ...] = (),
        by_reference: bool = False,
    ) -> None:
        self.folder = folder
        """Empty but for what this flavor writes."""
        self.example = example
        """The input example as it was given, without its params; None where there is none."""
        self.example_params = example_params
        """The params of the example."""
        self.signature = signature
        """The signature that was given; None where there is none."""
        self.model_config = dict(model_config or {})
        self.code_paths = code_paths
        """Files and folders that are shipped with the model."""
        self._by_reference = by_reference

    def take(self, source: str | Path, name: str) -> Path:
        """Have a file or folder that is there already in the model, under `name`; its place there.

        Never reads what is in it: it is copied, or referred to when all is uploaded from where it
        lies. Links in it are followed, as in the caches of model hubs. InvalidRequest where there
        is nothing at `source`.
        """
        given = Path(source).expanduser().resolve()
        target = self.folder / name
        if not given.exists():
            raise InvalidRequest(f"There is no file or folder '{source}'.")
        if given.is_file():
            self._take_file(given, target)
            return target
        target.mkdir(parents=True, exist_ok=True)
        for below, folders, names in os.walk(given, followlinks=True):
            folders[:] = [each for each in folders if each not in _NEVER_TAKEN]
            for each in sorted(names):
                file = Path(below) / each
                self._take_file(file.resolve(), target / file.relative_to(given))
        return target

    def _take_file(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._by_reference:
            target.symlink_to(source)
        else:
            shutil.copyfile(source, target)


_NEVER_TAKEN: Final = ("__pycache__", ".git", ".cache")


class Predictor(ABC):
    """A loaded model, as `pyfunc` asks it to predict. Used by one thread at a time."""

    @abstractmethod
    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Predict for `data`, which the signature has been enforced on, if there is one.

        A pandas DataFrame for columns, NumPy arrays or a dictionary of them for tensors; anything
        without a signature. `params` hold only what the signature names.
        """

    def predict_stream(self, data: Any, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """Predict piece by piece. InvalidRequest for a model that can't."""
        raise InvalidRequest("This model does not predict piece by piece; call 'predict'.")


class Flavor(ABC):
    """One library's models."""

    name: ClassVar[str]
    """The key in `flavors` of the `MLmodel` file, as MLflow has it."""
    loader_module: ClassVar[str | None]
    """What `python_function` names for MLflow to load it; None for one without `predict`."""
    package: ClassVar[str]
    """What is imported."""
    install: ClassVar[str]
    """What `pip install` takes, to have it."""

    @abstractmethod
    def handles(self, model: Any) -> bool:
        """Whether `model` is one of this library's. Must not import the library."""

    @abstractmethod
    def save(self, model: Any, target: Target, *args: Any, **options: Any) -> Saved:
        """Write `model` into `target`. `options` are the flavor's own, by keyword, with defaults.

        Safe formats by default; what has none is pickled, and named in `Saved.pickled`. Weights
        that are files already are taken (`Target.take`), never loaded. Raises InvalidRequest for
        what cannot be saved; what it had written then is thrown away.
        """

    @abstractmethod
    def load(
        self, folder: VerifiedFolder, facts: Mapping[str, Any], *args: Any, **options: Any
    ) -> Any:
        """The library's own object again. `facts` is the flavor's entry in `MLmodel`: hostile data.

        Files are reached through `folder` only: `read` and `file` for forms that cannot run code,
        `code` and `code_path` for those that can. Nothing that `facts` name is imported or called
        unless it is on a list of the flavor's own, or after `folder.require_trust`.
        """

    @abstractmethod
    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """A predictor for a loaded (or just trained) object.

        `facts` hold the flavor's entry, the `python_function` entry and the model's `metadata`;
        `config` is the model's configuration, with what the caller of `load_model` gave over it.
        """

    def require_library(self) -> None:
        """Raise InvalidRequest, naming the library and the command that installs it."""
        require(self.package, self.install, f"A model of the flavor '{self.name}'")


def require(package: str, install: str, what: str) -> None:
    """Raise InvalidRequest if `package` cannot be imported; `what` needs it."""
    try:
        found = importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # a parent package is missing, or half there
        found = False
    if not found:
        raise InvalidRequest(
            f"{what} needs {package}, which is not installed: pip install '{install}'."
        )


def comes_from(model: Any, package: str) -> bool:
    """Whether the class of `model`, or one that it is derived from, is of `package`."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(model).__mro__)


def flavor_named(name: str) -> Flavor:
    """The flavor of this name. InvalidRequest, with the names that there are."""
    found: Flavor | None = FLAVORS.get(name)
    if found is None:
        raise InvalidRequest(
            f"There is no flavor '{name}'; expected one of: {', '.join(FLAVORS.names())}."
        )
    return found


def flavor_of(model: Any) -> Flavor:
    """The flavor that handles `model`. InvalidRequest where none does."""
    for source in (FLAVORS.built_in, FLAVORS.others):
        for flavor in source():
            if flavor.handles(model):
                return flavor  # type: ignore[no-any-return]  # plugins are of any type
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    raise InvalidRequest(
        f"No flavor handles a model of the type {kind}; there are: {', '.join(FLAVORS.names())}. "
        "Wrap it in a headrace.pyfunc.PythonModel, or name a flavor."
    )


def flavor_in(flavors: Mapping[str, Any], loader_module: str | None) -> Flavor | None:
    """The flavor that loads a model by `loader_module`; None where only that module itself can."""
    for name in flavors:
        flavor: Flavor | None = FLAVORS.get(name)
        if flavor is not None and loader_module in (None, flavor.loader_module):
            return flavor
    return None
