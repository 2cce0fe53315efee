"""Fits that are logged by MLflow and by Headrace, each as this program's first argument says.

Writes what was logged, as JSON: for each fit its parameters, metrics, tags artifacts
and models.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import (
    cluster,
    datasets,
    decomposition,
    ensemble,
    linear_model,
    metrics,
    model_selection,
    multioutput,
    neighbors,
    pipeline,
    preprocessing,
    svm,
)

tracking = importlib.import_module(sys.argv[1])
tracking.set_tracking_uri(sys.argv[2])
importlib.import_module(f"{sys.argv[1]}.sklearn").autolog()
sys.path.append(str(Path(__file__).parents[3]))
models_of = importlib.import_module("tests.client.autolog.logged_models").models_of
found: dict[str, Any] = {}


def note(name: str) -> None:
    """Keep what the run that ended last has, and its children."""
    run = tracking.last_active_run()
    client = tracking.MlflowClient()
    children = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    )
    found[name] = {
        **described(run),
        "models": models_of(tracking, run),
        "artifacts": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
        "children": sorted(
            (described(child) for child in children), key=lambda child: str(child["params"])
        ),
    }


def described(run: Any) -> dict[str, Any]:
    """The run's values, without what differs from one fit to the next."""
    kept = ("estimator_name", "estimator_class", "mlflow.autologging")
    return {
        "status": run.info.status,
        "params": dict(run.data.params),
        "metrics": {key: value for key, value in run.data.metrics.items() if "_time" not in key},
        "tags": {key: value for key, value in run.data.tags.items() if key in kept},
        "inputs": len(run.inputs.dataset_inputs) if run.inputs else 0,
    }


def main() -> None:
    """Fit, one estimator after the other."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    x = preprocessing.StandardScaler().fit_transform(x)
    x_train, x_test, y_train, y_test = model_selection.train_test_split(x, y, random_state=0)
    digits, numbers = datasets.load_digits(return_X_y=True)
    weights = np.linspace(0.5, 2, len(y_train))
    names = np.array(["benign", "malign"])[y_train]
    sugar, progress = datasets.load_diabetes(return_X_y=True)

    linear_model.LogisticRegression(C=0.3).fit(x_train, y_train)
    note("binary")
    linear_model.LogisticRegression().fit(x_train, y_train, sample_weight=weights)
    note("weights")
    linear_model.LogisticRegression().fit(X=x_train, y=names)
    note("text labels")
    ensemble.RandomForestClassifier(n_estimators=7, random_state=0).fit(digits, numbers)
    note("multiclass")
    svm.LinearSVC(random_state=0).fit(x_train, y_train)
    note("no probabilities")
    linear_model.Ridge(alpha=0.1).fit(sugar, progress)
    note("regression")
    linear_model.LinearRegression().fit(sugar, np.c_[progress, progress**2])
    note("multi-output regression")
    multioutput.MultiOutputRegressor(linear_model.Ridge()).fit(sugar, np.c_[progress, progress])
    note("meta-estimator")
    cluster.KMeans(3, n_init=1, random_state=0).fit(x_train)
    note("clusters")
    decomposition.PCA(2).fit(x_train)
    note("components")
    steps = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Lasso(0.1))
    steps.fit(sugar, progress)
    note("pipeline")
    search = model_selection.GridSearchCV(
        neighbors.KNeighborsClassifier(), {"n_neighbors": [1, 3, 5, 7], "p": [1, 2]}, cv=3
    )
    search.fit(x_train, y_train)
    note("search")
    search = model_selection.RandomizedSearchCV(
        linear_model.Ridge(), {"alpha": [0.1, 1.0, 10.0]}, n_iter=3, cv=3, random_state=0
    )
    search.fit(sugar, progress)
    note("random search")
    evaluate(x_train, x_test, y_train, y_test)


def evaluate(x_train: Any, x_test: Any, y_train: Any, y_test: Any) -> None:
    """Compute metrics after a fit."""
    model = linear_model.LogisticRegression().fit(x_train, y_train)
    predicted = model.predict(x_test)
    metrics.accuracy_score(y_test, predicted)
    metrics.f1_score(y_test, predicted, average="macro")
    metrics.accuracy_score(y_test, y_pred=predicted)
    metrics.roc_auc_score(y_test, model.predict_proba(x_test)[:, 1])
    probabilities = model.predict_proba(x_test)
    metrics.log_loss(y_test, probabilities)
    metrics.confusion_matrix(y_test, predicted)
    model.score(x_test, y_test)
    model.score(x_train, y_train)
    first = x_test[:50]
    metrics.accuracy_score(y_test[:50], model.predict(first))
    note("evaluation")


main()
sys.stdout.write(json.dumps(found))
