"""Autologging of the real Keras 3, on PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import headrace
from headrace import keras as autologging
from headrace import tensorflow
from headrace.errors import InvalidRequest
from tests.client.autolog.frameworks.logged import Logged

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries among themselves
]
FEATURES = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
LABELS = (FEATURES[:, 0] > 0).astype("float32")


@pytest.fixture
def keras() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    return keras


@pytest.fixture
def model(keras: Any) -> Any:
    made = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1, activation="sigmoid")]
    )
    made.compile(keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    return made


def test_epochs_are_logged_as_the_history_has_them(
    model: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    other = (FEATURES[::2], LABELS[::2])
    history = model.fit(FEATURES, LABELS, epochs=3, batch_size=16, validation_data=other, verbose=0)
    run = only_run()
    assert run.status == "FINISHED"
    assert run.tags["mlflow.autologging"] == "keras"
    assert (run.params["epochs"], run.params["batch_size"]) == ("3", "16")
    assert run.params["optimizer_learning_rate"].startswith("0.0099")
    for name, values in history.history.items():
        assert run.metrics[name] == list(enumerate(values)), name
    assert run.values("validation_loss") == history.history["val_loss"]
    assert run.artifacts == {"model_summary.txt"}
    assert run.inputs == [("dataset", "eval"), ("dataset", "train")]


def test_batches_are_logged_every_so_many_through_all_epochs(
    model: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(log_every_epoch=False, log_every_n_steps=3)
    model.fit(FEATURES, LABELS, epochs=2, batch_size=16, verbose=0, validation_split=0.0)
    assert only_run().steps("loss") == [3, 6]


@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping_says_when_and_ends_with_what_was_restored(
    keras: Any, model: Any, only_run: Callable[[], Logged], restore: bool
) -> None:
    autologging.autolog()
    stopping = keras.callbacks.EarlyStopping(
        "loss", min_delta=10, patience=2, restore_best_weights=restore
    )
    given = [stopping]
    history = model.fit(FEATURES, LABELS, epochs=9, batch_size=16, verbose=0, callbacks=given)
    assert given == [stopping]
    run = only_run()
    assert run.params["patience"] == "2"
    assert run.metrics["stopped_epoch"] == [(0, float(stopping.stopped_epoch))]
    losses = history.history["loss"]
    if restore:
        assert run.metrics["restored_epoch"] == [(0, float(stopping.best_epoch))]
        assert run.values("loss") == [*losses, losses[stopping.best_epoch]]
    else:
        assert "restored_epoch" not in run.metrics
        assert run.values("loss") == losses


def test_a_model_that_knows_its_shapes_late_has_its_summary_at_the_end(
    keras: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(FEATURES, LABELS[:, None], verbose=0)
    run = only_run()
    assert "Total params" in headrace.artifacts.load_text(f"runs:/{run.run_id}/model_summary.txt")
    assert run.params["batch_size"] == "32"


def test_data_in_batches_has_its_own_batch_size(model: Any, only_run: Callable[[], Logged]) -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    autologging.autolog()
    pairs = TensorDataset(torch.tensor(FEATURES), torch.tensor(LABELS)[:, None])
    model.fit(DataLoader(pairs, batch_size=8), verbose=0)
    run = only_run()
    assert run.params["batch_size"] == "8"
    assert run.inputs == []


def test_checkpoints_of_the_tensorflow_door_can_be_loaded(
    keras: Any, model: Any, only_run: Callable[[], Logged]
) -> None:
    tensorflow.autolog(checkpoint_monitor="loss")
    history = model.fit(FEATURES, LABELS, epochs=2, batch_size=16, verbose=0)
    run = only_run()
    path = run.tags["mlflow.latest_checkpoint_artifact"]
    assert path == "checkpoints/latest_checkpoint.keras"
    local = headrace.artifacts.download_artifacts(f"runs:/{run.run_id}/{path}")
    again = keras.models.load_model(local)
    assert np.allclose(again.predict(FEATURES, verbose=0), model.predict(FEATURES, verbose=0))
    facts = json.loads(
        headrace.artifacts.load_text(
            f"runs:/{run.run_id}/checkpoints/latest_checkpoint_metrics.json"
        )
    )
    assert facts["loss"] == min(history.history["loss"])


def test_every_checkpoint_is_kept_where_the_best_is_not_asked_for(
    model: Any, only_run: Callable[[], Logged]
) -> None:
    tensorflow.autolog(
        checkpoint_save_best_only=False,
        checkpoint_save_weights_only=True,
        checkpoint_save_freq=3,
    )
    model.fit(FEATURES, LABELS, epochs=2, batch_size=16, verbose=0)
    assert only_run().artifacts == {
        "model_summary.txt",
        "checkpoints/global_step_3/checkpoint.weights.h5",
        "checkpoints/global_step_3/checkpoint_metrics.json",
        "checkpoints/global_step_6/checkpoint.weights.h5",
        "checkpoints/global_step_6/checkpoint_metrics.json",
    }


def test_what_fit_raises_is_raised_and_the_run_has_failed(
    model: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    with pytest.raises(ValueError, match="incompatible"):
        model.fit(FEATURES[:, :2], LABELS, verbose=0)
    assert only_run().status == "FAILED"


def test_fits_in_an_active_run_log_to_it_and_the_callbacks_list_stays(
    keras: Any, model: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    callbacks = keras.callbacks.CallbackList(model=model)
    before = list(callbacks.callbacks)
    with headrace.start_run():
        model.fit(FEATURES, LABELS, epochs=1, verbose=0)
        model.fit(FEATURES, LABELS, epochs=3, initial_epoch=1, verbose=0, callbacks=callbacks)
    assert callbacks.callbacks == before
    assert only_run().steps("loss") == [0, 1, 2]


@pytest.mark.parametrize(
    ("option", "value"),
    [("checkpoint_mode", "best"), ("checkpoint_save_freq", 0), ("log_every_n_steps", 0.5)],
)
def test_an_option_that_cannot_be_says_so(option: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=option):
        tensorflow.autolog(**{option: value})
