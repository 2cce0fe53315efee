"""What a server says of itself, so that clients choose how to talk to it."""

from __future__ import annotations

from headrace.protocol.endpoint import Endpoint
from headrace.protocol.wire import Answer, Request


class GetServerInfo(Request):
    """Asks for what the server can do."""


class ServerInfo(Answer):
    """What the server can do; names are those that MLflow's client looks for."""

    store_type: str
    workspaces_enabled: bool
    trace_archival_enabled: bool
    multipart_uploads_enabled: bool
    multipart_downloads_enabled: bool
    presigned_upload_run_id_supported: bool
    presigned_upload_model_id_supported: bool
    headrace_version: str


GET = Endpoint(
    "GET", "/3.0/mlflow/server-info", GetServerInfo, ServerInfo, "Say what this server can do."
)
