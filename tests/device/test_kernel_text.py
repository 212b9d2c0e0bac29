"""The text of every kernel, compiled as C++ for the host, against the numbers that the stand-in
computes of it by numpy."""

import ctypes
import itertools
import shutil
import subprocess

import numpy as np
import pytest

from core import device_kernels
from core.device_kernels import Kernel, rate_difference
from dfc import on_device
from dfc.functions import ACTIVATIONS

COMPILER = shutil.which("g++")
TYPES = {"float32": "float", "float64": "double"}
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
ODD = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-30)
COUNT = 64


def every_kernel():
    """All kernels of the program, each once."""
    yield from (each for each in vars(device_kernels).values() if isinstance(each, Kernel))
    both = (False, True)
    for formula in {activation.formula for activation in ACTIVATIONS.values()}:
        yield from (rate_difference(formula), on_device._rates_kernel(formula))
        yield from (on_device._layer_kernel(formula, *flags) for flags in itertools.product(both, repeat=4))
    yield from (on_device._voltages_kernel(*flags) for flags in itertools.product(both, repeat=2))


KERNELS = list(every_kernel())


def declared(kernel):
    """[(name, type, whether it is an output), …], the type "T" or one of C++."""
    types = {"": "T", "uint64": "unsigned long long"}
    pairs = [(each, out) for names, out in ((kernel.inputs, False), (kernel.outputs, True)) for each in names.split()]
    return [(each.partition(":")[0], types[each.partition(":")[2]], out) for each, out in pairs]


def text_of(number, kernel, kind):
    """A C++ function that does to arrays of the type `kind` what cupy's loop does: every parameter is a
    reference to an entry."""
    head = f'extern "C" void {kind}_{number}(long count, void **all)'
    lines = [f"{head} {{ typedef {kind} T; for (long i = 0; i < count; ++i) {{"]
    for place, (name, of, out) in enumerate(declared(kernel)):
        lines.append(f"{'' if out else 'const '}{of} &{name} = (({of} *)all[{place}])[i];")
    return "\n".join([*lines, kernel.body, "} }"])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("there is no g++")
    folder = tmp_path_factory.mktemp("kernels")
    functions = [text_of(number, kernel, kind) for number, kernel in enumerate(KERNELS) for kind in TYPES.values()]
    (folder / "all.cpp").write_text(
        "\n".join(["#include <math.h>", "#define __device__", device_kernels.PREAMBLE, *functions])
    )
    words = [
        COMPILER,
        "-O1",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        "-Wno-unused",
        "-o",
        folder / "all.so",
        folder / "all.cpp",
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "all.so"))


def arguments_of(kernel, dtype):
    random = np.random.default_rng(3)
    for _, of, _ in declared(kernel):
        if of == "T":
            values = random.standard_normal(COUNT)
            values[: len(ODD)] = random.permutation(ODD)
            yield values.astype(dtype)
        else:
            # not zero, as one of them divides
            yield random.integers(1, 1 << 63, COUNT, dtype=np.uint64)


@pytest.mark.parametrize("number", range(len(KERNELS)), ids=[f"{kernel.name}-{i}" for i, kernel in enumerate(KERNELS)])
def test_a_kernel_means_in_c_what_it_means_in_python(gpu, compiled, precision, number):
    """Only its reading as Python is tested elsewhere; the GPU reads it as C++, with other rules for
    types, names and brackets."""
    gpu.float_type = np.dtype(precision)
    kernel, host = KERNELS[number], list(arguments_of(KERNELS[number], precision))
    device = [gpu.cupy.asarray(each) for each in host]
    kernel(*device)
    function = getattr(compiled, f"{TYPES[precision]}_{number}")
    function(ctypes.c_long(COUNT), (ctypes.c_void_p * len(host))(*(each.ctypes.data for each in host)))
    for (name, _, out), mine, theirs in zip(declared(kernel), host, device, strict=True):
        if out:
            tolerance = TOLERANCE[precision]
            np.testing.assert_allclose(mine, theirs.get(), rtol=tolerance, atol=tolerance, err_msg=name)
