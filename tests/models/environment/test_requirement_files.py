"""pip's requirements files, and requirements for one package made one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidRequest
from headrace.models.environment.merging import merged
from headrace.models.environment.requirement_files import name_of, read_file, read_lines
from tests.models.environment.conftest import put

HERE = Path()


def test_comments_continued_lines_and_references(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "requirements.txt": "\ufeffnumpy==2.1.0  # the same as in training\n\n# all\n"
            "pandas \\\n  >=2 # at least\n-r more/other.txt\n-cc.txt\n--constraint=c.txt\n"
            "pkg @ https://host.example/pkg.zip#sha256=abc\n",
            "more/other.txt": "six\n-c ../c.txt\n--requirement third.txt",
            "more/third.txt": "tomli\n",
            "c.txt": "urllib3<3\n",
        },
    )

    listed = read_file(tmp_path / "requirements.txt")

    assert listed.requirements == [
        "numpy==2.1.0",
        "pandas   >=2",
        "six",
        "tomli",
        "pkg @ https://host.example/pkg.zip#sha256=abc",
    ]
    assert listed.constraints == ["urllib3<3"] * 3
    assert {path.name for path in listed.files} == {
        *("requirements.txt", "other.txt", "third.txt", "c.txt"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-r missing.txt", "cannot be read"),
        ("-r https://host.example/r.txt", "by URL"),
        ("-r loop.txt", "levels deep"),
        ("-r ../outside.txt", "outside the model"),
        ("-r /etc/passwd", "outside the model"),
        ("-r pipe", "no regular file"),
        ("-r binary.txt", "no text"),
    ],
)
def test_references_that_are_refused(tmp_path: Path, line: str, message: str) -> None:
    folder = put(tmp_path / "model", {"loop.txt": "-r loop.txt"})
    put(tmp_path, {"outside.txt": "six"})
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(folder / "pipe")

    with pytest.raises(InvalidRequest, match=message):
        read_lines([line], folder, within=folder)


def test_a_link_out_of_the_model_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", {"MLmodel": ""})
    put(tmp_path, {"outside.txt": "six"})
    (folder / "inside.txt").symlink_to(tmp_path / "outside.txt")

    with pytest.raises(InvalidRequest, match="outside the model"):
        read_lines(["-r inside.txt"], folder, within=folder)


@pytest.mark.parametrize(
    "line",
    [
        "-i https://me:hunter2@host.example/simple",
        "pkg @ https://hunter2@host.example/pkg.zip",
        "git+https://oauth2:hunter2@host.example/repo.git",
        "-f https://me:hunter2${X}@host.example/simple",
    ],
)
def test_a_password_is_refused_and_not_shown(line: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_lines([line], HERE)

    assert "hunter2" not in str(caught.value)
    assert "host.example" in str(caught.value)


def test_variables_in_the_place_of_a_password() -> None:
    lines = [
        "-i https://${USER}:${TOKEN}@host.example/simple",
        "git+ssh://git@host.example/repo.git",
    ]

    assert read_lines(lines, HERE).requirements == lines


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("NumPy", "numpy"),
        ("scikit_learn[extra]==1.0", "scikit-learn"),
        ("a.b~=1", "a-b"),
        ("pkg @ https://host.example", "pkg"),
        ("six;python_version<'4'", "six"),
        ("git+https://github.com/mlflow/mlflow@main", "mlflow"),
        ("./wheels/a-1.whl", None),
        ("wheels/a-1.whl", None),
        ("-e .", None),
        ("--pre", None),
    ],
)
def test_the_name_of_a_requirement(line: str, name: str | None) -> None:
    assert name_of(line) == name


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a", "a==1.0"], ["a==1.0"]),
        (["a>1", "a[x]", "a<2"], ["a[x]<2,>1"]),
        (["m[x]>=3.5", "m[y]<4", "m"], ["m[x,y]<4,>=3.5"]),
        (["A_b==1", "a-b"], ["a-b==1"]),
        (["torch==2.7.1+cu128", "torch==2.7.1"], ["torch==2.7.1"]),
        (["torch==2.7.1", "torch==2.7.1+cu128"], ["torch==2.7.1"]),
        (["a==1 ; python_version<'3'", "a==2"], ['a==1; python_version < "3"', "a==2"]),
        (["--pre", "./x.whl", "--pre"], ["--pre", "./x.whl"]),
        (["a==1", "a==1"], ["a==1"]),
    ],
)
def test_one_requirement_for_each_package(lines: list[str], expected: list[str]) -> None:
    assert merged(lines) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["scikit-learn==1.1", "scikit-learn<1"], "exclude each other"),
        (["numpy = 2"], "is no requirement"),
        (["numpy==two"], "is no requirement"),
        (["what is this"], "is no requirement"),
    ],
)
def test_requirements_without_sense(lines: list[str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        merged(lines)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_any_lines_are_read_or_refused(lines: list[str]) -> None:
    with suppress(InvalidRequest):
        assert all(isinstance(line, str) for line in merged(read_lines(lines, HERE).requirements))


versions = st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){0,2}", fullmatch=True)


@given(st.lists(st.tuples(st.sampled_from("abc"), versions), max_size=8, unique_by=lambda x: x[0]))
def test_pins_of_different_packages_stay(pins: list[tuple[str, str]]) -> None:
    lines = [f"{name}=={version}" for name, version in pins]

    assert merged(lines) == lines
    assert merged([*lines, *lines]) == lines
