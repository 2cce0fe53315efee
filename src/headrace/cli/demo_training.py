"""The program that `headrace demo` trains with: `python -m headrace.cli.demo_training URL`.

It learns to read handwritten digits (1,797 images of 8 by 8 points, which come with scikit-learn)
with two kinds of models and a few settings of each, and tracks every one as a run. The best model
is registered, loaded again and evaluated (`demo_models.py`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from headrace.cli import demo_models
from headrace.cli.runs import print_runs
from headrace.client import fluent
from headrace.client.active import start_run
from headrace.client.experiment import set_experiment
from headrace.client.tracking import set_tracking_uri
from headrace.protocol import runs
from headrace.store.open import open_store

EXPERIMENT = "digits"
EPOCHS = 15
SEED = 7
TRIALS: dict[str, Sequence[Mapping[str, float]]] = {
    "linear": [{"alpha": 1e-5}, {"alpha": 1e-3}, {"alpha": 1e-1}],
    "network": [
        {"hidden": 16, "rate": 0.003},
        {"hidden": 64, "rate": 0.003},
        {"hidden": 64, "rate": 0.03},
    ],
}


@dataclass(frozen=True)
class Data:
    """Images and their digits, to train on and to be measured on; a data set to the SDK."""

    train_x: Any
    test_x: Any
    train_y: Any
    test_y: Any
    digest: str
    name: str = "digits"
    source_type: str = "code"
    source: str = "sklearn.datasets.load_digits"


def main(address: str) -> None:
    """Train everything against the server at `address`, then show what was found."""
    set_tracking_uri(address)
    experiment = set_experiment(EXPERIMENT)
    session = secrets.token_hex(4)  # of this run of the demo: there may have been others
    data = load()
    click.echo(f"Training on {len(data.train_y)} digits, measuring on {len(data.test_y)} others:")
    for family, trials in TRIALS.items():
        with start_run(run_name=family, tags={"role": "sweep"}):
            for trial in trials:
                train(family, trial, data, session)
    demo_models.judge(data.test_x, data.test_y, session)
    fluent.flush()
    show(address, experiment.experiment_id, session)


def load() -> Data:
    """The data set, a quarter of it held back for measuring."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        digits.data / 16.0, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target
    )
    digest = hashlib.sha256(digits.data.tobytes()).hexdigest()[:8]
    return Data(train_x, test_x, train_y, test_y, digest)


def train(family: str, trial: Mapping[str, float], data: Data, session: str) -> None:
    """One run: parameters, a point of each metric an epoch, and at the end what it gets wrong."""
    name = " ".join([family, *(f"{key}={value:g}" for key, value in trial.items())])
    with start_run(run_name=name, nested=True, tags={"role": "trial", "demo": session}):
        fluent.log_input(data, context="training")
        fluent.log_params({"model": family, "epochs": EPOCHS, "seed": SEED, **trial})
        model = make_model(family, trial)
        accuracy = 0.0
        for epoch in range(EPOCHS):
            model.partial_fit(data.train_x, data.train_y, classes=range(10))
            accuracy = float(model.score(data.test_x, data.test_y))
            fluent.log_metrics(
                {
                    "loss": log_loss(model, data),
                    "train_accuracy": float(model.score(data.train_x, data.train_y)),
                    "accuracy": accuracy,
                },
                step=epoch,
            )
        log_mistakes(model, data)
        demo_models.keep(model, data.test_x[:3], session, EPOCHS - 1)
    click.echo(f"  {name:<28} {'#' * round(accuracy * 30):<30} {accuracy:.3f}")


def make_model(family: str, trial: Mapping[str, float]) -> Any:
    """A classifier that learns epoch by epoch."""
    if family == "linear":
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier(loss="log_loss", alpha=trial["alpha"], random_state=SEED)
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=(int(trial["hidden"]),),
        learning_rate_init=trial["rate"],
        random_state=SEED,
    )


def log_loss(model: Any, data: Data) -> float:
    """The cross-entropy on the images that were held back."""
    from sklearn import metrics

    return float(metrics.log_loss(data.test_y, model.predict_proba(data.test_x)))


def log_mistakes(model: Any, data: Data) -> None:
    """Keep the confusion matrix and the scores of each digit as files of the run."""
    from sklearn import metrics

    predicted = model.predict(data.test_x)
    matrix = metrics.confusion_matrix(data.test_y, predicted)
    lines = ["true \\ read" + "".join(f"{digit:>5}" for digit in range(10))]
    lines += [f"{digit:>11}" + "".join(f"{n:>5}" for n in row) for digit, row in enumerate(matrix)]
    fluent.log_text("\n".join(lines) + "\n", "confusion.txt")
    scores = metrics.classification_report(
        data.test_y, predicted, output_dict=True, zero_division=0.0
    )
    fluent.log_dict(scores, "scores.json")
    if importlib.util.find_spec("matplotlib") is not None:
        fluent.log_figure(figure_of(matrix), "confusion.png")


def figure_of(matrix: Any) -> Any:
    """The confusion matrix as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(matrix, cmap="Blues")
    axes.set(xlabel="read", ylabel="true", xticks=range(10), yticks=range(10))
    return figure


def show(address: str, experiment_id: str, session: str) -> None:
    """Ask the server for the best runs, and say what can be done next."""
    store = open_store(address)
    best = store.runs.search(
        runs.SearchRuns(
            experiment_ids=[experiment_id],
            filter=f"tags.demo = '{session}'",
            order_by=["metrics.accuracy DESC"],
        )
    ).runs
    store.close()
    click.echo("\nWhat was tracked, best first:")
    print_runs(best)
    run_id = best[0].info.run_id
    click.echo("\nTo look further:")
    for line in next_steps(address, run_id):
        click.echo(f"  {line}")


def next_steps(address: str, run_id: str) -> Iterator[str]:
    """Commands that work on what was just tracked."""
    headrace = program()
    yield f"export HEADRACE_TRACKING_URI={address}"
    yield f"{headrace} runs search \"metrics.accuracy > 0.95 and params.model = 'network'\""
    yield f"{headrace} runs show {run_id}"
    yield f"{headrace} artifacts download {run_id} confusion.txt"
    yield f"{headrace} experiments export {EXPERIMENT} -o digits.csv"
    yield f"{headrace} trust verify {demo_models.URI}"
    yield f"{headrace} models serve -m {demo_models.URI} --port 5001"


def program() -> str:
    """How to call the command line that this belongs to, from the working folder."""
    own = Path(sys.executable).with_name("headrace")
    if not own.exists():
        return f"{sys.executable} -m headrace"
    if shutil.which("headrace") == str(own):
        return "headrace"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


if __name__ == "__main__":
    # The server's own process tells the person that it was stopped.
    with suppress(KeyboardInterrupt):
        main(sys.argv[1])
