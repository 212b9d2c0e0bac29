"""Fixtures for all tests."""

import pytest

from dfc import simulation


@pytest.fixture(params=("stacked", "layer by layer"))
def form(request, monkeypatch):
    """Small networks are simulated in the form that they have (dfc.stacked), and in that of large ones."""
    if request.param == "layer by layer":
        monkeypatch.setattr(simulation, "stackable", lambda net, controller: False)
