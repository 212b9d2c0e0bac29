"""Fixtures of the tests of GPU discipline: a stand-in for cupy, the real one where it works, and a
cut MNIST for whole runs."""

import dataclasses
import importlib.util
import sys

import pytest

import datasets
from tests.device.strict_cupy import StandIn

IMAGES = 200
SMALL_TOWER = (196, 100, 50, 10)


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """Matrices as small as these are multiplied fastest by one thread, above all where other
    programs keep the cores busy."""
    try:
        import threadpoolctl
    except ImportError:
        yield
    else:
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            yield


@pytest.fixture(params=("float64", "float32"))
def precision(request):
    return request.param


@pytest.fixture
def gpu(monkeypatch):
    """A StandIn, installed as `cupy`; float64 unless a test sets its float_type."""
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "cupy", stand_in.cupy)
    return stand_in


@pytest.fixture
def no_cupy(monkeypatch):
    """As long as the test lasts, nobody has imported cupy yet."""
    monkeypatch.delitem(sys.modules, "cupy", raising=False)


@pytest.fixture
def real_cupy():
    """The installed cupy, with or without a GPU."""
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("cupy is not installed")
    try:
        import cupy
    except Exception as error:
        pytest.skip(f"the installed cupy cannot be imported: {type(error).__name__}")
    return cupy


@pytest.fixture
def working_gpu(real_cupy):
    """The installed cupy, with a GPU."""
    try:
        count = real_cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        pytest.skip(f"no GPU works here: {error}")
    if count == 0:
        pytest.skip("there is no GPU here")
    return real_cupy


@pytest.fixture(scope="session")
def small_mnist():
    """The first images of MNIST, every second pixel in both directions: 196 pixels, so that
    whole runs take a moment."""
    data = datasets.load("MNIST", None, True)
    cut = {name: getattr(data, name)[:IMAGES] for name in datasets.ROLES}
    for name in ("train_images", "test_images"):
        cut[name] = cut[name].reshape(-1, 28, 28)[:, ::2, ::2].reshape(-1, 196)
    return dataclasses.replace(data, **cut)


@pytest.fixture
def run_main(small_mnist, monkeypatch, tmp_path):
    """A function of options that runs `run.py` with them: (exit status, run folder), the folder
    None where there is none.

    Learns from 120 images in two batches, one epoch, one thread; `results` names a results folder.
    """
    import run

    monkeypatch.setattr(run.datasets, "load", lambda *_: small_mnist)
    monkeypatch.setattr("inv_net.TOWER_SIZES", SMALL_TOWER)

    def main(*options, results="results", quiet=True):
        folder = tmp_path / results
        common = [
            f"--results_dir={folder}",
            "--train_samples=120",
            "--nb_epochs=1",
            "--threads=1",
            *["--quiet"] * quiet,
        ]
        try:
            status = run.main([*common, *options])
        except SystemExit as refused:
            # The command line's own mistakes end so.
            status = refused.code
        return status, next(folder.iterdir(), None) if folder.exists() else None

    return main
