"""Trainings that are logged by MLflow or by Headrace, as this program's first argument says.

Prints what was logged as JSON. The second argument is the tracking URI.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tempfile
import warnings
from dataclasses import asdict
from typing import Any

import keras
import lightgbm as lgb
import pytorch_lightning
import torch
import transformers
import xgboost as xgb
from sklearn.datasets import load_iris

from tests.client.autolog.frameworks.logged import logged_runs
from tests.client.autolog.logged_models import models_of

WHOSE = sys.argv[1]
warnings.simplefilter("ignore")
for name in ("mlflow", "alembic", "lightning.pytorch", "pytorch_lightning"):
    logging.getLogger(name).setLevel(logging.ERROR)
tracking = importlib.import_module(WHOSE)
tracking.set_tracking_uri(sys.argv[2])
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
features, labels = load_iris(return_X_y=True, as_frame=True)


def autolog(flavor: str, **options: Any) -> None:
    importlib.import_module(f"{WHOSE}.{flavor}").autolog(**options)


def fit_xgboost() -> None:
    autolog("xgboost", importance_types=["weight", "gain"])
    params = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    train = xgb.DMatrix(features[::2], labels[::2])
    test = xgb.DMatrix(features[1::2], labels[1::2])
    evals = [(train, "train"), (test, "eval")]
    xgb.train({**params, "eval_metric": ["merror"]}, train, 4, evals=evals, verbose_eval=False)
    xgb.train(params, train, 99, evals=evals[1:], early_stopping_rounds=2, verbose_eval=False)
    model = xgb.XGBClassifier(n_estimators=3, n_jobs=1)
    model.fit(features, labels, eval_set=[(features, labels)], verbose=False)


def fit_lightgbm() -> None:
    autolog("lightgbm")
    params = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbosity": -1}
    train = lgb.Dataset(features[::2], labels[::2])
    test = lgb.Dataset(features[1::2], labels[1::2], reference=train)
    lgb.train(params, train, 4, valid_sets=[train, test], valid_names=["train", "test"])
    train = lgb.Dataset(features[::2], labels[::2])
    test = lgb.Dataset(features[1::2], labels[1::2], reference=train)
    stop = lgb.early_stopping(2, verbose=False)
    lgb.train({**params, "learning_rate": 1.0}, train, 99, valid_sets=[test], callbacks=[stop])
    model = lgb.LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1)
    model.fit(features, labels, eval_set=[(features, labels)])


def fit_keras() -> None:
    def fit(**options: Any) -> None:
        keras.utils.set_random_seed(0)
        made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
        made.compile(
            keras.optimizers.Adam(0.01, name="adam"),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        made.fit(features.to_numpy(), labels.to_numpy(), verbose=0, **options)

    autolog("keras")
    fit(epochs=2, batch_size=50, validation_split=0.2)
    autolog("keras", log_every_epoch=False, log_every_n_steps=2)
    fit(epochs=3, batch_size=30)


class Line(pytorch_lightning.LightningModule):  # type: ignore[misc]  # no types
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, rows: Any) -> Any:
        return self.layer(rows)

    def training_step(self, batch: Any, index: int) -> Any:
        loss = ((self(batch[0]) - batch[1]) ** 2).mean()
        self.log("loss", loss)
        self.log("both", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", ((self.layer(batch[0]) - batch[1]) ** 2).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def fit_lightning() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(32, 4)
    pairs = torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True))
    loader = torch.utils.data.DataLoader(pairs, batch_size=8)
    stopping = pytorch_lightning.callbacks.EarlyStopping("val_loss", min_delta=100, patience=2)
    for callbacks in ([], [stopping]):
        # MLflow's run fails after early stopping without checkpoints, where it logs models.
        autolog("pytorch", log_models=not callbacks)
        trainer = pytorch_lightning.Trainer(
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
            max_epochs=5,
            callbacks=callbacks,
        )
        trainer.fit(Line(), loader, loader)


def fit_transformers() -> None:
    autolog("transformers")
    torch.manual_seed(0)
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
    arguments = transformers.TrainingArguments(
        tempfile.mkdtemp(),
        num_train_epochs=1,
        per_device_train_batch_size=4,
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=2,
        use_cpu=True,
        disable_tqdm=True,
        report_to="mlflow" if WHOSE == "mlflow" else "none",
    )
    model = transformers.BertForSequenceClassification(config)
    transformers.Trainer(model, arguments, train_dataset=data, eval_dataset=data).train()
    tracking.end_run()


found: dict[str, list[dict[str, Any]]] = {}
for fit in (fit_xgboost, fit_lightgbm, fit_keras, fit_lightning, fit_transformers):
    library = fit.__name__.removeprefix("fit_")
    tracking.set_experiment(library)

    fit()

client = tracking.MlflowClient()
for run in logged_runs(client):
    entity = client.get_run(run.run_id)
    experiment = client.get_experiment(entity.info.experiment_id)
    plain = {**asdict(run), "artifacts": sorted(run.artifacts)}
    plain["models"] = models_of(tracking, entity)
    found.setdefault(experiment.name, []).append(plain)
sys.stdout.write("\n" + json.dumps(found) + "\n")
