"""The order of imports: rules and networks know the shared parts, never the other way round;
scripts import everything."""

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
THIRD_PARTY = {"numpy", "cupy", "tqdm"}
OPTIONAL = {"numba", "threadpoolctl", "matplotlib", "tensorboardX", "torch", "jinja2", "scipy"}
LOCAL = {path.stem for path in (*ROOT.glob("*.py"), *ROOT.glob("*/"))}
ALLOWED = {
    "rules": {"rules", "utils", "core.backend", "core.options", "core.clipping", "dfc"},
    "core": {"core", "utils"},
    "gait": {"gait", "core", "utils"},
    "dfc": {"dfc", "core", "utils", "datasets"},
    "sweeps": {"sweeps", "core", "datasets.catalogue", "dfc.measures.summary"},
    "tables": {"tables", "core", "sweeps", "datasets.catalogue", "figures.drawing"},
    "configs": {"configs", "core.options", "dfc.settings.flags", "dfc.settings.strong_flags", "rules"},
    "inv_layer.py": {"utils", "core.backend"},
    "inv_net.py": {"utils", "core.backend", "inv_layer"},
    "utils.py": {"core.backend", "core.device_kernels"},
    "datasets": {"datasets", "utils", "core.errors", "core.files"},
}


def imports(file):
    """(module, whether at the top level) of every import of a file."""
    tree = ast.parse(file.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            whole = node.module in {"core", "rules", "datasets"}
            names = [f"{node.module}.{alias.name}" if whole else node.module for alias in node.names]
        yield from ((name, id(node) in top) for name in names)


def files(place):
    return sorted((ROOT / place).rglob("*.py")) if (ROOT / place).is_dir() else [ROOT / place]


@pytest.mark.parametrize("place", ALLOWED)
def test_imports_point_one_way(place):
    for file in files(place):
        for name, _ in imports(file):
            if name.split(".")[0] in LOCAL:
                ok = any(name == allowed or name.startswith(allowed + ".") for allowed in ALLOWED[place])
                assert ok, f"{file.relative_to(ROOT)} imports {name}"


def test_nothing_below_the_command_line_knows_all_settings():
    """Builders get records of their own; only the scripts and the configs know dfc.settings."""
    for file in files("dfc"):
        if (ROOT / "dfc" / "settings") not in file.parents:
            assert not [name for name, _ in imports(file) if name.startswith("dfc.settings")], file.relative_to(ROOT)


def test_no_rule_imports_another():
    """What rules share lies in dfc/, or in a file that starts with _."""
    for file in files("rules"):
        found = [name for name, _ in imports(file) if name.startswith("rules.") and not name.startswith("rules._")]
        assert file.name == "__init__.py" or not found, f"{file.name} imports {found}"


def test_the_core_needs_numpy_cupy_and_tqdm_alone():
    import sys

    for place in (*ALLOWED, "run.py", "main.py"):
        for file in files(place):
            for name, at_top in imports(file):
                package = name.split(".")[0]
                known = package in LOCAL | THIRD_PARTY | set(sys.stdlib_module_names)
                assert known or (package in OPTIONAL and not at_top), f"{file.relative_to(ROOT)} imports {name}"


def test_only_the_backend_imports_cupy():
    places = (*ALLOWED, "run.py", "main.py", "figures", "benchmarks")
    known = {file: {name.split(".")[0] for name, _ in imports(file)} for place in places for file in files(place)}
    assert [file.relative_to(ROOT).as_posix() for file in known if "cupy" in known[file]] == ["core/backend.py"]


def test_functions_and_modules_stay_short():
    for place in (*ALLOWED, "run.py", "main.py", "figures", "benchmarks"):
        for file in files(place):
            source = file.read_text()
            assert len(source.splitlines()) <= 300, f"{file.name} is long"
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef):
                    docstring = len((ast.get_docstring(node) or "").splitlines())
                    assert node.end_lineno - node.lineno + 1 - docstring <= 40, f"{file.name}: {node.name} is long"


def definitions(place):
    """Yields (where, class that contains it or None, node) of every module, class and function of a place."""
    for file in files(place):
        tree = ast.parse(file.read_text())
        inside = {id(part): node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for part in node.body}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                where = f"{file.relative_to(ROOT)}: {getattr(node, 'name', 'module')}"
                yield where, inside.get(id(node)), node


PRODUCT = sorted({*ALLOWED, "figures", "benchmarks", *(path.name for path in ROOT.glob("*.py"))})
# Words of a private dialect, with plain ones: next to, in the same way, unlike; "per layer"
# says that each layer has one.
DIALECT = re.compile(
    r"\b(beside|likewise|differently from|(one|a row|a line|a file) an? (layer|epoch|seed|run|batch|event))\b"
)


@pytest.mark.parametrize("place", PRODUCT)
def test_docstrings_begin_with_a_plain_sentence(place):
    """The first line says, in the third person, what a module, class or function does, and ends within 110 columns."""
    for where, _, node in definitions(place):
        docstring = ast.get_docstring(node)
        if docstring:
            first = docstring.splitlines()[0]
            assert re.match(r"[A-Z][a-z]+s\b", first), f"{where} begins {first!r}"
            assert getattr(node, "col_offset", -4) + 7 + len(first) <= 110, f"{where} begins with a long line"
            assert not DIALECT.search(docstring), f"{where} says {DIALECT.search(docstring)[0]!r}"


def test_comments_stand_on_lines_of_their_own():
    """Except for those that speak to a tool."""
    found = []
    for file in sorted(ROOT.rglob("[!.]*.py")):
        if any(part.startswith(".") for part in file.relative_to(ROOT).parts):
            continue
        with tokenize.open(file) as text:
            for token in tokenize.generate_tokens(text.readline):
                behind_code = token.type == tokenize.COMMENT and token.line[: token.start[1]].strip()
                if behind_code and not re.match("# (fmt|noqa)", token.string):
                    found.append(f"{file.relative_to(ROOT)}:{token.start[0]}")
    assert found == []


def test_public_methods_say_what_they_do():
    """A method that overrides another may leave the sentence to that one."""
    methods = [
        found for place in PRODUCT for found in definitions(place) if found[1] and isinstance(found[2], ast.FunctionDef)
    ]
    known = {node.name for _, _, node in methods if ast.get_docstring(node)}
    for where, owner, node in methods:
        public = not node.name.startswith("_") and not owner.name.startswith("_")
        assert not public or ast.get_docstring(node) or (owner.bases and node.name in known), where
