"""Small trainings with the real libraries; each gives what it trained."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

X, Y = load_iris(return_X_y=True, as_frame=True)


def xgboost(kind: str) -> Any:
    """A booster (`train`) or an estimator, stopped early or at its ninth round."""
    import xgboost as xgb

    params = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    if kind == "train":
        train, test = xgb.DMatrix(X[::2], Y[::2]), xgb.DMatrix(X[1::2], Y[1::2])
        return xgb.train(
            params, train, 9, evals=[(test, "test")], early_stopping_rounds=3, verbose_eval=False
        )
    model = xgb.XGBClassifier(n_estimators=9, n_jobs=1, early_stopping_rounds=3)
    return model.fit(X[::2], Y[::2], eval_set=[(X[1::2], Y[1::2])], verbose=False)


def lightgbm(kind: str) -> Any:
    """A booster (`train`) or an estimator."""
    import lightgbm as lgb

    if kind == "train":
        params = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbosity": -1}
        train = lgb.Dataset(X[::2], Y[::2])
        test = lgb.Dataset(X[1::2], Y[1::2], reference=train)
        return lgb.train(params, train, 4, valid_sets=[test])
    model = lgb.LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1)
    return model.fit(X, Y, eval_set=[(X, Y)])


def keras(stops: bool = False) -> tuple[Any, Any]:
    """A classifier, and what it was trained on: 64-bit numbers."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    features = X.to_numpy()
    stopping = keras.callbacks.EarlyStopping(
        "loss", min_delta=10, patience=1, restore_best_weights=True
    )
    callbacks = [stopping] if stops else []
    model.fit(features, Y.to_numpy(), epochs=4, batch_size=75, verbose=0, callbacks=callbacks)
    return model, features


def lightning(package: str, calls_itself: bool = True, tests: bool = False) -> tuple[Any, Any]:
    """A module, and what it was trained on."""
    import torch

    logging.getLogger(package).setLevel(logging.ERROR)
    library = importlib.import_module(package)

    class Line(library.LightningModule):  # type: ignore[misc, name-defined]  # only known when it runs
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, rows: Any) -> Any:
            return self.layer(rows)

        def trainer_is_gone(self) -> bool:
            return self._trainer is None

        def _loss(self, batch: Any) -> Any:
            predicted = self(batch[0]) if calls_itself else self.layer(batch[0])
            return ((predicted - batch[1]) ** 2).mean()

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self._loss(batch)
            self.log("loss", loss)
            return loss

        def test_step(self, batch: Any, index: int) -> None:
            self.log("test_loss", self._loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    features = torch.randn(32, 4)
    pairs = torch.utils.data.TensorDataset(features, features.sum(1, keepdim=True))
    loader = torch.utils.data.DataLoader(pairs, batch_size=8)
    trainer = library.Trainer(
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        enable_checkpointing=False,
        max_epochs=2,
    )
    module = Line()
    trainer.fit(module, loader)
    if tests:
        trainer.test(module, loader, verbose=False)
    return module, features


def statsmodels(kind: str) -> tuple[Any, Any]:
    """Results, and what they can predict from."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(0)
    table = pd.DataFrame(sm.add_constant(rng.normal(size=(80, 2))), columns=["one", "a", "b"])
    target = pd.Series(table.to_numpy() @ [1.0, 2.0, 3.0] + rng.normal(size=80), name="y")
    if kind == "series":
        return sm.tsa.ARIMA(target.to_numpy(), order=(1, 0, 0)).fit(), None
    if kind == "formula":
        results = smf.ols("y ~ a + np.square(b)", table.assign(y=target, other="x")).fit()
        return results, table[["a", "b"]]
    given = table.to_numpy() if kind == "array" else table
    return sm.OLS(target, given).fit(), given


def transformers(folder: Path) -> Any:
    """A trainer of a tiny classifier, with a tokenizer of five words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    transformers.logging.set_verbosity_error()
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "a": 2, "b": 3, "c": 4}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]"
    )
    config = transformers.BertConfig(
        vocab_size=5,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    data = [
        {"input_ids": torch.randint(0, 5, (6,)), "labels": torch.tensor(number % 2)}
        for number in range(16)
    ]
    arguments = transformers.TrainingArguments(
        str(folder / "out"),
        max_steps=2,
        per_device_train_batch_size=4,
        logging_steps=1,
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        report_to="none",
    )
    return transformers.Trainer(
        transformers.BertForSequenceClassification(config),
        arguments,
        train_dataset=data,
        eval_dataset=data,
        processing_class=tokenizer,
    )
