"""Headrace itself as a wheel, made from its own install, for images that serve models.

Works for an editable install and for a plain one, without a network or a build tool. The format is
PEP 427's, the list of files PEP 376's. The same install always gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from headrace.errors import InvalidRequest

_PACKAGE: Final = "headrace"
_TAG: Final = "py3-none-any"
_DESCRIPTION: Final = (
    f"Wheel-Version: 1.0\nGenerator: {_PACKAGE}\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
)
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can hold."""
_METADATA: Final = ("METADATA", "entry_points.txt")


class WheelContent(NamedTuple):
    """All that goes into the wheel: its file name, what its RECORD says, and the files."""

    name: str
    record: str
    files: dict[str, bytes]


def wheel_content() -> WheelContent:
    """The wheel of the Headrace that runs. InvalidRequest where it is not installed."""
    try:
        installed = importlib.metadata.distribution(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise InvalidRequest(
            "Headrace is not installed here (its source is on the path only), so that it cannot be "
            "put into an image. Install it: pip install -e PATH_OF_ITS_SOURCE."
        ) from None
    about = f"{_PACKAGE}-{installed.version}.dist-info"
    files = dict(_package_files())
    for name in _METADATA:
        text = installed.read_text(name)
        if text is not None:
            files[f"{about}/{name}"] = text.encode()
    files[f"{about}/WHEEL"] = _DESCRIPTION.encode()
    lines = [_record_line(name, files[name]) for name in sorted(files)]
    record = "".join([*lines, f"{about}/RECORD,,\n"])
    return WheelContent(f"{_PACKAGE}-{installed.version}-{_TAG}.whl", record, files)


def write_wheel(folder: Path, content: WheelContent | None = None) -> Path:
    """Write the wheel into `folder`; the path of the file, which appears whole."""
    content = content or wheel_content()
    record_name = content.record.splitlines()[-1].partition(",")[0]
    target = folder / content.name
    partial = folder / f".{content.name}.{os.getpid()}"
    with zipfile.ZipFile(partial, "w") as archive:
        for name in sorted(content.files):
            _add(archive, name, content.files[name])
        _add(archive, record_name, content.record.encode())
    partial.replace(target)
    return target


def _package_files() -> Iterator[tuple[str, bytes]]:
    root = Path(__file__).resolve().parents[1]
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            if not name.endswith((".pyc", ".pyo")):
                yield f"{_PACKAGE}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.external_attr = 0o100644 << 16
    entry.create_system = 3  # Unix, wherever it is written
    archive.writestr(entry, data)  # stored: another zlib would give other bytes
