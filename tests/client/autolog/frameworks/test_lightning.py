"""Autologging of the real PyTorch Lightning, by both names of its package."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

import headrace
from headrace import pytorch as autologging
from headrace.errors import InvalidRequest
from tests.client.autolog.frameworks.logged import Logged

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries among themselves
]
BATCHES = 4


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def both(request: pytest.FixtureRequest) -> ModuleType:
    logging.getLogger(request.param).setLevel(logging.ERROR)
    return importlib.import_module(request.param)


@pytest.fixture
def lightning() -> ModuleType:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return importlib.import_module("lightning.pytorch")


@pytest.fixture
def loader() -> Any:
    features = torch.randn(8 * BATCHES, 4)
    pairs = torch.utils.data.TensorDataset(features, features.sum(1, keepdim=True))
    return torch.utils.data.DataLoader(pairs, batch_size=8)


def module(package: ModuleType) -> Any:
    class Line(package.LightningModule):  # type: ignore[misc, name-defined]  # only known when it runs
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)
            self.losses: list[float] = []
            self.epoch_ends = 0

        def loss(self, batch: Any) -> Any:
            return ((self.layer(batch[0]) - batch[1]) ** 2).mean()

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.loss(batch)
            self.losses.append(loss.item())
            self.log("loss", loss)
            self.log("both", loss, on_step=True, on_epoch=True)
            return loss

        def on_train_epoch_end(self) -> None:
            self.epoch_ends += 1
            self.log("at_the_end", float(self.epoch_ends))

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.loss(batch))

        def test_step(self, batch: Any, index: int) -> None:
            self.log("test_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    return Line()


def trainer(package: ModuleType, **options: Any) -> Any:
    quiet = {
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
        "max_epochs": 2,
    }
    return package.Trainer(**{**quiet, **options})


def test_epochs_are_logged_as_the_module_logs_them(
    both: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint=False)
    line, fitted = module(both), trainer(both)
    before = list(fitted.callbacks)
    fitted.fit(line, loader, loader)
    assert fitted.callbacks == before
    run = only_run()
    assert run.status == "FINISHED"
    assert run.tags["mlflow.autologging"] == "pytorch"
    assert (run.params["epochs"], run.params["optimizer_name"]) == ("2", "Adam")
    assert (run.params["lr"], run.params["betas"]) == ("0.01", "(0.9, 0.999)")
    assert run.metrics["at_the_end"] == [(0, 1.0), (1, 2.0)]
    assert run.values("loss") == pytest.approx([line.losses[3], line.losses[7]])
    assert run.values("both_epoch") == pytest.approx(
        [sum(line.losses[:4]) / 4, sum(line.losses[4:]) / 4]
    )
    assert run.steps("val_loss") == [0, 1]
    assert "layer" in headrace.artifacts.load_text(f"runs:/{run.run_id}/model_summary.txt")


def test_steps_are_logged_with_their_own_values(
    lightning: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint=False, log_every_n_step=3, log_every_n_epoch=2)
    line = module(lightning)
    trainer(lightning, max_epochs=3).fit(line, loader, loader)
    run = only_run()
    expected = [(step, line.losses[step]) for step in (2, 5, 8, 11)]
    for name in ("loss", "both_step"):
        assert run.steps(name) == [step for step, _ in expected]
        assert run.values(name) == pytest.approx([value for _, value in expected])
    for name in ("both_epoch", "val_loss", "at_the_end"):
        assert run.steps(name) == [1], name


def test_a_metric_that_is_not_computed_in_an_epoch_is_not_logged_again(
    lightning: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint=False)
    trainer(lightning, max_epochs=4, check_val_every_n_epoch=2).fit(
        module(lightning), loader, loader
    )
    run = only_run()
    assert run.steps("val_loss") == [1, 3]
    assert run.steps("loss") == [0, 1, 2, 3]


def test_early_stopping_says_when_and_why(
    both: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint=False)
    stopping = both.callbacks.EarlyStopping("val_loss", min_delta=100, patience=2)
    trainer(both, max_epochs=9, callbacks=[stopping]).fit(module(both), loader, loader)
    run = only_run()
    assert (run.params["monitor"], run.params["min_delta"]) == ("val_loss", "100")
    assert run.metrics["stopped_epoch"] == [(0, 2.0)]
    assert run.metrics["wait_count"] == [(0, 2.0)]
    assert run.values("best_score") == [run.values("val_loss")[0]]


def test_the_best_checkpoint_can_be_loaded(
    both: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    line = module(both)
    trainer(both).fit(line, loader, loader)
    run = only_run()
    assert run.tags["mlflow.latest_checkpoint_artifact"] == "checkpoints/latest_checkpoint.pth"
    local = headrace.artifacts.download_artifacts(
        f"runs:/{run.run_id}/checkpoints/latest_checkpoint.pth"
    )
    state = torch.load(local, weights_only=False)["state_dict"]
    assert torch.equal(state["layer.weight"], line.layer.weight)


def test_every_checkpoint_is_kept_where_the_best_is_not_asked_for(
    lightning: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint_save_best_only=False, checkpoint_save_weights_only=True)
    trainer(lightning).fit(module(lightning), loader)
    assert only_run().artifacts == {
        "model_summary.txt",
        "checkpoints/epoch_0/checkpoint.weights.pth",
        "checkpoints/epoch_0/checkpoint_metrics.json",
        "checkpoints/epoch_1/checkpoint.weights.pth",
        "checkpoints/epoch_1/checkpoint_metrics.json",
    }


def test_a_test_after_the_training_is_logged_to_its_run(
    lightning: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint=False)
    line, fitted = module(lightning), trainer(lightning)
    fitted.fit(line, loader)
    results = fitted.test(line, loader, verbose=False)
    run = only_run()
    assert run.metrics["test_loss"] == [(1, results[0]["test_loss"])]
    assert run.tags["Mode"] == "testing"


def test_what_the_module_raises_is_raised_and_the_run_has_failed(
    lightning: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    line, fitted = module(lightning), trainer(lightning)
    line.training_step = lambda batch: 1 / 0
    before = list(fitted.callbacks)
    with pytest.raises(ZeroDivisionError):
        fitted.fit(line, loader)
    assert fitted.callbacks == before
    assert only_run().status == "FAILED"


def test_gradients_that_are_accumulated_count_as_one_step(
    lightning: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint=False, log_every_n_step=1)
    trainer(lightning, accumulate_grad_batches=2).fit(module(lightning), loader)
    assert only_run().steps("loss") == [0, 1, 2, 3]


def test_fits_in_an_active_run_log_to_it(
    lightning: ModuleType, loader: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(checkpoint=False)
    with headrace.start_run():
        trainer(lightning).fit(module(lightning), loader)
        trainer(lightning, max_epochs=1).fit(module(lightning), loader)
    assert sorted(only_run().steps("loss")) == [0, 0, 1]


@pytest.mark.parametrize("option", ["log_every_n_epoch", "log_every_n_step"])
def test_an_option_that_cannot_be_says_so(option: str) -> None:
    with pytest.raises(InvalidRequest, match=option):
        autologging.autolog(**{option: 0})  # type: ignore[arg-type]  # the mistake
