"""One module a figure; this is the list of all, in the table's order."""

from __future__ import annotations

from benchmarks.figures import (
    artifact,
    chat,
    create_run,
    get_run,
    history,
    import_cost,
    log_batch,
    log_metric,
    model_folder,
    model_log,
    page,
    postgresql,
    sdk_away,
    sdk_call,
    sdk_points,
    search,
    search_100k,
    serving,
    serving_recorder,
    storage,
)
from benchmarks.measurements import LoneFigure, ServedFigure

SERVED: tuple[ServedFigure, ...] = (
    log_metric.FIGURE,
    log_batch.FIGURE,
    create_run.FIGURE,
    get_run.FIGURE,
    search.FIGURE,
    page.FIGURE,
    history.FIGURE,
)
ALONE: tuple[LoneFigure, ...] = (
    postgresql.FIGURE,
    search_100k.FIGURE,
    storage.FIGURE,
    import_cost.FIGURE,
    sdk_call.FIGURE,
    sdk_points.FIGURE,
    sdk_away.FIGURE,
    artifact.FIGURE,
    model_log.FIGURE,
    model_folder.FIGURE,
)
OF_MODELS: tuple[LoneFigure, ...] = (
    serving.FIGURE,
    chat.FIGURE,
    serving_recorder.FIGURE,
)
