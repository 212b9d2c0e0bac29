"""What holds for all tests, and fixtures for them."""

import os
import signal
import sys

import pytest

from dfc import simulation


def pytest_configure():
    """Makes the tests independent of the shell that starts them.

    A shell that starts them in the background makes them ignore SIGINT, and all processes that they start. Where
    Python is told to keep no compiled files, each of these processes would compile the whole program again.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(params=("stacked", "layer by layer"))
def form(request, monkeypatch):
    """Small networks are simulated in the form that they have (dfc.stacked), and in that of large ones."""
    if request.param == "layer by layer":
        monkeypatch.setattr(simulation, "stackable", lambda net, controller: False)
