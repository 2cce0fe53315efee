"""Git: what is read of real repositories, and that nothing a repository configures is run."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client import git
from headrace.client.git import Checkout, Uncommitted, find_checkout, without_credentials

NEVER = threading.Event()


def run_git(folder: Path, *words: str, **env: str) -> str:
    given = {"HOME": str(folder), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", **env}
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with one commit on the branch main."""
    folder = tmp_path / "repository"
    folder.mkdir()
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "train.py").write_text("rate = 0.1\n")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "--message=first")
    return folder


def found_in(folder: Path) -> Checkout:
    found = find_checkout(folder)
    assert found is not None
    return found


def changes_in(folder: Path) -> Uncommitted:
    changes = git.uncommitted(found_in(folder), NEVER)
    assert changes is not None
    return changes


def test_head_is_read_as_git_tells_it(repository: Path) -> None:
    commit = run_git(repository, "rev-parse", "HEAD")
    assert found_in(repository) == Checkout(repository, commit, "main", None)
    (repository / "deep" / "er").mkdir(parents=True)
    assert found_in(repository / "deep" / "er").root == repository
    run_git(repository, "checkout", "--quiet", "-b", "feature/faster")
    run_git(repository, "pack-refs", "--all")
    assert found_in(repository)[1:3] == (commit, "feature/faster")
    run_git(repository, "checkout", "--quiet", "--detach")
    assert found_in(repository)[1:3] == (commit, None)


def test_a_linked_work_tree_has_its_own_branch(repository: Path, tmp_path: Path) -> None:
    run_git(repository, "remote", "add", "origin", "https://example.org/a/b.git")
    run_git(repository, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"))
    commit = run_git(repository, "rev-parse", "HEAD")
    url = "https://example.org/a/b.git"
    assert found_in(tmp_path / "linked") == Checkout(tmp_path / "linked", commit, "other", url)
    (tmp_path / "linked" / "train.py").write_text("rate = 0.3\n")
    assert "+rate = 0.3" in changes_in(tmp_path / "linked").text
    assert not changes_in(repository).dirty


def test_without_a_commit_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "--quiet", "--initial-branch=main")
    assert found_in(tmp_path) == Checkout(tmp_path, None, None, None)
    assert git.uncommitted(found_in(tmp_path), NEVER) is None


def test_outside_a_checkout_there_is_none(tmp_path: Path) -> None:
    assert find_checkout(tmp_path) is None


@pytest.mark.parametrize(
    "head",
    ["ref: ../../secret", "ref: refs/../../secret", "not a commit", "", "ref: refs/heads/main"],
)
def test_a_head_that_leads_elsewhere_tells_nothing(head: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("f" * 39 + "!")
    (tmp_path / "r" / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / "r" / ".git" / "refs" / "heads" / "main").write_text("password=1")
    (tmp_path / "r" / ".git" / "HEAD").write_text(head)
    assert found_in(tmp_path / "r")[1:] == (None, None, None)


def test_the_remote_is_told_without_its_password(repository: Path) -> None:
    run_git(repository, "remote", "add", "fork", "https://example.org/fork.git")
    assert found_in(repository).remote_url == "https://example.org/fork.git"
    run_git(repository, "remote", "add", "origin", "https://me:hunter2@example.org/a/b.git")
    run_git(repository, "config", "remote.origin.pushurl", "https://me:hunter2@example.org/c")
    assert found_in(repository).remote_url == "https://example.org/a/b.git"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ghp_abcdef@github.com/a/b", "https://github.com/a/b"),
        ("https://u:p%40ss@host:8443/a?token=x#y", "https://host:8443/a"),
        ("ssh://git:secret@host:22/a", "ssh://git@host:22/a"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
        ("https://[bad", None),
    ],
)
def test_credentials_leave_a_url(url: str, shown: str | None) -> None:
    assert without_credentials(url) == shown


@given(st.text(max_size=300))
def test_any_configuration_is_read_without_an_error(text: str) -> None:
    remote = git._remote(f'[remote "origin"]\n{text}\n[remote')
    assert (
        remote is None or "@" not in remote.partition("://")[2].partition("/")[0] or "ssh" in text
    )


def test_a_clean_checkout_has_no_changes(repository: Path) -> None:
    assert changes_in(repository) == Uncommitted(False, "")


def test_changes_are_a_patch_that_git_applies(repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("rate = 0.2\n")
    (repository / "staged.py").write_text("x = 1\n")
    run_git(repository, "add", "staged.py")
    (repository / "new.py").write_text("nobody reads this\n")
    (repository / "data").mkdir()
    (repository / "data" / "a.csv").write_text("1,2\n")
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "big.log").write_text("ignored\n")
    changes = changes_in(repository)
    assert changes.dirty
    assert "# Untracked, not shown:\n#   .gitignore\n#   data/\n#   new.py\n" in changes.text
    assert "nobody reads this" not in changes.text
    assert "big.log" not in changes.text
    run_git(tmp_path, "clone", "--quiet", str(repository), "copy")
    (tmp_path / "changes").write_text(changes.text)
    run_git(tmp_path / "copy", "apply", str(tmp_path / "changes"))
    assert (tmp_path / "copy" / "train.py").read_text() == "rate = 0.2\n"
    assert (tmp_path / "copy" / "staged.py").read_text() == "x = 1\n"


def test_untracked_files_alone_are_named_in_a_clean_checkout(repository: Path) -> None:
    (repository / "new.py").write_text("1\n")
    assert not changes_in(repository).dirty
    assert "#   new.py\n" in changes_in(repository).text


def test_binary_and_secret_files_are_there_by_name_only(repository: Path) -> None:
    (repository / "weights.bin").write_bytes(bytes(range(256)))
    (repository / ".env").write_text("PASSWORD=old\n")
    (repository / "deep").mkdir()
    (repository / "deep" / "Server.PEM").write_text("old\n")
    run_git(repository, "add", "--force", ".")
    run_git(repository, "commit", "--quiet", "--message=second")
    (repository / "weights.bin").write_bytes(bytes(reversed(range(256))))
    (repository / ".env").write_text("PASSWORD=hunter2\n")
    (repository / "deep" / "Server.PEM").write_text("hunter2\n")
    text = changes_in(repository).text
    assert "Binary files a/weights.bin and b/weights.bin differ" in text
    assert "# Changed, not shown:\n#   .env\n#   deep/Server.PEM\n" in text
    assert "hunter2" not in text


def test_a_long_patch_is_cut_with_a_mark(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "MAX_DIFF_BYTES", 10_000)
    (repository / "train.py").write_text("".join(f"line = {n}\n" for n in range(100_000)))
    changes = changes_in(repository)
    assert changes.dirty
    assert len(changes.text) < 10_200
    last = changes.text.splitlines()[-2:]
    assert last[0].startswith("+line = ")
    assert last[1] == "# Cut here: the changes take more than 10,000 bytes."


def test_nothing_that_a_repository_configures_is_run(repository: Path, tmp_path: Path) -> None:
    """Filters, monitors, converters, pagers, hooks, transports: each would leave a file behind."""
    ran = tmp_path / "ran"
    ran.mkdir()

    def program(name: str) -> str:
        file = tmp_path / f"{name}.sh"
        file.write_text(f"#!/bin/sh\ntouch {ran}/{name}\ncat\n")
        file.chmod(0o755)
        return str(file)

    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-index-change").symlink_to(program("hook"))
    (repository / ".gitattributes").write_text("*.py filter=evil diff=evil\n*.txt filter=a.b-C\n")
    (repository / "note.txt").write_text("one\n")
    (repository / "same.md").write_text("one\n")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "--message=attributes")
    for key, name in {
        "core.fsmonitor": "fsmonitor",
        "core.pager": "pager",
        "pager.diff": "pager2",
        "diff.external": "external",
        "diff.evil.command": "driver",
        "diff.evil.textconv": "textconv",
        "filter.evil.clean": "clean",
        "filter.evil.process": "process",
        "filter.a.b-C.clean": "clean2",
        "core.sshCommand": "ssh",
        "alias.diff": "alias",
    }.items():
        run_git(repository, "config", key, program(name))
    run_git(repository, "config", "filter.evil.required", "true")
    run_git(repository, "config", "core.hooksPath", str(hooks))
    run_git(repository, "config", "core.worktree", str(tmp_path))
    (repository / "train.py").write_text("rate = 0.2\n")
    (repository / "note.txt").write_text("two\n")
    os.utime(repository / "same.md", (1, 1))  # git would note in its index that it is the same
    index = (repository / ".git" / "index").read_bytes()
    changes = changes_in(repository)
    assert "+rate = 0.2" in changes.text
    assert "+two" in changes.text
    assert list(ran.iterdir()) == []
    assert (repository / ".git" / "index").read_bytes() == index
    # The same without our care, so that the test can fail.
    run_git(repository, "config", "--unset", "core.worktree")
    subprocess.run(["git", "diff", "HEAD"], cwd=repository, capture_output=True, check=False)
    assert list(ran.iterdir()) != []


def test_a_filter_that_no_option_can_name_is_not_run_either(
    repository: Path, tmp_path: Path
) -> None:
    (repository / ".gitattributes").write_text("*.py filter=a=b\n")
    with (repository / ".git" / "config").open("a") as config:
        config.write(f'[filter "a=b"]\n\tclean = touch {tmp_path}/ran; cat\n')
    (repository / "train.py").write_text("rate = 0.2\n")
    assert git.uncommitted(found_in(repository), NEVER) is None
    assert not (tmp_path / "ran").exists()


def test_variables_of_an_outer_git_do_not_lead_astray(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    (repository / "train.py").write_text("rate = 0.2\n")
    assert "+rate = 0.2" in changes_in(repository).text


def test_a_cancelled_or_missing_git_gives_nothing(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()
    cancelled.set()
    assert git.uncommitted(found_in(repository), cancelled) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert git.uncommitted(found_in(repository), NEVER) is None


def test_a_git_that_hangs_is_ended(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 1000\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "GIT_SECONDS", 0.2)
    assert git.uncommitted(found_in(repository), NEVER) is None
