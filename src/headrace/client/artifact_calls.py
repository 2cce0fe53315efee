"""The client's calls about artifacts: files, and objects that become files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.artifacts.open import ArtifactPlace
from headrace.artifacts.paths import join, safe_path
from headrace.client import documents, figures, images, tables
from headrace.client.entries import Logged
from headrace.client.locations import Locations
from headrace.client.outbox import LiveFile
from headrace.client.run import operation
from headrace.client.values import now, whole
from headrace.errors import HeadraceError, InvalidRequest, NotFound
from headrace.protocol.artifacts import FileInfo
from headrace.protocol.names import check_run_id
from headrace.protocol.runs import LogBatch, SearchRuns
from headrace.protocol.uris import parse_run_uri, scheme_of
from headrace.protocol.wire import Tag

if TYPE_CHECKING:
    import pandas as pd

LOGGED_ARTIFACTS_TAG: Final = "mlflow.loggedArtifacts"
LOGGED_IMAGES_TAG: Final = "mlflow.loggedImages"
_PIECE: Final = 1 << 20


class _Readable(Protocol):
    def read(self, size: int, /) -> Any: ...


class ArtifactCalls(Locations):
    """Artifacts of runs and logged models.

    Paths of artifacts are relative to the run, with `/` between folders. Every call raises
    InvalidRequest for a path that leads elsewhere. What logs an artifact of a run copies it and
    returns: it reaches the store by itself, and the file may be changed at once.
    """

    def log_artifact(
        self, run_id: str, local_path: str | Path, artifact_path: str | None = None
    ) -> None:
        """Store a local file (or folder) under its name, in the folder `artifact_path`.

        NotFound when there is no such file.
        """
        local = Path(local_path)
        target = _below(artifact_path, local.resolve().name)
        if local.is_dir():
            self._log_folder(run_id, local, target)
        else:
            self._log_file(run_id, target, _copy_of(local))

    def log_artifacts(
        self, run_id: str, local_dir: str | Path, artifact_path: str | None = None
    ) -> None:
        """Store what is in a local folder, in the folder `artifact_path`. NotFound."""
        self._log_folder(run_id, Path(local_dir), _below(artifact_path, ""))

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Store a text, as UTF-8."""
        if not isinstance(text, str):
            raise InvalidRequest(f"'text' is of type {type(text).__name__}; expected a text.")
        self._log_bytes(run_id, text.encode("utf-8", "surrogatepass"), artifact_file)

    def log_dict(self, run_id: str, dictionary: Any, artifact_file: str) -> None:
        """Store a dictionary or list: as YAML in `.yaml` and `.yml`, else as JSON."""
        self._log_bytes(run_id, documents.dump(dictionary, artifact_file), artifact_file)

    def log_stream(self, run_id: str, stream: _Readable, artifact_file: str) -> None:
        """Store what a binary stream gives, to its end, without keeping it in memory."""

        def fill(target: Path) -> None:
            with open(target, "wb") as file:
                while piece := stream.read(_PIECE):
                    if isinstance(piece, str):
                        raise InvalidRequest("'stream' gives text; expected one opened as binary.")
                    file.write(piece)

        self._log_file(run_id, safe_path(artifact_file, "artifact_file"), fill)

    def log_figure(
        self,
        run_id: str,
        figure: Any,
        artifact_file: str,
        *,
        save_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Store a figure of Matplotlib or Plotly, in the format that the file's name says."""
        with self._saved(run_id, artifact_file) as local:
            figures.save(figure, local, save_kwargs)

    def log_image(
        self,
        run_id: str,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> None:
        """Store an image: a NumPy array, a PIL image, or an Image.

        Under `artifact_file`; or under a `key` and `step`, with a small copy beside it, so that
        pages can show how it changed. Give one of the two. `synchronous=True` waits until it is
        stored.
        """
        if (artifact_file is None) == (key is None):
            raise InvalidRequest("Give either 'artifact_file' or 'key', and not both.")
        if artifact_file is not None and (step is not None or timestamp is not None):
            raise InvalidRequest("'step' and 'timestamp' go with 'key', not with 'artifact_file'.")
        picture = images.Image(image)
        if artifact_file is not None:
            with self._saved(run_id, artifact_file) as local:
                picture.save(local)
            operation(self._outbox, synchronous or None)
            return
        at = now() if timestamp is None else whole(timestamp)
        name = images.step_name(key or "", 0 if step is None else whole(step), at)
        with self._saved(run_id, f"{name}.png") as local:
            picture.save(local)
        with self._saved(run_id, f"{name}+compressed.webp") as local:
            picture.small().save(local)
        self._set_tag(run_id, LOGGED_IMAGES_TAG, "True")
        operation(self._outbox, synchronous or None)

    def log_table(self, run_id: str, data: Any, artifact_file: str) -> None:
        """Store a table, a dictionary of columns or a DataFrame, as `.json` or `.parquet`.

        Rows are added to a table that is there already. Images in it become files of their own.
        """
        tables.check_name(artifact_file)

        def keep(picture: images.Image) -> dict[str, str]:
            names = images.table_names(artifact_file)
            with self._saved(run_id, names["filepath"]) as local:
                picture.save(local)
            with self._saved(run_id, names["compressed_filepath"]) as local:
                picture.small().save(local)
            return names

        safe_path(artifact_file, "artifact_file")
        table = tables.table_of(data, keep)
        earlier = self._table_so_far(run_id, artifact_file)
        if earlier is not None:
            table = earlier.with_rows_of(table)
        self._log_bytes(run_id, tables.dump(table, artifact_file), artifact_file)
        self._note_table(run_id, artifact_file, table)

    def load_table(
        self,
        experiment_id: str,
        artifact_file: str,
        run_ids: Sequence[str] | None = None,
        extra_columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The rows of a table, of these runs or of all runs of the experiment, one below the other.

        `extra_columns` names fields of a run (`run_id`, `start_time` …), or keys of its metrics,
        parameters and tags, that are added to each row. NotFound when no run has the table.
        """
        return tables.load(self._table_parts(experiment_id, artifact_file, run_ids), extra_columns)

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[FileInfo]:
        """What lies directly in a folder of a run; paths are relative to the run."""
        return _list(self._run_file(run_id, path or ""), path)

    def download_artifacts(self, run_id: str, path: str, dst_path: str | None = None) -> str:
        """A file or folder on local disk, `""` for all of a run's; the local path.

        Without `dst_path` it lands in a new temporary folder, unless it is on local disk already.
        """
        return _download(self._run_file(run_id, path), dst_path, path)

    def log_model_artifact(
        self, model_id: str, local_path: str | Path, artifact_path: str | None = None
    ) -> None:
        """Store a local file with a logged model."""
        _upload(self._model_place(model_id), local_path, artifact_path)

    def log_model_artifacts(
        self, model_id: str, local_dir: str | Path, artifact_path: str | None = None
    ) -> None:
        """Store what is in a local folder with a logged model. NotFound."""
        _upload_all(self._model_place(model_id), local_dir, artifact_path)

    def list_logged_model_artifacts(self, model_id: str, path: str | None = None) -> list[FileInfo]:
        """What lies directly in a folder of a logged model."""
        return _list(self._model_place(model_id).below(path), path)

    def _download_uri(self, uri: str, dst_path: str | None) -> str:
        """The files of any URI, under its last name; of a whole run or model, under none."""
        name = "" if scheme_of(uri) == "models" else uri.rstrip("/").rpartition("/")[2]
        if scheme_of(uri) == "runs" and not parse_run_uri(uri).path:
            name = ""
        return _download(self._locate(uri), dst_path, name)

    def _log_bytes(self, run_id: str, data: bytes, artifact_file: str) -> None:

        def fill(target: Path) -> None:
            target.write_bytes(data)

        self._log_file(run_id, safe_path(artifact_file, "artifact_file"), fill)

    def live_file(self, run_id: str, artifact_path: str) -> LiveFile:
        """An artifact that grows while the run goes on.

        Each piece can be read soon, and is kept though the program be killed. Close it when it is
        whole. Raises OSError where there is no room.
        """
        return self._outbox.live_file(run_id, safe_path(artifact_path, "artifact_path"))

    def _log_folder(self, run_id: str, folder: Path, path: str) -> None:
        if not folder.is_dir():
            raise NotFound(f"There is no folder '{folder}'.")
        for below, _, names in os.walk(folder):
            inside = Path(below).relative_to(folder).as_posix()
            for name in sorted(names):
                target = safe_path(join(path, join("" if inside == "." else inside, name)))
                self._log_file(run_id, target, _copy_of(Path(below) / name))

    def _log_file(self, run_id: str, path: str, fill: Callable[[Path], None]) -> None:
        check_run_id("run_id", run_id)
        self._outbox.file(run_id, path, fill)

    def _set_tag(self, run_id: str, key: str, value: str) -> None:
        self._outbox.write(Logged(LogBatch(run_id=run_id, tags=[Tag(key, value)])))

    @contextmanager
    def _saved(self, run_id: str, artifact_file: str) -> Iterator[str]:
        """A local path for somebody to write to; what is there afterwards is stored."""
        path = safe_path(artifact_file, "artifact_file")
        with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
            local = os.path.join(folder, os.path.basename(artifact_file))
            yield local
            self._log_file(run_id, path, _copy_of(Path(local)))

    def _table_so_far(self, run_id: str, artifact_file: str) -> tables.Table | None:
        """The table that rows are added to; of a run that this process began, without asking."""
        if self._outbox.has_created(run_id):
            return _tables.get((run_id, artifact_file))
        earlier = _read(self._run_place(run_id).below(artifact_file))
        return None if earlier is None else tables.parse(earlier, artifact_file)

    def _note_table(self, run_id: str, artifact_file: str, table: tables.Table) -> None:
        """Keep the table for rows to come, and its name in the tag by which pages find tables."""
        entry = {"path": artifact_file, "type": "table"}
        noted: list[Any] = []
        if self._outbox.has_created(run_id):
            is_known = (run_id, artifact_file) in _tables
            _tables[run_id, artifact_file] = table
            noted = [{"path": file, "type": "table"} for run, file in _tables if run == run_id]
        else:
            tags = self._store.runs.get(self._run_ref(run_id)).run.data.tags
            with suppress(ValueError, StopIteration):
                noted = json.loads(next(t.value for t in tags if t.key == LOGGED_ARTIFACTS_TAG))
            is_known = entry in noted
            noted.append(entry)
        if not is_known:
            self._set_tag(run_id, LOGGED_ARTIFACTS_TAG, json.dumps(noted))

    def _table_parts(
        self, experiment_id: str, artifact_file: str, run_ids: Sequence[str] | None
    ) -> Iterator[tuple[Any, tables.Table]]:
        wanted = None if run_ids is None else set(run_ids)
        request = SearchRuns(experiment_ids=[str(experiment_id)], max_results=1000)
        found = False
        while True:
            page = self._store.runs.search(request)
            for run in page.runs:
                if wanted is not None and run.info.run_id not in wanted:
                    continue
                data = _read(self._place(run.info.artifact_uri).below(artifact_file))
                if data is not None:
                    found = True
                    yield run, tables.parse(data, artifact_file)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        if not found:
            raise NotFound(f"None of the runs has a table '{artifact_file}'.")


_tables: dict[tuple[str, str], tables.Table] = {}
"""Tables of runs that this process began, as logged so far: rows are added without a server."""


def forget_tables(run_id: str) -> None:
    """Let go of the tables of a run that has ended."""
    for key in [key for key in _tables if key[0] == run_id]:
        del _tables[key]


def _below(artifact_path: str | None, name: str) -> str:
    """The path of `name` in the folder `artifact_path` of a run. Raises InvalidRequest."""
    folder = safe_path(artifact_path, "artifact path") if artifact_path else ""
    return safe_path(join(folder, name), "artifact path", allow_root=True)


def _copy_of(source: Path) -> Callable[[Path], None]:
    """What copies `source`. It raises NotFound and InvalidRequest for what cannot be copied."""

    def fill(target: Path) -> None:
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError:
            if not target.parent.exists():
                raise
            raise NotFound(f"There is no file '{source}'.") from None
        except (PermissionError, IsADirectoryError, shutil.SpecialFileError):
            raise InvalidRequest(f"The file '{source}' may not be read.") from None

    return fill


def _upload(place: ArtifactPlace, local_path: str | Path, artifact_path: str | None) -> None:
    from headrace.artifacts.transfer import upload_file, upload_folder

    local = Path(local_path)
    target = place.below(artifact_path).below(local.resolve().name)
    if local.is_dir():
        upload_folder(target.store, local, target.path)
    else:
        upload_file(target.store, local, target.path)


def _upload_all(place: ArtifactPlace, local_dir: str | Path, artifact_path: str | None) -> None:
    from headrace.artifacts.transfer import upload_folder

    target = place.below(artifact_path)
    upload_folder(target.store, Path(local_dir), target.path)


def _list(place: ArtifactPlace, path: str | None) -> list[FileInfo]:
    entries = place.store.list(place.path)
    return [
        FileInfo(join(path or "", entry.path), entry.is_dir, entry.file_size) for entry in entries
    ]


def _read(place: ArtifactPlace) -> bytes | None:
    """All bytes of a file; None when there is none."""
    try:
        with place.store.read(place.path) as reader:
            return b"".join(reader.chunks())
    except NotFound:
        return None


def _download(place: ArtifactPlace, dst_path: str | None, name: str) -> str:
    """Write what is at `place` to `name` below `dst_path`, "" for that folder itself."""
    from headrace.artifacts.transfer import download_to

    if dst_path is None:
        root = getattr(place.store, "root", None)
        if root is not None:
            local = Path(root) / place.path
            if name and not local.exists():
                raise NotFound(f"There is no artifact '{place.path}'.")
            return str(local)
        dst_path = tempfile.mkdtemp(prefix="headrace-")
    folder = Path(dst_path)
    if folder.exists() and not folder.is_dir():
        raise InvalidRequest(f"'dst_path' is {dst_path!r}, a file; expected a folder.")
    try:
        download_to(place.store, place.path, folder / name, folder=not name)
        return str(folder / name)
    except OSError as error:
        raise HeadraceError(f"Cannot write below {dst_path!r}: {error.strerror}.") from error
