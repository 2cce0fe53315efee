"""scikit-learn with one line of autologging."""

from __future__ import annotations

import json

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def main() -> None:
    mlflow.set_experiment("autologged")
    mlflow.autolog(log_models=False)
    features, targets = load_iris(return_X_y=True, as_frame=True)
    train, test, train_targets, test_targets = train_test_split(features, targets, random_state=7)
    with mlflow.start_run(run_name="iris") as run:
        model = LogisticRegression(C=0.5, max_iter=500)
        model.fit(train, train_targets)
        mlflow.log_metric("test_accuracy", model.score(test, test_targets))
    found = mlflow.get_run(run.info.run_id).data
    print(
        json.dumps([found.params["C"], found.params["max_iter"], "training_score" in found.metrics])
    )


main()
