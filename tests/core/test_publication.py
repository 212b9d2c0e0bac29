"""What the project says of itself: versions, environments, citation.  The files must agree with each other."""

import ast
import contextlib
import functools
import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core import machine

ROOT = Path(__file__).resolve().parents[2]
# The keys are the names of conda's packages.
PYPI_NAMES = {"matplotlib-base": "matplotlib", "tensorboardx": "tensorboardX"}
SCRIPTS = [
    path for path in sorted((*ROOT.glob("*.py"), *ROOT.glob("figures/*.py")))
    if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(path.read_text()).body)
]  # fmt: skip


def packages(lines):
    """{package by its name on PyPI: least version} of lines such as "numpy>=2.0  # why"."""
    found = dict(match.groups() for match in (re.match(r"([\w-]+)>=([\d.]+)", line) for line in lines) if match)
    return {PYPI_NAMES.get(name, name): least for name, least in found.items()}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_tells_its_version(path, capsys, monkeypatch):
    monkeypatch.setattr(machine, "git_commit", lambda: "0123abc")
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    with pytest.raises(SystemExit) as end:
        module.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr() == (f"{path.name} {machine.version()}, commit 0123abc\n", "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_missing_package_is_named_in_one_sentence(path):
    """Without the module `site` Python finds none of the packages that are installed."""
    done = subprocess.run([sys.executable, "-S", path], capture_output=True, text=True)
    told = f"{path.name}: {sys.executable} has no numpy and no tqdm: pip install -r requirements.txt\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_the_version_stands_alone_outside_a_repository(monkeypatch):
    monkeypatch.setattr(machine, "git_commit", lambda: None)
    assert machine.version_and_commit() == machine.version() and re.fullmatch(r"\d+\.\d+\.\d+", machine.version())


@pytest.mark.parametrize("name", ("sweep_seeds.sh", "sweep_slurm.sh"))
def test_the_scripts_of_the_shell_tell_their_version(name):
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([ROOT / name, "--version"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[:2] == [name, machine.version_and_commit().split()[0]]


def test_pip_conda_and_the_published_environment_ask_for_the_same():
    pip = packages((ROOT / "requirements.txt").read_text().splitlines())
    conda = packages((ROOT / "conda_requirements.txt").read_text().splitlines())
    text = (ROOT / "DFC_environment.yml").read_text()
    published = packages(re.findall(r"^  - (.+)$", text, re.MULTILINE))
    assert conda == published == pip | {"python": "3.10"}
    assert re.search(r"^name: dfc$", text, re.MULTILINE) and "\n  - conda-forge\n" in text


def test_the_citation_names_the_papers():
    text = (ROOT / "CITATION.cff").read_text()
    top = dict(re.findall(r"^([a-z-]+): ?(.*)$", text, re.MULTILINE))
    assert {"cff-version", "message", "title", "authors", "references"} <= top.keys()
    assert top["version"] == machine.version()
    papers = text.split("\n  - type: conference-paper\n")[1:]
    numbers = [re.findall(r"https://arxiv.org/abs/([\d.]+)", paper) for paper in papers]
    assert numbers == [["2006.06438"], ["2106.07887"], ["2204.07249"]]
    for paper in papers:
        assert re.search(r'^    title: ".+"$', paper, re.MULTILINE) and re.search(
            r"^    year: 20\d\d$", paper, re.MULTILINE
        )
        assert paper.count("family-names: ") == paper.count("given-names: ") >= 3
    assert "\t" not in text


TOPICS = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "tests/README.md", *(f"docs/{topic}.md" for topic in TOPICS)]
ROOMS = "docs|tests|rules|core|dfc|gait|sweeps|tables|datasets|configs|figures|benchmarks"
OWN = rf"(?:{ROOMS})/[\w./-]*|\w+\.(?:py|sh|cff|yml)"
MADE_BY_READERS = {"rules/sign_symmetry.py", "rules/sign_feedback.py"}
PUBLISHED_SCRIPTS = {f"run_{name}.py" for name in ("PROGRAM", "bp", "dfa", "dfc", "dfc_single_phase")}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page):
    """A page that names a file which was moved sends its reader nowhere."""
    named = set(re.findall(rf"`({OWN})`", (ROOT / page).read_text())) - MADE_BY_READERS - PUBLISHED_SCRIPTS
    places = (ROOT, ROOT / page.rpartition("/")[0], ROOT / "tests" / "reference", ROOT / "tests" / "field")
    assert not [path for path in sorted(named) if not any((place / path).exists() for place in places)]


@pytest.mark.parametrize("page", PAGES)
def test_every_script_that_a_command_starts_is_there(page):
    started = re.findall(r"(?:python |\./)((?:[\w]+/)*[\w]+\.(?:py|sh))", (ROOT / page).read_text())
    assert not [path for path in started if not (ROOT / path).is_file()]


# These scripts pass options that are not their own on to another one.
PASSED_ON = {
    "run_config.py": "main.py",
    "run_seed_robustness.py": "main.py",
    "run_pipeline.py": "main.py",
    "run_toy_exp_fig3.py": "main.py",
    "sweep_seeds.sh": "run.py",
}
# The pages show how a reader adds these options.
OPTIONS_OF_READERS = {"--sign_gain", "--stop_at_loss", "--save_sizes", "--first_batches"}


@functools.cache
def options_of(script):
    """The options that the help of a script names, and of the one to which it passes further options."""
    known = set(re.findall(r"--\w+", (ROOT / script).read_text()))
    if script.endswith(".py"):
        module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            module.main(["--help"])
        known = set(re.findall(r"--\w+", text.getvalue()))
    return known | (options_of(PASSED_ON[script]) if script in PASSED_ON else set())


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_a_command_gives_is_known(page):
    text = (ROOT / page).read_text().replace("\\\n", " ")
    scripts = {path.relative_to(ROOT).as_posix() for path in SCRIPTS} | set(PASSED_ON)
    commands = re.findall(r"(?:python |\./)((?:\w+/)*\w+\.(?:py|sh))([^`\n|<>;]*)", text)
    unknown = {
        (script, name)
        for script, words in commands
        if script in scripts
        for name in set(re.findall(r"(?<!\S)--\w+", words)) - options_of(script) - OPTIONS_OF_READERS
    }
    assert unknown == set()


def test_the_page_of_the_tests_names_every_file():
    named = set(re.findall(r"^\| `(tests/[^`]+)` \|", (ROOT / "tests" / "README.md").read_text(), re.MULTILINE))
    assert named == {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_deviation_keeps_its_number():
    numbers = re.findall(r"^- \*\*(\d+)\.\*\* ", (ROOT / "docs" / "deviations.md").read_text(), re.MULTILINE)
    assert sorted(map(int, numbers)) == list(range(1, len(numbers) + 1)) and len(numbers) >= 32
