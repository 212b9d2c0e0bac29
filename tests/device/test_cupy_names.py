"""The list of what cupy offers (cupy_names.py) against the cupy that is installed."""

import inspect
import operator
import re

import pytest

from tests.device import cupy_names


def of_function(function):
    """The parameters of a Python function, written as in cupy_names."""
    words, star = [], False
    for each in inspect.signature(function).parameters.values():
        if each.kind == each.VAR_POSITIONAL:
            words.append(f"*{each.name}")
            star = True
        else:
            if each.kind == each.KEYWORD_ONLY and not star:
                words.append("*")
                star = True
            words.append(each.name)
    return " ".join(words)


def of_method(method):
    """The parameters of a compiled method; its docstring begins with the signature, and Python
    cannot tell it otherwise."""
    signature = re.search(r"\((.*)\)", method.__doc__.splitlines()[0])[1]
    return " ".join(part.split("=")[0].split()[-1] for part in signature.split(", ")[1:])


def assert_same(cupy, listed, real):
    """That two tables {name: parameters} agree; the list of another version of cupy may only be shorter."""
    if int(cupy.__version__.split(".")[0]) == cupy_names.CUPY_MAJOR:
        assert listed == real
    for name, parameters in listed.items():
        offered = set(real[name].split())
        assert {*parameters.split()} - {*cupy_names.NEW.get(name, ())} <= offered or "kwargs" in offered, name


def test_functions_take_the_listed_parameters(real_cupy):
    """Else the stand-in accepts a call that fails on the GPU."""
    real = {name: of_function(operator.attrgetter(name)(real_cupy)) for name in cupy_names.FUNCTIONS}
    assert_same(real_cupy, cupy_names.FUNCTIONS, real)


def test_methods_take_the_listed_parameters(real_cupy):
    """Else the stand-in accepts a call that fails on the GPU."""
    real = {name: of_method(getattr(real_cupy.ndarray, name)) for name in cupy_names.METHODS}
    assert_same(real_cupy, cupy_names.METHODS, real)


def test_ufuncs_are_ufuncs(real_cupy):
    """Else the stand-in offers an elementwise function that cupy lacks, or `out=` where cupy has none."""
    assert [name for name in cupy_names.UFUNCS if not isinstance(getattr(real_cupy, name, None), real_cupy.ufunc)] == []
    documented = real_cupy.ufunc.__call__.__doc__
    assert "out (" in documented
    assert "dtype:" in documented


def test_attributes_operators_and_other_names_exist(real_cupy):
    """Else the stand-in offers a name that cupy lacks."""
    special = [
        f"__{name}__" for name in (*cupy_names.UNARY_OPERATORS, *cupy_names.BINARY_OPERATORS, *cupy_names.COMPARISONS)
    ]
    special += [f"__r{name}__" for name in cupy_names.BINARY_OPERATORS]
    special += [f"__i{name}__" for name in cupy_names.IN_PLACE_OPERATORS]
    special += ["__bool__", "__float__", "__getitem__", "__int__", "__iter__", "__len__", "__setitem__"]
    assert [name for name in (*special, *cupy_names.ATTRIBUTES) if not hasattr(real_cupy.ndarray, name)] == []
    for name in (*cupy_names.CONSTANTS, *cupy_names.CUDA, *cupy_names.OTHER):
        operator.attrgetter(name)(real_cupy)


@pytest.mark.parametrize("name", cupy_names.ABSENT)
def test_cupy_lacks_what_the_stand_in_refuses(real_cupy, name):
    """The examples of refused names must be true ones; should cupy learn one, the stand-in may too."""
    with pytest.raises(AttributeError):
        operator.attrgetter(name)(real_cupy)
