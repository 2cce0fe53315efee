"""Linear regression by gradient descent, logged by hand: one parent run, a child for each rate."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np

EPOCHS = 20


def train(rate: float, features: np.ndarray, targets: np.ndarray) -> float:
    weights = np.zeros(features.shape[1])
    loss = float("inf")
    for epoch in range(EPOCHS):
        errors = features @ weights - targets
        weights -= rate * features.T @ errors / len(targets)
        loss = float(np.mean(errors**2))
        mlflow.log_metric("loss", loss, step=epoch)
        mlflow.log_metrics({"norm": float(np.linalg.norm(weights)), "epoch": epoch}, step=epoch)
    mlflow.log_dict({"weights": weights.round(3).tolist()}, "weights.json")
    return loss


def main() -> None:
    random = np.random.default_rng(7)
    features = random.normal(size=(200, 3))
    targets = features @ [1.0, -2.0, 0.5] + random.normal(scale=0.1, size=200)
    mlflow.set_experiment("manual loop")
    data = mlflow.data.from_numpy(features, targets=targets, name="made up")
    losses = {}
    with mlflow.start_run(run_name="search", description="which rate is best"):
        mlflow.log_input(data, context="training")
        for rate in (0.01, 0.1, 0.5):
            with mlflow.start_run(run_name=f"rate {rate}", nested=True) as child:
                mlflow.log_params({"rate": rate, "epochs": EPOCHS})
                mlflow.set_tag("model", "linear")
                losses[child.info.run_name] = train(rate, features, targets)
        best = min(losses, key=lambda name: losses[name])
        mlflow.log_param("best", best)
        Path("notes.txt").write_text(f"{best} was best\n")
        mlflow.log_artifact("notes.txt")
    frame = mlflow.search_runs(filter_string="params.epochs = '20'", order_by=["metrics.loss ASC"])
    print(json.dumps(frame["tags.mlflow.runName"].tolist()))


main()
