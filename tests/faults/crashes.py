"""The end of the world at a chosen write: what is on the disk then is what a killed process leaves behind."""

import os

from core import files


class Crash(BaseException):
    """Not even `except Exception` sees it."""


def crash_at(patch, what, where):
    """Make `what` of os raise Crash at its where-th call, before it does anything; returns the list of its calls."""
    original, calls = getattr(os, what), []

    def crashing(*arguments):
        calls.append(arguments)
        if len(calls) == where:
            raise Crash
        return original(*arguments)

    patch.setattr(files.os, what, crashing)
    return calls
