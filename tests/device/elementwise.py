"""ElementwiseKernel of the stand-in: computes by numpy a body that would be compiled as CUDA C++, and
refuses any other body."""

import ast
import math

import numpy as np

from tests.device.philox import normal

FUNCTIONS = {
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "larger": np.maximum,
    "fraction": lambda k: np.where(k < 1, k, np.ones_like(k)),
    "slope": lambda h, below: np.where(h >= 0, np.ones_like(h), below),
    "crossed": lambda h, w, x: np.where((h >= 0) != (w >= 0), x, np.zeros_like(x)),
    "chosen": lambda kept, x: np.where(kept > 0, x, np.zeros_like(x)),
    "normal": normal,
}
ALLOWED = (
    ast.Module, ast.Assign, ast.BinOp, ast.UnaryOp, ast.USub, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.Mod, ast.Call, ast.Name, ast.Load, ast.Store, ast.Constant,
)  # fmt: skip
# Cupy calls the number of entries, an entry and the type so.
RESERVED = {"n", "i", "T"}


class ElementwiseKernel:
    """Stands for cupy.ElementwiseKernel with outputs of the one type T, inputs of T or uint64, and no_return."""

    def __init__(self, gpu, in_params, out_params, operation, name="kernel", *, preamble="", no_return=False):
        self._gpu, self._name = gpu, name
        self._types = _types(in_params) | _types(out_params)
        self._inputs, self._outputs = (list(_types(params)) for params in (in_params, out_params))
        names = {*self._inputs, *self._outputs}
        if names & RESERVED or len(names) != len(self._inputs) + len(self._outputs) or not no_return:
            raise ValueError(f"parameters {sorted(names)} of {name}")
        if {self._types[output] for output in self._outputs} != {"T"}:
            raise ValueError(f"outputs {self._outputs} of {name}: only those of type T")
        _check(operation, names, set(self._outputs), preamble)
        self._code = compile(operation, name, "exec")

    def __call__(self, *arguments):
        names = [*self._inputs, *self._outputs]
        if len(arguments) != len(names):
            raise TypeError(f"{self._name} takes {len(names)} arguments, not {len(arguments)}")
        values = {name: self._value(name, argument) for name, argument in zip(names, arguments, strict=True)}
        shapes = {name: values[name].shape for name in self._outputs}
        whole = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
        if set(shapes.values()) != {whole}:
            raise ValueError(f"{self._name}: outputs {shapes} of an elementwise kernel of shape {whole}")
        places = np.arange(math.prod(whole), dtype=np.uint64).reshape(whole)
        scope = {"__builtins__": {}, "T": self._gpu.float_type.type, "i": places} | FUNCTIONS | values
        arrays = [value for value in values.values() if isinstance(value, np.ndarray)]
        self._gpu.recorder.perform(lambda: self._compute(scope | values, values), True, arrays)
        self._gpu.count(self._name)

    def _compute(self, scope, values):
        with np.errstate(all="ignore"):
            exec(self._code, scope)
        for name in self._outputs:
            found = scope[name]
            if found.dtype != self._gpu.float_type:
                raise TypeError(f"{self._name}: {name} becomes {found.dtype}")
            values[name][...] = found

    def _value(self, name, argument):
        dtype = self._gpu.float_type if self._types[name] == "T" else np.dtype(self._types[name])
        if isinstance(argument, bool | int | float) and name in self._inputs:
            if dtype.kind == "u" and not (isinstance(argument, int) and 0 <= argument < 2**63):
                raise TypeError(f"{self._name}: {name} is {argument}")
            return dtype.type(argument)
        found = self._gpu.host(argument)
        if not isinstance(found, np.ndarray) or found.dtype != dtype:
            raise TypeError(f"{self._name}: {name} is {type(argument)}")
        return found


def _types(params):
    """Return {name: type} of "T a, uint64 b"."""
    pairs = [each.split() for each in params.split(",")]
    if any(len(pair) != 2 or pair[0] not in ("T", "uint64") for pair in pairs) or len(
        {name for _, name in pairs}
    ) != len(pairs):
        raise ValueError(f"parameters {params!r}: only those of type T or uint64, each of another name")
    return {name: kind for kind, name in pairs}


def _check(operation, names, outputs, preamble):
    """Raise ValueError for a body that is not both Python and CUDA C++."""
    if not operation.rstrip().endswith(";"):
        raise ValueError(f"{operation!r} does not end with a semicolon")
    tree = ast.parse(operation)
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)]
    known = {"T", "i", *FUNCTIONS}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    wrapped = [
        id(arg) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.func.id == "T" for arg in node.args
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED) or (isinstance(node, ast.Constant) and id(node) not in wrapped):
            raise ValueError(f"{ast.unparse(node)!r} in {operation!r}")
        if isinstance(node, ast.Assign) and not {target.id for target in node.targets} <= outputs:
            raise ValueError(f"{ast.unparse(node)!r} assigns to what is no output")
    if not used <= known | names or not {*calls} <= known - {"i"}:
        raise ValueError(f"unknown names in {operation!r}")
    if missing := {call for call in {*calls} - {"T", "sqrt", "tanh"} if f" {call}(" not in preamble}:
        raise ValueError(f"{missing} is not defined for {operation!r}")
