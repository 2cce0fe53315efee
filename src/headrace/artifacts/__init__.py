"""Where artifacts are kept: the ArtifactStore interface, local disk, a server's proxy.

This is also where users look for `headrace.artifacts.download_artifacts` and its siblings. They
follow runs and models to their files, so they stand above this layer, in `client.artifacts`; the
front door adds them here, and type checkers read of them below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.protocol.artifacts import FileInfo

    def download_artifacts(
        artifact_uri: str | None = None,
        run_id: str | None = None,
        artifact_path: str | None = None,
        dst_path: str | None = None,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
    ) -> str:
        """A file or folder on local disk; its path."""

    def list_artifacts(
        artifact_uri: str | None = None,
        run_id: str | None = None,
        artifact_path: str | None = None,
        tracking_uri: str | None = None,
    ) -> list[FileInfo]:
        """What lies directly in a folder."""

    def load_text(artifact_uri: str) -> str:
        """The text in a file."""

    def load_dict(artifact_uri: str) -> Any:
        """The dictionary or list in a file, JSON or YAML by its name."""

    def load_image(artifact_uri: str) -> Any:
        """The picture in a file, as PIL holds it."""
