"""The small scikit-learn pipeline that servers are compared with: run by path, not imported.

    python pipeline.py headrace|mlflow FOLDER   saves the model there in that library's way
    python pipeline.py joblib FILE              saves it for servers that hand a model arrays
    python pipeline.py requests FILE            writes columns, rows and expected answers (JSON)
    python pipeline.py predict COUNT            prints the median seconds of a prediction

Training is the same each time, so all of these speak of one model. It uses nothing but what the
environment at hand has.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = 32
WARM_UPS = 50


def main(arguments: list[str]) -> int:
    what, where = arguments
    features, targets = load_wine(return_X_y=True, as_frame=True)
    # Columns keep their names between the steps: about 1 ms a call, for one row or for 32.
    model = make_pipeline(StandardScaler(), LogisticRegression()).set_output(transform="pandas")
    if what == "joblib":
        import joblib

        # Arrays without names spare these servers the making of a DataFrame.
        joblib.dump(model.fit(features.to_numpy(), targets), where)
        return 0
    model.fit(features, targets)
    if what == "requests":
        chosen = features.iloc[:: len(features) // ROWS].head(ROWS)
        answers = [int(answer) for answer in model.predict(chosen)]
        rows = chosen.to_numpy().tolist()
        content = {"columns": list(features.columns), "rows": rows, "answers": answers}
        Path(where).write_text(json.dumps(content), encoding="utf-8")
    elif what == "predict":
        print("FIGURES", json.dumps({"predict_s": predict_seconds(model, features, int(where))}))
    else:
        library = importlib.import_module(what)
        signature = library.models.infer_signature(features, model.predict(features))
        importlib.import_module(f"{what}.sklearn").save_model(
            model, where, signature=signature, input_example=features.head(2)
        )
    return 0


def predict_seconds(model: Any, features: Any, count: int) -> float:
    """Median seconds of a prediction of one row, of rows that differ."""
    rows = [features.iloc[at : at + 1] for at in range(ROWS)]
    for number in range(WARM_UPS):
        model.predict(rows[number % ROWS])
    times: list[float] = []
    for number in range(count):
        begun = time.perf_counter()
        model.predict(rows[number % ROWS])
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
