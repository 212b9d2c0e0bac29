"""The part of cupy that the stand-in offers: names and parameters, copied by hand from cupy 14.

test_cupy_names.py compares every line with the real cupy where that is installed.  Parameters stand in their
order; those after a "*" go by keyword alone; "*name" takes any number of positional ones.  Code that needs more
of cupy adds a line here.
"""

CUPY_MAJOR = 14

FUNCTIONS = {
    "all": "a axis out keepdims",
    "any": "a axis out keepdims",
    "arange": "start stop step dtype",
    "argmax": "a axis dtype out keepdims",
    "argmin": "a axis dtype out keepdims",
    "array": "obj dtype copy order subok ndmin * blocking",
    "asarray": "a dtype order * copy blocking",
    "ascontiguousarray": "a dtype",
    "asnumpy": "a stream order out * blocking",
    "broadcast_to": "array shape",
    "clip": "a a_min a_max out",
    "concatenate": "tup axis out * dtype casting",
    "diag": "v k",
    "dot": "a b out",
    "empty": "shape dtype order",
    "empty_like": "prototype dtype order subok shape",
    "expand_dims": "a axis",
    "eye": "N M k dtype order",
    "finfo": "dtype",
    "full": "shape fill_value dtype order",
    "full_like": "a fill_value dtype order subok shape",
    "get_array_module": "*args",
    "linalg.eigh": "a UPLO",
    "linalg.norm": "x ord axis keepdims",
    "linalg.pinv": "a rcond",
    "linalg.qr": "a mode",
    "linalg.solve": "a b",
    "linalg.svd": "a full_matrices compute_uv",
    "matmul": "*args axes axis keepdims casting dtype signature order out",
    "max": "a axis out keepdims",
    "mean": "a axis dtype out keepdims",
    "min": "a axis out keepdims",
    "moveaxis": "a source destination",
    "ones": "shape dtype order",
    "ones_like": "a dtype order subok shape",
    "outer": "a b out",
    "squeeze": "a axis",
    "stack": "tup axis out * dtype casting",
    "sum": "a axis dtype out keepdims",
    "swapaxes": "a axis1 axis2",
    "take": "a indices axis out",
    "tensordot": "a b axes",
    "trace": "a offset axis1 axis2 dtype out",
    "transpose": "a axes",
    "tril": "m k",
    "triu": "m k",
    "where": "condition x y",
    "zeros": "shape dtype order",
    "zeros_like": "a dtype order subok shape",
}

# Cupy 13 lacks these, so that the stand-in refuses them.
NEW = {"asarray": ("copy",), "reshape": ("copy",)}

UFUNC_KEYWORDS = ("out", "dtype", "casting")
UFUNCS = (
    "abs", "absolute", "add", "arccos", "arctan2", "cos", "divide", "equal", "exp", "expm1", "greater", "greater_equal",
    "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log1p", "logical_and", "logical_not", "logical_or",
    "maximum", "minimum", "multiply", "negative", "not_equal", "power", "sign", "sin", "sqrt", "square", "subtract",
    "tanh", "true_divide",
)  # fmt: skip

# They are those of cupy.ndarray.
METHODS = {
    "all": "axis out keepdims",
    "any": "axis out keepdims",
    "argmax": "axis out dtype keepdims",
    "argmin": "axis out dtype keepdims",
    "astype": "dtype order casting subok copy",
    "clip": "min max out",
    "copy": "order",
    "cumsum": "axis dtype out",
    "diagonal": "offset axis1 axis2",
    "dot": "b out",
    "fill": "value",
    "get": "stream order out blocking",
    "item": "",
    "max": "axis out keepdims",
    "mean": "axis dtype out keepdims",
    "min": "axis out keepdims",
    "nonzero": "",
    "prod": "axis dtype out keepdims",
    "ravel": "order",
    "reshape": "*shape order copy",
    "set": "arr stream",
    "squeeze": "axis",
    "std": "axis dtype out ddof keepdims",
    "sum": "axis dtype out keepdims",
    "swapaxes": "axis1 axis2",
    "take": "indices axis out",
    "tolist": "",
    "trace": "offset axis1 axis2 dtype out",
    "transpose": "*axes",
    "var": "axis dtype out ddof keepdims",
    "view": "dtype type",
}

# They are those of cupy.ndarray.
ATTRIBUTES = ("T", "dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides")

# Special method of cupy.ndarray without its underscores: ufunc; each has a reflected one.
BINARY_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip
# Cupy has no __imatmul__.
IN_PLACE_OPERATORS = tuple(name for name in BINARY_OPERATORS if name != "matmul")
COMPARISONS = {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
UNARY_OPERATORS = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}

CONSTANTS = ("bool_", "e", "float32", "float64", "inf", "int32", "int64", "nan", "newaxis", "pi", "uint64", "uint8")
CUDA = (
    "cuda.Device.synchronize",
    "cuda.Device.use",
    "cuda.Memory",
    "cuda.MemoryPointer",
    "cuda.MemoryPool.malloc",
    "cuda.Stream.begin_capture",
    "cuda.Stream.end_capture",
    "cuda.Stream.is_capturing",
    "cuda.Stream.use",
    "cuda.get_current_stream",
    "cuda.runtime.deviceSynchronize",
    "cuda.runtime.getDeviceCount",
    "cuda.runtime.getDeviceProperties",
    "cuda.runtime.memGetInfo",
    "cuda.runtime.runtimeGetVersion",
    "cuda.runtime.streamCaptureModeRelaxed",
    "cuda.using_allocator",
)
OTHER = ("ElementwiseKernel", "__version__", "ndarray")
# Numpy has these and cupy lacks them.
ABSENT = (
    "block", "errstate", "insert", "linalg.svdvals", "matrix",
    "ndarray.__imatmul__", "ndarray.__index__", "ndarray.ctypes",
)  # fmt: skip


def check_arguments(name, parameters, args, keywords):
    """{parameter: argument} of a call of `name`.  Raises TypeError where the real function would."""
    names = parameters.split()
    star = next((i for i, each in enumerate(names) if each.startswith("*")), len(names))
    positional, keyword_only = names[:star], names[star + 1 :]
    any_number = star < len(names) and names[star] != "*"
    if len(args) > len(positional) and not any_number:
        raise TypeError(f"cupy.{name} takes {len(positional)} positional arguments, not {len(args)}")
    if unknown := keywords.keys() - ({*positional, *keyword_only} - {*NEW.get(name, ())}):
        raise TypeError(f"cupy.{name} has no keyword argument {sorted(unknown)} (tests/device/cupy_names.py)")
    return dict(zip(positional, args, strict=False)) | keywords
