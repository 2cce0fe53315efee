"""A training of two processes: arguments are Lightning's strategy and the tracking URI."""

from __future__ import annotations

import atexit
import logging
import sys
import warnings
from typing import Any

import lightning.pytorch as lightning
import torch

import headrace
from headrace import pytorch as autologging


class Line(lightning.LightningModule):  # type: ignore[misc]  # no types
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def setup(self, stage: str) -> None:
        # A process that ends with its group still there is aborted now and then, by PyTorch alone
        # ("terminate called without an active exception"). Lightning sees to it for NCCL only.
        atexit.register(torch.distributed.destroy_process_group)

    def training_step(self, batch: Any, index: int) -> Any:
        loss = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
        # To add up the losses of both, both must take part at one time.
        self.log("loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        loss = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
        self.log("val_loss", loss, sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    headrace.set_tracking_uri(sys.argv[2])
    autologging.autolog()
    features = torch.randn(32, 4)
    pairs = torch.utils.data.TensorDataset(features, features.sum(1, keepdim=True))
    loader = torch.utils.data.DataLoader(pairs, batch_size=8)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=sys.argv[1],
        max_epochs=3,
        callbacks=[lightning.callbacks.EarlyStopping("val_loss", min_delta=100, patience=1)],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(Line(), loader, loader)


if __name__ == "__main__":
    main()
