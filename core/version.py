"""Tells the version and the commit of this program."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version():
    """Returns the version of the suite, as pyproject.toml has it."""
    return re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]


def git_commit():
    """Returns the commit of this program, with "+" if its files differ from it; None outside a repository, or in one of
    something else.

    Nothing is written, and environment variables that point git at another repository are ignored.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ask = {"cwd": ROOT, "env": environment, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 5}
    git = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        own = subprocess.run([*git, "ls-files", "--error-unmatch", "core/recording.py"], **ask)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], **ask)
        if own.returncode == commit.returncode == 0:
            changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no", "--", "."], **ask)
            return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
    return None


def describe():
    """Returns the version and the commit in a few words: what --version prints after the name of the script."""
    commit = git_commit()
    return f"{version()}, commit {commit}" if commit else version()
