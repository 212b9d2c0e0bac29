"""ElementwiseKernel of the stand-in: computes by numpy a body that would be compiled as CUDA C++, and refuses any other body."""

import ast

import numpy as np

FUNCTIONS = {
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "larger": np.maximum,
    "fraction": lambda k: np.where(k < 1, k, np.ones_like(k)),
    "slope": lambda h, below: np.where(h >= 0, np.ones_like(h), below),
    "crossed": lambda h, w, x: np.where((h >= 0) != (w >= 0), x, np.zeros_like(x)),
}
ALLOWED = (
    ast.Module, ast.Assign, ast.BinOp, ast.UnaryOp, ast.USub, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Call, ast.Name, ast.Load,
    ast.Store, ast.Constant,
)  # fmt: skip
RESERVED = {"n", "i", "T"}  # what cupy calls the number of entries, an entry, and the type


class ElementwiseKernel:
    """Stands for cupy.ElementwiseKernel with parameters of the one type T, and with no_return."""

    def __init__(self, gpu, in_params, out_params, operation, name="kernel", *, preamble="", no_return=False):
        self._gpu, self._name = gpu, name
        self._inputs, self._outputs = (_names(params) for params in (in_params, out_params))
        names = {*self._inputs, *self._outputs}
        if names & RESERVED or len(names) != len(self._inputs) + len(self._outputs) or not no_return:
            raise ValueError(f"parameters {sorted(names)} of {name}")
        _check(operation, names, set(self._outputs), preamble)
        self._code = compile(operation, name, "exec")

    def __call__(self, *arguments):
        names = [*self._inputs, *self._outputs]
        if len(arguments) != len(names):
            raise TypeError(f"{self._name} takes {len(names)} arguments, not {len(arguments)}")
        dtype = self._gpu.float_type.type
        values = {name: self._value(name, argument, dtype) for name, argument in zip(names, arguments, strict=True)}
        shapes = {name: values[name].shape for name in self._outputs}
        whole = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
        if set(shapes.values()) != {whole}:
            raise ValueError(f"{self._name}: outputs {shapes} of an elementwise kernel of shape {whole}")
        scope = {"__builtins__": {}, "T": dtype} | FUNCTIONS | values
        with np.errstate(all="ignore"):
            exec(self._code, scope)
        for name in self._outputs:
            found = scope[name]
            if found.dtype != self._gpu.float_type:
                raise TypeError(f"{self._name}: {name} becomes {found.dtype}")
            values[name][...] = found
        self._gpu.count(self._name)

    def _value(self, name, argument, dtype):
        if isinstance(argument, bool | int | float) and name in self._inputs:
            return dtype(argument)
        found = self._gpu.host(argument)
        if not isinstance(found, np.ndarray) or found.dtype != self._gpu.float_type:
            raise TypeError(f"{self._name}: {name} is {type(argument)}")
        return found


def _names(params):
    """Return the names of "T a, T b"."""
    pairs = [each.split() for each in params.split(",")]
    if any(len(pair) != 2 or pair[0] != "T" for pair in pairs):
        raise ValueError(f"parameters {params!r}: only those of type T")
    return [name for _, name in pairs]


def _check(operation, names, outputs, preamble):
    """Raise ValueError for a body that is not both Python and CUDA C++."""
    if not operation.rstrip().endswith(";"):
        raise ValueError(f"{operation!r} does not end with a semicolon")
    tree = ast.parse(operation)
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)]
    known = {"T", *FUNCTIONS}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    wrapped = [id(arg) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.func.id == "T" for arg in node.args]
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED) or (isinstance(node, ast.Constant) and id(node) not in wrapped):
            raise ValueError(f"{ast.unparse(node)!r} in {operation!r}")
        if isinstance(node, ast.Assign) and not {target.id for target in node.targets} <= outputs:
            raise ValueError(f"{ast.unparse(node)!r} assigns to what is no output")
    if not used <= known | names or not {*calls} <= known:
        raise ValueError(f"unknown names in {operation!r}")
    if missing := {call for call in {*calls} - {"T", "sqrt", "tanh"} if f" {call}(" not in preamble}:
        raise ValueError(f"{missing} is not defined for {operation!r}")
