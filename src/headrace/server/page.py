"""The page at `/`: experiments, the latest runs, and how to log. One file, no script.

Every value from the database goes through `html.escape`, and the Content-Security-Policy lets
nothing run and nothing load even if one did not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Final

from msgspec import Struct

from headrace.protocol.experiments import Experiment, SearchExperiments
from headrace.protocol.runs import Run, SearchRuns
from headrace.store.base import Store
from headrace.version import VERSION

EXPERIMENTS_SHOWN: Final = 50
RUNS_SHOWN: Final = 25
METRICS_SHOWN: Final = 4

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5c6b7a;--line:#dfe5ea;--bg:#f6f8f9;
--card:#fff;--water:#0b7285;--ok:#2b8a3e;--bad:#c92a2a;--busy:#b86e00}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf2;--soft:#93a4b3;--line:#2a343d;--bg:#11171c;
--card:#182027;--water:#3bc9db;--ok:#69db7c;--bad:#ff8787;--busy:#ffc078}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:80rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.5rem;margin:0;letter-spacing:-.01em}h1 span{color:var(--water)}
header p{margin:.25rem 0 2rem;color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;
margin-bottom:1.5rem;padding:1rem 1.25rem;overflow-x:auto}
h2{font-size:1rem;margin:0 0 .6rem}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th{text-align:left;color:var(--soft);font-weight:500;padding:.35rem .9rem .35rem 0;
white-space:nowrap}
td{border-top:1px solid var(--line);padding:.4rem .9rem .4rem 0;vertical-align:top}
code,pre,.id{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.88rem}
.id,.when{color:var(--soft);white-space:nowrap}
pre{margin:0;overflow-x:auto}
.FINISHED{color:var(--ok)}.FAILED,.KILLED{color:var(--bad)}.RUNNING,.SCHEDULED{color:var(--busy)}
.metric{display:inline-block;margin-right:.9rem;white-space:nowrap}.metric b{font-weight:500}
footer{color:var(--soft);font-size:.88rem}a{color:var(--water)}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)


class Seen(Struct):
    """What the page shows."""

    experiments: list[Experiment]
    runs: list[Run]


def gather(store: Store) -> Seen:
    """Read what the page shows: the newest experiments, and the newest runs among theirs."""
    found = store.experiments.search(SearchExperiments(max_results=EXPERIMENTS_SHOWN)).experiments
    ids = [experiment.experiment_id for experiment in found]
    page = store.runs.search(SearchRuns(experiment_ids=ids, max_results=RUNS_SHOWN))
    return Seen(found, page.runs)


def render(seen: Seen, address: str) -> bytes:
    """The page as HTML; `address` is what the lines to log name as the server."""
    names = {experiment.experiment_id: experiment.name for experiment in seen.experiments}
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Headrace</title><style>{_STYLE}</style></head><body><main>
<header><h1>Head<span>race</span></h1><p>A tracking server, version {escape(VERSION)}.</p></header>
<section><h2>Log a run</h2><pre>import mlflow
mlflow.set_tracking_uri(&quot;{escape(address)}&quot;)
with mlflow.start_run(): mlflow.log_metric(&quot;loss&quot;, 0.1)</pre></section>
<section><h2>Latest runs</h2>{_runs_table(seen.runs, names)}</section>
<section><h2>Experiments</h2>{_experiments_table(seen.experiments)}</section>
<footer>Every call that this server answers: <a href="openapi.json">openapi.json</a></footer>
</main></body></html>
""".encode("utf-8", "replace")


def _runs_table(runs: list[Run], names: dict[str, str]) -> str:
    if not runs:
        return "<p>None yet. The three lines above make the first.</p>"
    rows = (
        (
            escape(run.info.run_name),
            escape(names.get(run.info.experiment_id, run.info.experiment_id)),
            f'<span class="{escape(run.info.status)}">{escape(run.info.status.lower())}</span>',
            _metrics(run),
            f'<span class="when">{_when(run.info.start_time)}</span>',
            f'<span class="id">{escape(run.info.run_id)}</span>',
        )
        for run in runs
    )
    return _table(("Run", "Experiment", "Status", "Metrics", "Started (UTC)", "Id"), rows)


def _experiments_table(experiments: list[Experiment]) -> str:
    rows = (
        (
            escape(experiment.name),
            f'<span class="when">{_when(experiment.last_update_time)}</span>',
            f'<span class="id">{escape(experiment.experiment_id)}</span>',
        )
        for experiment in experiments
    )
    return _table(("Name", "Changed (UTC)", "Id"), rows)


def _metrics(run: Run) -> str:
    shown = [
        f'<span class="metric">{escape(metric.key)} <b>{metric.value:.4g}</b></span>'
        for metric in sorted(run.data.metrics, key=lambda metric: metric.key)[:METRICS_SHOWN]
    ]
    more = len(run.data.metrics) - METRICS_SHOWN
    if more > 0:
        shown.append(f'<span class="when">and {more} more</span>')
    return "".join(shown)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _when(milliseconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "?"
    return moment.strftime("%Y-%m-%d %H:%M")
