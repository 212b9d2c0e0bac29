"""git_commit names this program, whatever repository it lies in and whatever the environment says of
others; git writes nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from core import machine

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


def git(folder, *words):
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *words], cwd=folder, env=own, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository that holds a file of the program's name; the program believes to be it."""
    folder = tmp_path / "program"
    (folder / "core").mkdir(parents=True)
    (folder / "core" / "recording.py").write_text("old\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    monkeypatch.setattr(machine, "ROOT", folder)
    return folder


def test_the_commit_and_whether_files_differ_from_it(repository):
    commit = git(repository, "rev-parse", "HEAD")
    assert machine.git_commit() == commit
    (repository / "core" / "recording.py").write_text("new\n")
    assert machine.git_commit() == f"{commit}+"


def test_a_copy_inside_another_repository_has_none(repository, monkeypatch):
    inner = repository / "vendor"
    (inner / "core").mkdir(parents=True)
    monkeypatch.setattr(machine, "ROOT", inner)
    (inner / "core" / "recording.py").write_text("a copy\n")
    assert machine.git_commit() is None


def test_variables_of_another_repository_are_left_out(repository, tmp_path, monkeypatch):
    """As in a hook of that one."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    assert machine.git_commit() == git(repository, "rev-parse", "HEAD")


def test_git_writes_nothing(repository):
    """A look at the state of files that were touched usually refreshes the index."""
    Path(repository, "core", "recording.py").touch()
    os.utime(repository / "core" / "recording.py", (1, 1))
    index = repository / ".git" / "index"
    before = index.read_bytes(), index.stat().st_mtime_ns
    assert machine.git_commit() == git(repository, "rev-parse", "HEAD")
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
