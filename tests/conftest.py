"""What holds for all tests, and fixtures for them."""

import signal

import pytest

from dfc import simulation


def pytest_configure():
    """A shell that starts the tests in the background makes them ignore SIGINT, and all processes that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=("stacked", "layer by layer"))
def form(request, monkeypatch):
    """Small networks are simulated in the form that they have (dfc.stacked), and in that of large ones."""
    if request.param == "layer by layer":
        monkeypatch.setattr(simulation, "stackable", lambda net, controller: False)
