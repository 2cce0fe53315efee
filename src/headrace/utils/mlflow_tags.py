"""The tags that mean the same to Headrace and MLflow, under MLflow's names for them."""

from __future__ import annotations

from typing import Final

from headrace.client import artifact_calls, context, models
from headrace.client.autolog import recording
from headrace.protocol import datasets, runs

MLFLOW_AUTOLOGGING: Final = recording.AUTOLOGGING_TAG
MLFLOW_DATASET_CONTEXT: Final = datasets.CONTEXT_TAG
MLFLOW_GIT_BRANCH: Final = context.BRANCH_TAG
MLFLOW_GIT_COMMIT: Final = context.COMMIT_TAG
MLFLOW_GIT_DIRTY: Final = context.DIRTY_TAG
MLFLOW_GIT_REPO_URL: Final = context.REMOTE_TAG
MLFLOW_LOGGED_ARTIFACTS: Final = artifact_calls.LOGGED_ARTIFACTS_TAG
MLFLOW_LOGGED_IMAGES: Final = artifact_calls.LOGGED_IMAGES_TAG
MLFLOW_LOGGED_MODELS: Final = runs.LOG_MODEL_HISTORY_TAG
MLFLOW_MODEL_IS_EXTERNAL: Final = models.EXTERNAL_TAG
MLFLOW_PARENT_RUN_ID: Final = runs.PARENT_RUN_TAG
MLFLOW_RUN_NAME: Final = runs.RUN_NAME_TAG
MLFLOW_RUN_NOTE: Final = runs.NOTE_TAG
MLFLOW_SOURCE_NAME: Final = runs.SOURCE_NAME_TAG
MLFLOW_SOURCE_TYPE: Final = runs.SOURCE_TYPE_TAG
MLFLOW_USER: Final = runs.USER_TAG
