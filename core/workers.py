"""Divides the work on arrays among threads.

Array libraries release the interpreter lock while they compute, so plain threads keep several cores busy. Sharing
out whole products, each computed by one thread, is faster than a BLAS that splits every product among the cores.
It also divides memory-bound passes, such as an optimiser's, which BLAS does not divide at all.
"""

import contextvars
import importlib.util
import itertools
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

# Handing parts to another thread takes 40 us; a pass of fewer multiplications and additions is over sooner in one thread.
LEAST_OPERATIONS = 6_000_000


class Workers:
    """Holds `count` threads, including the calling one; while they exist, BLAS uses one thread per call.

    count  number of threads, >= 1; 1 computes everything in the calling thread, and leaves BLAS as it is without threadpoolctl
    least  multiplications and additions of the smallest pass that is divided, see `pieces`
    """

    def __init__(self, count=1, least=LEAST_OPERATIONS):
        self.count, self.least = count, least
        self._pool = ThreadPoolExecutor(count - 1) if count > 1 else None
        known = count > 1 or importlib.util.find_spec("threadpoolctl")
        self._limit = _threadpoolctl().threadpool_limits(1, user_api="blas") if known else None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._pool:
            self._pool.shutdown()
        if self._limit:
            self._limit.restore_original_limits()

    def pieces(self, operations):
        """Returns into how many parts to divide the rows of a pass of so many multiplications and additions.

        Small passes stay whole. A simulation counts one time point, as its threads would wait for each other at every one.
        """
        return self.count if operations >= self.least else 1

    def map(self, function, items):
        """Returns [function(item) for item in items], computed by all threads.

        Each thread takes the next item when it is free. An error in one of them is raised after all have ended.
        """
        items = list(items)
        if self.count == 1 or len(items) == 1:
            return [function(item) for item in items]
        results = [None] * len(items)
        waiting = deque(range(len(items)))

        def work():
            while True:
                try:
                    i = waiting.popleft()
                except IndexError:
                    return
                results[i] = function(items[i])

        # Threads work in a copy of this context, so that the caller's numpy errstate holds in them.
        helpers = [self._pool.submit(contextvars.copy_context().run, work) for _ in range(min(self.count, len(items)) - 1)]
        try:
            work()
        finally:
            failures = [helper.exception() for helper in helpers]
        for failure in failures:
            if failure is not None:
                raise failure
        return results


def default_count():
    """Returns how many threads a run on the CPU should use: the cores that it may use, but at most 4.

    The limits of BLAS count, too. Without threadpoolctl BLAS cannot be told to stay in its thread, so that it
    splits products itself; then the number is 1.
    """
    try:
        known = [pool["num_threads"] for pool in _threadpoolctl().threadpool_info() if pool["user_api"] == "blas"]
    except ImportError:
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *known, 4]))


def _threadpoolctl():
    import threadpoolctl

    return threadpoolctl


def shares(total, count):
    """Returns `count` slices of nearly equal length that cover range(total); fewer where `total` is smaller."""
    count = max(1, min(count, total))
    edges = [total * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
