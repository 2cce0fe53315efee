"""Change XGBoost models at random, and load what the checker lets pass in processes of their own.

As a program (`python -m tests.models.frameworks.xgboost_mutations FOLDER SEED COUNT`) it reads
the models in a folder, makes so many changed ones, and prints how many were refused and used, and
those that ended their process.
Nothing is loaded in the process itself: it forks, which it could not with XGBoost's threads.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from headrace.models.flavors.ubjson import TypedArray, read_ubjson
from headrace.models.flavors.xgboost_check import check_model
from tests.models.flavors.ubjson_encoding import encoded

NUMBERS = (
    *(-1, 0, 1, 2, 3, 4, 7, 20, -2, -99, 255, 1000, 2**16, 2**20, 2**24, 2**24 - 1),
    *(2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**62, 2**63 - 1, -(2**63)),
)
TEXTS = ("", "-1", "0", "1", "2", "3", "4", "12", "x", "[]", "[1]", "[0.5,0.5,0.5]", "1e3", "nan")
NAMES = (
    "binary:logistic",
    "multi:softmax",
    "rank:ndcg",
    "gbtree",
    "dart",
    "gblinear",
    "count:poisson",
)
MEMORY, SECONDS = 6 << 30, 20


def changed_model(data: bytes, donor: bytes, source: random.Random) -> bytes:
    """A model with one to three changes, of which some take parts of another model."""
    if source.random() < 0.2:
        return changed_bytes(data, source)
    is_json = data[1:2] != b"L"
    model = plain(json.loads(data) if is_json else read_ubjson(data))
    other = plain(json.loads(donor) if donor[1:2] != b"L" else read_ubjson(donor))
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        change_part(model, other, source)
    listed = json.dumps(model, default=lambda each: each.tolist()).encode()
    return listed if is_json else encoded(typed(model))


def changed_bytes(data: bytes, source: random.Random) -> bytes:
    """Bytes that are flipped, cut off, doubled, or another length."""
    changed = bytearray(data)
    at = source.randrange(len(changed))
    kind = source.randrange(5)
    if kind == 0:
        changed[at] ^= 1 << source.randrange(8)
    elif kind == 1:
        del changed[at:]
    elif kind == 2:
        changed[at:at] = changed[at : at + source.randrange(1, 40)]
    elif kind == 3:
        changed[at] = source.choice(b'0123456789-[]{}$#LldUSZ,:"\\\0\xff')
    else:
        found = changed.find(b"#L", at)
        if found >= 0:
            number = source.choice(NUMBERS)
            changed[found + 2 : found + 10] = number.to_bytes(8, "big", signed=True)
    return bytes(changed)


def plain(value: Any) -> Any:
    """A model with arrays of NumPy in the place of typed ones, which can be changed."""
    if isinstance(value, TypedArray):
        return np.frombuffer(value.data, value.form).copy()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def typed(value: Any) -> Any:
    """The reverse of `plain`."""
    if isinstance(value, np.ndarray):
        letter = {"f4": "d", "i4": "l", "i8": "L", "u1": "U", "i1": "i", "i2": "I", "f8": "D"}
        kind = letter[value.dtype.str[1:]]
        return TypedArray(kind, memoryview(value.astype(value.dtype.newbyteorder(">")).tobytes()))
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    if type(value) is int:
        return min(max(value, -(2**63)), 2**63 - 1)
    return [typed(each) for each in value] if isinstance(value, list) else value


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a model with every key in it."""
    found: list[tuple[Any, Any]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in entries:
        found.append((value, key))
        if isinstance(each, (dict, list)):
            found += places(each)
    return found


def change_part(model: Any, other: Any, source: random.Random) -> None:
    """Change one value of a model, wherever it lies."""
    known = places(model)
    if source.random() < 0.5:  # of the few that are no part of a tree, which are followed as well
        known = [each for each in known if not isinstance(each[1], int)] or known
    container, key = source.choice(known)
    value = container[key]
    kind = source.random()
    if kind < 0.06:
        del container[key]
    elif kind < 0.12:
        container[key] = source.choice(
            (None, True, [], {}, "", 0, 1.5, -1, [1], source.choice(TEXTS))
        )
    elif kind < 0.2:
        donor, its_key = source.choice([each for each in places(other) if each[1] == key] or known)
        container[key] = copy.deepcopy(donor[its_key])
    elif kind < 0.24 and isinstance(container, dict):
        container[source.choice((f"{key}x", "cats", "leaf_weights", "weight_drop"))] = value
    else:
        container[key] = changed_value(value, source)


def changed_value(value: Any, source: random.Random) -> Any:
    """Another value of the same kind, more or less."""
    if isinstance(value, str):
        return source.choice(TEXTS + NAMES)
    if isinstance(value, (list, np.ndarray)) and len(value):
        return changed_array(value, source)
    if isinstance(value, (int, float)):
        return source.choice(NUMBERS) if source.random() < 0.6 else value + source.choice((-1, 1))
    return value


def changed_array(value: Any, source: random.Random) -> Any:
    """An array with a number that is another, or in another place; or a longer or shorter one."""
    value = value.copy()
    at, to = source.randrange(len(value)), source.randrange(len(value))
    kind = source.randrange(6)
    if kind == 0:
        value = value[:at]
    elif kind == 1:
        return np.append(value, value[to]) if isinstance(value, np.ndarray) else [*value, value[to]]
    elif kind == 2:
        value[at] = value[to]
    elif not isinstance(value[at], (dict, list, str)):
        number = source.choice((*NUMBERS, len(value), len(value) - 1, at, at + 1))
        if isinstance(value, list):
            value[at] = number
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value[at] = np.array([number]).astype(value.dtype)[0]
    return value


def use(data: bytes) -> None:
    """All that one may do with a loaded model. Errors of XGBoost are good answers."""
    booster = xgboost.Booster({"nthread": 2})
    booster.load_model(bytearray(data))
    n_features = min(booster.num_features(), 50)
    rows = np.random.default_rng(0).random((9, n_features))
    rows[2] = np.nan
    rows[3:6] *= 1e9
    rows[6] *= -1
    tables: list[Any] = [xgboost.DMatrix(rows, feature_names=booster.feature_names)]
    kinds = booster.feature_types or []
    if "c" in kinds and len(kinds) == n_features:
        tables.append(xgboost.DMatrix(lettered(kinds, booster), enable_categorical=True))
        numbered = np.where([each == "c" for each in kinds], np.arange(9)[:, None] * 7.0, rows)
        given = {"feature_names": booster.feature_names, "feature_types": kinds}
        tables.append(xgboost.DMatrix(numbered, **given, enable_categorical=True))
    for table in tables:
        for step in steps(booster, table, rows):
            with contextlib.suppress(Exception):  # what XGBoost says no to is no fault
                step()
    for name in ("XGBClassifier", "XGBRegressor"):
        with contextlib.suppress(Exception):
            estimator = getattr(xgboost, name)(n_jobs=2)
            estimator.load_model(bytearray(data))
            estimator.predict(rows)


def lettered(kinds: list[str], booster: Any) -> pd.DataFrame:
    """A table whose categories are letters, of which the model knows some, or numbers."""
    columns = {}
    for at, kind in enumerate(kinds):
        name = (booster.feature_names or [f"f{i}" for i in range(len(kinds))])[at]
        values = list("abcdabcda") if at == 0 else [0, 1000, 3000] * 3
        columns[name] = pd.Categorical(values) if kind == "c" else np.arange(9) / 9
    return pd.DataFrame(columns)


def steps(booster: Any, table: Any, rows: Any) -> list[Callable[[], Any]]:
    """What is done with a table."""
    flags = ("output_margin", "pred_leaf", "pred_contribs", "pred_interactions", "training")
    return [
        lambda: booster.predict(table),
        *(lambda flag=flag: booster.predict(table, **{flag: True}) for flag in flags),
        lambda: booster.predict(table, pred_contribs=True, approx_contribs=True),
        lambda: booster.predict(table, strict_shape=True, iteration_range=(0, 1)),
        lambda: booster.inplace_predict(rows),
        lambda: booster.eval(table),
        lambda: booster.get_dump(with_stats=True, dump_format="json"),
        lambda: booster.get_score(importance_type="gain"),
        booster.trees_to_dataframe,
        booster.get_categories,
        booster.copy,
        booster.save_config,
        lambda: booster.save_raw("json"),
        lambda: booster[0:1].predict(table),
    ]


def ending(data: bytes) -> int:
    """The signal that ended a process that used a model, or 0."""
    child = os.fork()
    if not child:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            use(data)
        finally:
            os._exit(0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status := os.waitpid(child, 0)[1]) else 0


def main(folder: str, seed: str, count: str) -> None:
    """See the module. Models that ended a process are kept in the folder as `died-*`."""
    models = [each.read_bytes() for each in sorted(Path(folder).glob("*.model"))]
    source = random.Random(seed)
    refused, died = 0, []
    for number in range(int(count)):
        data = changed_model(source.choice(models), source.choice(models), source)
        try:
            check_model(data, xgboost.__version__)
        except ValueError:
            refused += 1
            continue
        signal = ending(data)
        if signal:
            (Path(folder) / f"died-{seed}-{number}").write_bytes(data)
            died.append([number, signal])
    found = {"refused": refused, "used": int(count) - refused, "died": died}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
