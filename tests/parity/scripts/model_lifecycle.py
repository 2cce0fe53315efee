"""A model from training to use: logged, registered, promoted by what it scores, loaded, judged."""

from __future__ import annotations

import json
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.models import MetricThreshold, infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NAME = "tumours"


def candidates() -> dict[str, Any]:
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
        "forest": RandomForestClassifier(n_estimators=10, random_state=7),
    }


def main() -> None:
    mlflow.set_experiment("model lifecycle")
    features, targets = load_breast_cancer(return_X_y=True, as_frame=True)
    train, test, train_targets, test_targets = train_test_split(features, targets, random_state=7)
    for kind, model in candidates().items():
        with mlflow.start_run(run_name=kind):
            mlflow.log_param("kind", kind)
            model.fit(train, train_targets)
            info = mlflow.sklearn.log_model(
                sk_model=model,
                name=kind,
                signature=infer_signature(train, model.predict(train)),
                input_example=train.head(3),
                registered_model_name=NAME,
                skops_trusted_types=["sklearn.tree._tree.Tree"],
            )
            accuracy = model.score(test, test_targets)
            mlflow.log_metric("test_accuracy", accuracy, model_id=info.model_id)
    mlflow.flush_async_logging()

    best = mlflow.search_logged_models(
        order_by=[{"field_name": "metrics.test_accuracy", "ascending": False}],
        output_format="list",
    )[0]
    client = MlflowClient()
    version = next(
        each.version
        for each in client.search_model_versions(f"name = '{NAME}'")
        if each.run_id == best.source_run_id
    )
    client.set_registered_model_alias(NAME, "champion", version)

    champion = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    predictions = champion.predict(test)
    with mlflow.start_run(run_name="judge"):
        result = mlflow.models.evaluate(
            f"models:/{NAME}@champion",
            test.assign(label=test_targets),
            targets="label",
            model_type="classifier",
            evaluator_config={"log_explainer": False, "log_model_explainability": False},
        )
        mlflow.log_metric("right", float((predictions == test_targets).mean()))
    mlflow.validate_evaluation_results(
        {"accuracy_score": MetricThreshold(threshold=0.9, greater_is_better=True)}, result
    )
    print(
        json.dumps(
            [
                best.name,
                str(version),
                [int(each) for each in predictions],
                {name: round(result.metrics[name], 9) for name in ("f1_score", "roc_auc")},
                sorted(champion.metadata.flavors),
            ]
        )
    )


main()
