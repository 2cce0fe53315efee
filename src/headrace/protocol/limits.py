"""How long, how many, how much: every limit of the protocol, for SDK and server alike.

Figures are those that MLflow's clients keep to; where Headrace takes more, it says so.
"""

from __future__ import annotations

from typing import Final

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

MAX_KEY_LENGTH: Final = 250
"""Characters in the key of a metric, parameter or tag."""

MAX_VALUE_LENGTH: Final = 100_000
"""Characters in the value of a parameter or tag. MLflow cuts parameters at 6,000 and run tags at
8,000; Headrace keeps them whole."""

MAX_METRICS_PER_BATCH: Final = 1000
MAX_PARAMS_PER_BATCH: Final = 100
MAX_TAGS_PER_BATCH: Final = 100
MAX_ENTITIES_PER_BATCH: Final = 1000

MAX_RUN_ID_LENGTH: Final = 256
MAX_RUN_NAME_LENGTH: Final = 1000
MAX_USER_LENGTH: Final = 256
MAX_EXPERIMENT_NAME_LENGTH: Final = 500
MAX_MODEL_NAME_LENGTH: Final = 256
MAX_ALIAS_LENGTH: Final = 255
MAX_GIVEN_VERSION: Final = 10_000_000
"""The highest number that a caller may give a model version; the next ones come after it."""
MAX_TIME_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, since 1970: the latest time that a caller may give."""
MAX_URI_LENGTH: Final = 2048
MAX_DESCRIPTION_LENGTH: Final = 100_000

MAX_DATASET_NAME_LENGTH: Final = 500
MAX_DATASET_DIGEST_LENGTH: Final = 36
MAX_DATASET_SOURCE_LENGTH: Final = 65_535
MAX_DATASET_SCHEMA_LENGTH: Final = 1_048_575
MAX_DATASET_PROFILE_LENGTH: Final = 16_777_215
MAX_INPUT_TAG_KEY_LENGTH: Final = 255
MAX_INPUT_TAG_VALUE_LENGTH: Final = 500

MAX_SEARCH_RESULTS: Final = 50_000
"""Runs or experiments on one page."""
MAX_SEARCH_LOGGED_MODELS: Final = 1000
MAX_SEARCH_REGISTERED_MODELS: Final = 1000
MAX_SEARCH_MODEL_VERSIONS: Final = 200_000
MAX_HISTORY_PAGE: Final = 50_000
"""Points on one page of a metric's history, where the client asks for pages."""
MAX_HISTORY: Final = 1_000_000
"""Points in one answer where the client does not ask for pages."""
MAX_BULK_HISTORY: Final = 25_000
MAX_BULK_RUNS: Final = 100
MAX_BULK_POINTS: Final = 2500
MAX_DATASET_SUMMARIES: Final = 1000
MAX_DATASET_SEARCH_EXPERIMENTS: Final = 20

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""Bytes in the body of one call; artifacts stream and are not bound by this."""
