"""What becomes of a model after its training: registered, loaded by its alias, evaluated."""

from __future__ import annotations

from typing import Any

import click

from headrace.client.active import start_run
from headrace.client.client import current_client
from headrace.client.model_loading import load_pyfunc
from headrace.client.model_logging import log_model
from headrace.client.models import register_model, search_logged_models

NAME = "digits"
ALIAS = "champion"
URI = f"models:/{NAME}@{ALIAS}"
GOOD_ENOUGH = ">= 0.95"


def keep(model: Any, example: Any, session: str, last_epoch: int) -> None:
    """Log a model of the active run, with the metrics of its last epoch."""
    log_model(model, name=NAME, input_example=example, tags={"demo": session}, step=last_epoch)


def judge(features: Any, targets: Any, session: str) -> None:
    """Register the best model of this session, load it by its alias, and say how good it is."""
    from headrace.evaluation.evaluate import evaluate

    best = search_logged_models(
        filter_string=f"tags.demo = '{session}'",
        order_by=[{"field_name": "metrics.accuracy", "ascending": False}],
        max_results=1,
        output_format="list",
    )[0]
    version = register_model(best.model_uri, NAME).version
    current_client().set_registered_model_alias(NAME, ALIAS, version)
    click.echo(f"\nThe best model is version {version} of '{NAME}', and its '{ALIAS}':")
    model = load_pyfunc(URI)
    shown, read = " ".join(map(str, targets[:12])), " ".join(map(str, model.predict(features[:12])))
    click.echo(f"  {URI} sees {shown}\n  {'':<{len(URI)}} says {read}")
    with start_run(run_name=f"evaluation of version {version}", tags={"role": "evaluation"}):
        result = evaluate(
            URI,
            features,
            targets=targets,
            model_type="classifier",
            thresholds={"accuracy_score": GOOD_ENOUGH},
        )
    for name in ("accuracy_score", "f1_score", "log_loss"):
        click.echo(f"  {name:<16} {result.metrics[name]:.3f}")
    said = "good enough" if result.passed else "not good enough"
    click.echo(f"  accuracy {GOOD_ENOUGH} is wanted: it is {said}.")
