"""A program that holds a client, as frameworks do, and registers what it has found best."""

from __future__ import annotations

import json
import time

from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME


def main() -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("client style")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(
        "client style"
    )  # fmt: skip
    for number in range(3):
        run = client.create_run(experiment_id, tags={MLFLOW_RUN_NAME: f"trial {number}"})
        run_id = run.info.run_id
        now = int(time.time() * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric("score", number * step, now + step, step) for step in range(5)],
            params=[Param("number", str(number))],
            tags=[RunTag("kind", "trial")],
        )
        client.log_text(run_id, f"trial {number}", "model/description.txt")
        client.set_terminated(run_id, status="FAILED" if number == 1 else "FINISHED")
    best = client.search_runs(
        [experiment_id],
        filter_string="attributes.status = 'FINISHED' and tags.kind = 'trial'",
        run_view_type=ViewType.ACTIVE_ONLY,
        max_results=1,
        order_by=["metrics.score DESC"],
    )[0]
    try:
        client.create_registered_model("best trial")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{best.info.artifact_uri}/model"
    version = client.create_model_version("best trial", source, best.info.run_id)
    client.set_registered_model_alias("best trial", "champion", version.version)
    found = client.get_model_version_by_alias("best trial", "champion")
    assert found.run_id == best.info.run_id
    history = client.get_metric_history(best.info.run_id, "score")
    print(json.dumps([best.data.params, [point.value for point in history], found.version]))


main()
