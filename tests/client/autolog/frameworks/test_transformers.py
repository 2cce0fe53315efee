"""Autologging of the real transformers' Trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import headrace
from headrace import transformers as autologging
from tests.client.autolog.frameworks.logged import Logged

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries among themselves
]


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Any]:
    """A trainer of a tiny classifier that exists only here."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    data = [
        {"input_ids": torch.randint(0, 20, (6,)), "labels": torch.tensor(number % 2)}
        for number in range(16)
    ]

    def make(callbacks: Any = None, **options: Any) -> Any:
        usual = {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4,
            "logging_steps": 2,
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
            "report_to": "none",
        }
        arguments = transformers.TrainingArguments(str(tmp_path / "out"), **{**usual, **options})
        return transformers.Trainer(
            transformers.BertForSequenceClassification(config),
            arguments,
            train_dataset=data,
            eval_dataset=data,
            callbacks=callbacks,
        )

    return make


def test_what_the_trainer_logs_is_logged(
    make_trainer: Callable[..., Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    trainer = make_trainer(eval_strategy="epoch", hub_token="hf_secret")
    before = list(trainer.callback_handler.callbacks)
    trainer.train()
    assert trainer.callback_handler.callbacks == before
    run = only_run()
    assert run.status == "FINISHED"
    assert run.tags["mlflow.autologging"] == "transformers"
    assert (run.params["num_train_epochs"], run.params["hidden_size"]) == ("2", "8")
    assert "hf_secret" not in str(run.params)
    said = [
        (name, entry["step"], value)
        for entry in trainer.state.log_history
        for name, value in entry.items()
        if name != "step"
    ]
    stored = [(name, *point) for name, points in run.metrics.items() for point in points]
    # The same value of one millisecond is one point.
    assert set(said) == set(stored)
    assert run.steps("loss") == [2, 4, 6, 8]
    assert run.steps("eval_loss") == [4, 8]
    assert run.steps("total_flos") == [8]


def test_an_evaluation_after_the_training_is_logged_to_its_run(
    make_trainer: Callable[..., Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    trainer = make_trainer()
    trainer.train()
    metrics = trainer.evaluate()
    assert only_run().metrics["eval_loss"] == [(8, metrics["eval_loss"])]


def test_a_callback_for_mlflow_rests_while_headrace_logs(
    make_trainer: Callable[..., Any], only_run: Callable[[], Logged]
) -> None:
    from transformers import TrainerCallback

    heard: list[int] = []

    # As transformers' own is called, which needs MLflow to be made.
    class MLflowCallback(TrainerCallback):  # type: ignore[misc]  # no types for mypy
        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            heard.append(state.global_step)

    autologging.autolog()
    trainer = make_trainer(callbacks=[MLflowCallback()])
    trainer.train()
    assert heard == []
    assert only_run().steps("loss") == [2, 4, 6, 8]
    autologging.autolog(disable=True)
    trainer.train()
    assert heard != []
    assert only_run().steps("loss") == [2, 4, 6, 8]


def test_the_best_metric_is_logged_where_the_trainer_keeps_one(
    make_trainer: Callable[..., Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    trainer = make_trainer(
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="loss",
    )
    trainer.train()
    ((step, value),) = only_run().metrics["best_metric"]
    assert (step, value) in only_run().metrics["eval_loss"]
    assert value == min(only_run().values("eval_loss"))


def test_data_sets_are_logged_when_asked_for(
    make_trainer: Callable[..., Any], only_run: Callable[[], Logged]
) -> None:
    import datasets

    autologging.autolog(log_datasets=True)
    trainer = make_trainer(max_steps=1)
    trainer.train_dataset = datasets.Dataset.from_list(trainer.train_dataset)
    trainer.train()
    assert [context for _, context in only_run().inputs] == ["train"]


def test_what_training_raises_is_raised_and_the_run_has_failed(
    make_trainer: Callable[..., Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    trainer = make_trainer()
    trainer.train_dataset[5]["labels"] = torch.tensor(99)
    before = list(trainer.callback_handler.callbacks)
    with pytest.raises(IndexError):
        trainer.train()
    assert trainer.callback_handler.callbacks == before
    assert only_run().status == "FAILED"


def test_trainings_in_an_active_run_log_to_it(
    make_trainer: Callable[..., Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    with headrace.start_run():
        make_trainer(max_steps=2).train()
        make_trainer(max_steps=4).train()
    assert sorted(only_run().steps("loss")) == [2, 2, 4]
