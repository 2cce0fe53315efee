"""Signed URLs: what they allow, how long, and that the key is one for all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts.base import Grant
from headrace.artifacts.signing import UrlSigner, load_or_create_key
from headrace.errors import HeadraceError, PermissionDenied

SIGNER = UrlSigner(b"k" * 32)
PUT = Grant("PUT", "1/r/f", "0" * 32, 3)


def signature_in(url: str) -> tuple[int, str]:
    query = parse_qs(urlsplit(url).query)
    return int(query["expires"][0]), query["signature"][0]


def test_a_url_allows_what_it_was_signed_for() -> None:
    SIGNER.verify(PUT, *signature_in(SIGNER.url(PUT, 60)))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"path": "1/r/g"},
        {"upload_id": "1" * 32},
        {"part_number": 4},
        {"upload_id": "", "part_number": 0},
    ],
)
def test_it_allows_nothing_else(change: dict[str, str]) -> None:
    signed = signature_in(SIGNER.url(PUT, 60))
    with pytest.raises(PermissionDenied, match="does not match"):
        SIGNER.verify(msgspec.structs.replace(PUT, **change), *signed)


def test_it_expires_and_cannot_be_prolonged() -> None:
    expires, signature = signature_in(SIGNER.url(PUT, -2))
    with pytest.raises(PermissionDenied, match="expired"):
        SIGNER.verify(PUT, expires, signature)
    with pytest.raises(PermissionDenied, match="does not match"):
        SIGNER.verify(PUT, expires + 3600, signature)


def test_another_key_does_not_do() -> None:
    with pytest.raises(PermissionDenied):
        UrlSigner(b"x" * 32).verify(PUT, *signature_in(SIGNER.url(PUT, 60)))


@given(st.text(max_size=80))
def test_no_text_is_a_signature(signature: str) -> None:
    expires, _ = signature_in(SIGNER.url(PUT, 60))
    with pytest.raises(PermissionDenied):
        SIGNER.verify(PUT, expires, signature)


@given(st.tuples(st.text(max_size=6), st.text(max_size=6)))
def test_fields_cannot_run_into_one_another(fields: tuple[str, str]) -> None:
    path, upload_id = fields
    grant = Grant("PUT", path, upload_id + "x", 1)
    other = Grant("PUT", path + upload_id, "x", 1)
    if grant != other:
        signed = signature_in(SIGNER.url(grant, 60))
        with pytest.raises(PermissionDenied):
            SIGNER.verify(other, *signed)


KEY = """
import sys
from pathlib import Path
from headrace.artifacts.signing import load_or_create_key
sys.stdin.read(1)
print(load_or_create_key(Path(sys.argv[1])).hex())
"""


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    path = tmp_path / "own" / "signing.key"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", KEY, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    keys = {child.communicate(b"g")[0] for child in children}
    assert keys == {load_or_create_key(path).hex().encode() + b"\n"}
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.key"]


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(b"short")
    with pytest.raises(HeadraceError, match="has 5 bytes"):
        load_or_create_key(path)
