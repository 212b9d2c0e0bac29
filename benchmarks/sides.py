"""The common part of the benchmarks: processes with a number of threads, installed peers, and the name of the machine."""

import importlib.util
import os
import platform
import statistics
import subprocess
import sys

NAMES = {"torch": "PyTorch", "jax": "JAX"}


def run_pinned(words, threads):
    """Run Python on `words` with so many threads on so many processors; returns the subprocess.CompletedProcess.

    JAX has no option for the number of its threads: it makes one for each processor that it may use.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"JAX_PLATFORMS": "cpu"}
    # they would make BLAS take the machine for another one
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        environment.pop(name, None)
    pin = ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[-threads:]))] if _has_taskset() else []
    return subprocess.run([*pin, sys.executable, *words], env=environment, capture_output=True, text=True)


def _has_taskset():
    return hasattr(os, "sched_getaffinity") and subprocess.run(["which", "taskset"], capture_output=True).returncode == 0


def installed(sides):
    """Those of the peers that can be imported; says on stderr which cannot."""
    found = [side for side in sides if importlib.util.find_spec(side)]
    for side in sides:
        if side not in found:
            print(f"{NAMES[side]} is not installed (pip install {side}): left out", file=sys.stderr)
    return found


def ratio_to_the_fastest(runs):
    """The median over the rounds of this program's seconds per step, divided by those of the fastest peer; None without a peer.

    runs  {"suite" or name of a peer: one {"step": seconds, …} per round}
    """
    peers = [runs[side] for side in runs if side != "suite"]
    if not peers:
        return None
    rounds = zip(runs["suite"], *peers, strict=True)
    return statistics.median(ours["step"] / min(each["step"] for each in theirs) for ours, *theirs in rounds)


def machine(threads):
    """One line: the processor, the kernel that numpy's BLAS chose, the number of threads, the versions."""
    import numpy as np

    try:
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        kernel = next((pool["architecture"] for pool in threadpool_info() if pool["user_api"] == "blas"), "unknown")
    except ImportError:
        kernel = "unknown"
    versions = [f"numpy {np.__version__}"]
    for name in ("torch", "jax", "numba"):
        if importlib.util.find_spec(name):
            versions.append(f"{name} {importlib.import_module(name).__version__}")
    return f"{_processor()}, BLAS kernel {kernel}, at most {threads} threads, {', '.join(versions)}"


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
