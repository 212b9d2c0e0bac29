"""What holds for all tests, and fixtures for them."""

import os
import signal
import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

# Idle threads of BLAS sleep at once. Those of the hundreds of short processes that tests start would otherwise wait
# busily for new work for a while, on the cores that the tests share. The variable is read when numpy is imported.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

from dfc import simulation


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One process more than there are cores: tests of Slurm, signals and pipes wait most of their time."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_collection_modifyitems(items):
    """Slurm comes first: its test waits for most of two minutes, in which the other processes work."""
    items.sort(key=lambda item: "slurm" not in item.keywords)


def pytest_configure():
    """Makes the tests independent of the shell that starts them.

    A shell that starts them in the background makes them ignore SIGINT, and all processes that they start. Where
    Python is told to keep no compiled files, each of these processes would compile the whole program again.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def handed_over(monkeypatch):
    """The list of what is handed to other threads than the calling one."""
    work, submit = [], ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *words: work.append(words) or submit(*words))
    return work


@pytest.fixture(params=("stacked", "layer by layer"))
def form(request, monkeypatch):
    """Small networks are simulated in the form that they have (dfc.stacked), and in that of large ones."""
    if request.param == "layer by layer":
        monkeypatch.setattr(simulation, "stackable", lambda net, controller: False)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """No test cuts the power, so that plain files need not be on the disk; tests of fsync bring their own."""
    fsync = os.fsync

    def for_devices_and_pipes(handle):
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            fsync(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", for_devices_and_pipes)
        yield
