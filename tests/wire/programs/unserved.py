"""Calls that the server may not serve: the program is told once, soon, and goes on."""

from __future__ import annotations

import time
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from tests.wire.programs.steps import main, requests_sent, step

client: Any = None


def prepare(url: str) -> None:
    global client  # noqa: PLW0603 - a program's main object
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient(url)
    mlflow.set_experiment("unserved")


def fails_once(call: Any) -> None:
    """`call` raises a clear error, and no request of it was sent again."""
    said = ""
    try:
        call()
    except MlflowException as error:
        said = str(error)
    assert "404" in said or "ENDPOINT_NOT_FOUND" in said, said
    assert "Max retries" not in said, said
    assert all(entry["status"] == 404 for entry in requests_sent()[-1:])


@step
def a_traced_function_still_works() -> None:
    @mlflow.trace  # type: ignore[untyped-decorator]  # mlflow ships no types
    def double(x: Any) -> Any:
        with mlflow.start_span("inner") as span:
            span.set_inputs({"x": x})
        return 2 * x

    with mlflow.start_run() as run:
        began = time.monotonic()
        assert [double(number) for number in range(20)] == [2 * n for n in range(20)]
        assert time.monotonic() - began < 20  # what is asked again and again takes minutes
        mlflow.log_metric("after", 1)
    mlflow.flush_trace_async_logging(terminate=False)
    assert time.monotonic() - began < 40
    assert mlflow.get_run(run.info.run_id).data.metrics == {"after": 1.0}


@step
def webhooks() -> None:
    fails_once(client.list_webhooks)


@step
def traces_are_searched() -> None:
    fails_once(lambda: mlflow.search_traces(return_type="list"))


@step
def evaluation_data_sets() -> None:
    from mlflow.genai.datasets import create_dataset

    fails_once(lambda: create_dataset(name="d", experiment_id=["0"]))


@step
def prompts_are_kept_in_the_registry() -> None:
    prompt = mlflow.genai.register_prompt(name="greeting", template="Hello {{name}}")
    assert prompt.version == 1
    loaded = mlflow.genai.load_prompt("prompts:/greeting/1")
    assert loaded.format(name="you") == "Hello you"
    assert "greeting" not in [model.name for model in client.search_registered_models()]
    assert [found.name for found in mlflow.genai.search_prompts()] == ["greeting"]


@step
def the_program_goes_on() -> None:
    with mlflow.start_run() as run:
        mlflow.log_param("still", "here")
    assert mlflow.get_run(run.info.run_id).data.params == {"still": "here"}


if __name__ == "__main__":
    main(prepare)
