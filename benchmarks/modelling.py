"""Programs that log and load models, under ``headrace`` or ``mlflow``: run by path, not imported.

    python modelling.py MODULE URI small COUNT LISTED   a small scikit-learn model; LISTED: whether
                                                        its requirements are given (yes, no)
    python modelling.py MODULE URI folder PATH          a model that is a folder of large files

Prints one line, ``FIGURES`` and a JSON object: seconds of a call, bytes of memory. It uses nothing
but what it measures.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REQUIREMENTS = ["scikit-learn", "skops", "pandas", "numpy"]
SCRIPT = """
from {module}.models import set_model
from {module}.pyfunc import PythonModel


class Weights(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


set_model(Weights())
"""
Figures = dict[str, float]


def main(arguments: list[str]) -> int:
    name, uri, what, *rest = arguments
    module = importlib.import_module(name)
    module.set_tracking_uri(uri)
    print("FIGURES", json.dumps(PROGRAMS[what](module, *rest)), flush=True)
    os._exit(0)


def small(module: Any, count: str, listed: str) -> Figures:
    """Medians of logging a model in a run, loading it natively, and loading it to predict.

    The first of each is not counted: it imports what the calls need. Every load is of a model that
    has not been loaded before.
    """
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    features, targets = load_iris(return_X_y=True, as_frame=True)
    model = LogisticRegression(max_iter=500).fit(features, targets)
    flavor = importlib.import_module(f"{module.__name__}.sklearn")
    pyfunc = importlib.import_module(f"{module.__name__}.pyfunc")
    signature = module.models.infer_signature(features, model.predict(features))
    given = {"pip_requirements": REQUIREMENTS} if listed == "yes" else {}

    def log() -> Any:
        with module.start_run():
            begun = time.perf_counter()
            info = flavor.log_model(
                model, name="iris", signature=signature, input_example=features.head(5), **given
            )
            return time.perf_counter() - begun, info.model_uri

    def timed(load: Callable[[str], Any], uri: str) -> float:
        begun = time.perf_counter()
        load(uri)
        return time.perf_counter() - begun

    logged = [log() for _ in range(1 + int(count))]
    again = [log() for _ in range(1 + int(count))]
    native = [timed(flavor.load_model, uri) for _, uri in logged]
    pyfuncs = [timed(pyfunc.load_model, uri) for _, uri in again]
    return {
        "log": statistics.median(seconds for seconds, _ in logged[1:]),
        "load": statistics.median(native[1:]),
        "load_pyfunc": statistics.median(pyfuncs[1:]),
    }


def folder(module: Any, path: str) -> Figures:
    """Seconds to log a folder of weights as a model, and the memory that this took."""
    script = Path("weights_model.py")
    script.write_text(SCRIPT.format(module=module.__name__))
    pyfunc = importlib.import_module(f"{module.__name__}.pyfunc")

    def log(weights: str) -> float:
        begun = time.perf_counter()
        pyfunc.log_model(
            name="weights",
            python_model=str(script),
            artifacts={"weights": weights},
            pip_requirements=["numpy"],
        )
        return time.perf_counter() - begun

    little = Path("little")
    little.mkdir()
    (little / "weights.bin").write_bytes(b"0")
    log(str(little))
    before = memory("VmRSS")
    forget_peak()
    seconds = log(path)
    return {"seconds": seconds, "memory": memory("VmHWM") - before}


def memory(field: str) -> int:
    """Bytes that this process holds now (VmRSS), or held at most since `forget_peak` (VmHWM)."""
    with open("/proc/self/status", encoding="ascii") as file:
        found = next(line for line in file if line.startswith(f"{field}:"))
    return int(found.split()[1]) * 1024


def forget_peak() -> None:
    """Begin anew with the most memory that this process held (see proc(5), clear_refs)."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


PROGRAMS: dict[str, Callable[..., Figures]] = {"small": small, "folder": folder}

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
