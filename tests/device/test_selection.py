"""Which device a run gets: auto falls back and says so, what was asked for by name works or is
an error that tells why."""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from core.backend import BackendError, array_module, select_backend

ROOT = Path(__file__).resolve().parents[2]


def no_driver():
    raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


NO_CUBLAS = OSError("libcublas.so.12: cannot open shared object file")
NO_CUSOLVER = RuntimeError("CuPy failed to load libcusolver.so.11")
# Faults of an installation of cupy: (what to break, words that the message must contain).
FAULTS = {
    "no driver": (
        lambda gpu: setattr(gpu.cupy.cuda.runtime, "getDeviceCount", no_driver),
        "cudaErrorInsufficientDriver",
    ),
    "no GPU": (lambda gpu: setattr(gpu, "devices", 0), "0 GPUs"),
    "no cublas": (lambda gpu: gpu.broken.update(matmul=NO_CUBLAS), "libcublas"),
    "no cusolver": (lambda gpu: gpu.broken.update({"linalg.solve": NO_CUSOLVER}), "libcusolver"),
}
# Cupy's own text has this shape: the reason stands in its last words.
REPORT = """
================================================================
Failed to import CuPy.

Original error:
  ImportError: libnccl.so.2: cannot open shared object file
================================================================
"""
# Content of cupy/__init__.py: words that the message must contain.
BROKEN_IMPORTS = {
    "raise ImportError('libcuda.so.1: cannot open shared object file')": "libcuda.so.1",
    "raise RuntimeError('built for another version of numpy')": "another version of numpy",
    "raise OSError('libnvrtc.so.12: file too short')": "libnvrtc.so.12",
    "import an_absent_module_that_cupy_needs": "an_absent_module_that_cupy_needs",
    f"raise ImportError({REPORT!r})": "libnccl.so.2",
}


@pytest.fixture(params=FAULTS.values(), ids=FAULTS)
def faulty_gpu(request, gpu):
    """What a message must say of a stand-in that is installed and does not work."""
    break_it, words = request.param
    break_it(gpu)
    return words


@pytest.fixture(
    params=BROKEN_IMPORTS.items(), ids=("ImportError", "RuntimeError", "OSError", "missing module", "long message")
)
def broken_cupy(request, no_cupy, monkeypatch, tmp_path):
    """What a message must say of a package `cupy` that raises when it is imported."""
    content, words = request.param
    (tmp_path / "site" / "cupy").mkdir(parents=True)
    (tmp_path / "site" / "cupy" / "__init__.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return words


def assert_auto_falls_back(words):
    backend = select_backend("auto", 0, "float64")
    assert backend.xp is np
    assert backend.device is None
    assert words in backend.note
    assert "\n" not in backend.note
    assert array_module(np.ones(1)) is np


def assert_refused(run_main, capsys, words, *options):
    status, folder = run_main(*options)
    lines = capsys.readouterr().err.splitlines()
    assert (status, folder) == (2, None)
    assert len(lines) == 1
    assert words in lines[0]
    assert lines[0].startswith("run.py: ")
    assert all(option in lines[0] for option in options if option.startswith("--device"))


def test_auto_falls_back_where_the_gpu_does_not_work(faulty_gpu):
    """Many have cupy and no working GPU; the published command must run there too."""
    assert_auto_falls_back(faulty_gpu)


@pytest.mark.parametrize("options", (["--backend=cupy"], ["--device=7"]), ids=" ".join)
def test_a_gpu_asked_for_by_name_must_work(faulty_gpu, run_main, capsys, options):
    """Hours on the CPU are not what was asked for, and the reason is what the user can mend."""
    words = "GPU 7" if options == ["--device=7"] else faulty_gpu
    assert_refused(run_main, capsys, words, *options)


def test_auto_falls_back_where_cupy_cannot_be_imported(broken_cupy):
    """A broken installation of an optional package must not keep anybody from training."""
    assert_auto_falls_back(broken_cupy)


def test_a_gpu_asked_for_by_name_needs_an_importable_cupy(broken_cupy, run_main, capsys):
    """Else the user reads a traceback through someone else's package."""
    assert_refused(run_main, capsys, broken_cupy, "--backend=cupy")


def test_cupy_that_is_not_installed(monkeypatch, run_main, capsys):
    """The commonest case of all: auto computes with numpy, cupy by name says what is missing."""
    # Python marks a module so that cannot be found.
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert_auto_falls_back("not installed")
    assert_refused(run_main, capsys, "not installed", "--backend=cupy")


def test_a_gpu_beyond_those_there_are_is_refused(gpu, run_main, capsys):
    """Also with --backend=auto: a number other than 0 names a GPU."""
    assert_refused(run_main, capsys, "numbered from 0", "--device=7")
    assert_refused(run_main, capsys, "numbered from 0", "--device=7", "--backend=cupy")


def test_a_run_that_fell_back_says_so_once(gpu, run_main, capsys):
    """Someone who thinks to have measured a GPU must see the truth at once, and find it in config.json later."""
    gpu.devices = 0
    status, folder = run_main(quiet=False)
    assert capsys.readouterr().out.count("0 GPUs") == 1
    device = json.loads((folder / "config.json").read_text())["device"]
    assert status == 0
    assert device.startswith("CPU, numpy")
    assert "0 GPUs" in device


def test_auto_takes_a_gpu_that_works(gpu):
    """Else a GPU would stay idle without a word."""
    backend = select_backend("auto", 0, "float64")
    assert backend.xp is gpu.cupy
    assert (backend.name, backend.device, backend.note) == ("cupy", 0, "")


def test_numpy_by_name_leaves_cupy_alone(gpu, monkeypatch):
    """Starting CUDA takes seconds and memory that others may need."""
    monkeypatch.setattr(gpu.cupy.cuda.runtime, "getDeviceCount", lambda: pytest.fail("cupy was asked"))
    assert select_backend("numpy", 0, "float64").xp is np


def test_the_installed_cupy_without_a_gpu(real_cupy, run_main, capsys):
    """The same with the real package: auto trains on the CPU with a note, cupy by name is an error that tells why."""
    try:
        if real_cupy.cuda.runtime.getDeviceCount() > 0:
            pytest.skip("a GPU works here")
    except RuntimeError:
        pass
    assert_auto_falls_back("no GPU works")
    status, folder = run_main()
    assert status == 0
    assert "no GPU works" in json.loads((folder / "config.json").read_text())["device"]
    with pytest.raises(BackendError, match="GPU 7"):
        select_backend("auto", 7, "float64")
    capsys.readouterr()
    assert run_main("--backend=cupy", results="refused") == (2, None)
    assert "no GPU works" in capsys.readouterr().err


def imports_cupy(path):
    """Whether a Python file imports cupy or cupyx, in any of the ways that do not compute the name."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("__import__", "import_module"):
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
        if any(str(name).split(".")[0] in ("cupy", "cupyx") for name in names):
            return True
    return False


def test_only_the_backend_imports_cupy():
    """A second import somewhere would make every run need cupy, or start CUDA where numpy was asked for."""
    environments = [path.parent for path in ROOT.glob("*/pyvenv.cfg")]
    other = ("tests", "results")
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in other]
    files = [*ROOT.glob("*.py"), *(file for each in folders if each not in environments for file in each.rglob("*.py"))]
    assert ROOT / "run.py" in files
    assert [path.relative_to(ROOT) for path in files if imports_cupy(path)] == [Path("core", "backend.py")]
