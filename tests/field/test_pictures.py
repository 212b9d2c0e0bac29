"""Pictures on other people's machines: settings of matplotlib that would end a drawing, long
names, no matplotlib at all."""

import functools
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from core import drawing
from core.options import UsageError
from figures import fig1d, fig2, fig3, learning_curves
from tests.cli.test_learning_curves import make_run
from tests.faults.tiny_runs import ROOT

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")

# What LaTeX, a journal's style sheet or a notebook leave behind; there is no LaTeX and no such font here.
ODD = {
    "text.usetex": True,
    "font.family": ["No Such Font"],
    "mathtext.fontset": "stix",
    "axes.formatter.use_locale": True,
    "figure.constrained_layout.use": False,
    "figure.autolayout": True,
    "savefig.bbox": "tight",
    "savefig.dpi": 20,
    "axes.prop_cycle": matplotlib.cycler(color=["white"]),
    "backend": "svg",
}


@pytest.fixture
def odd(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    with matplotlib.rc_context():
        matplotlib.rcParams.update(ODD)
        yield
        assert matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["savefig.dpi"] == 20


def toy_data(module, folder):
    from core.files import write_arrays, write_text

    path = folder / "data.npz"
    random = np.random.default_rng(0)
    if module is fig1d:
        curves = {"output": random.random((9, 1)), "control": random.random((9, 1)), "target": np.ones(1)}
        write_arrays(path, {"samples": np.arange(1), "dt": np.array(0.1)} | curves)
    elif module is fig2:
        import run_toy_exp_fig2

        write_arrays(path, run_toy_exp_fig2.experiment(1, 20))
    else:
        path = folder / "data.csv"
        numbers = ",".join(["0.5"] * (len(fig3.COLUMNS) - 3))
        lines = [",".join(fig3.COLUMNS), *(f"DFC,trained,{epoch},{numbers}" for epoch in range(3))]
        write_text(path, "\n".join(lines) + "\n")
    return path


def same_picture(draw, folder):
    """Whether the pictures of `draw`, a function of a path, are what they are without the odd settings."""
    draw(folder / "odd.png")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        draw(folder / "plain.png")
    return all(
        (folder / name).read_bytes() == (folder / name.replace("plain", "odd")).read_bytes()
        for name in os.listdir(folder)
        if name.startswith("plain")
    )


@pytest.mark.parametrize("module", [fig1d, fig2, fig3])
def test_toy_figures_do_not_mind_settings_of_matplotlib(module, odd, tmp_path):
    data = toy_data(module, tmp_path)
    assert same_picture(lambda path: module.main([str(data), f"--output={path}"]), tmp_path)
    assert list(tmp_path.glob("odd*.png"))


def test_figures_of_runs_do_not_mind_settings_of_matplotlib(odd, tmp_path):
    run = make_run(tmp_path / "run")
    assert same_picture(lambda path: learning_curves.main([str(run), f"--output={path}"]), tmp_path)
    assert (tmp_path / "odd.png").exists()


def test_a_backend_that_is_not_there_and_an_odd_file_of_settings(tmp_path):
    """In a process of its own, as matplotlib reads both when it is imported."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.family: nothing\nno.such.setting: 3\n")
    make_run(tmp_path / "run")
    for backend in ("module://matplotlib_inline.backend_inline", "NoSuchBackend", "TkAgg", "Qt5Agg"):
        words = [sys.executable, str(ROOT / "figures/learning_curves.py"), "run", "--output=a.png"]
        environment = {**os.environ, "MPLBACKEND": backend}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        assert (tmp_path / "a.png").exists()
        (tmp_path / "a.png").unlink()


def test_settings_that_matplotlib_cannot_read_are_one_sentence(monkeypatch):
    def fail():
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr(drawing, "_import_matplotlib", fail)
    with pytest.raises(UsageError, match="drawing needs matplotlib, which does not start here"):
        drawing.new_figure(1, 1)


def test_nobody_draws_through_the_window_system():
    programs = [
        path for folder in ("core", "dfc", "figures", "gait", "sweeps") for path in (ROOT / folder).rglob("*.py")
    ]
    for path in (*programs, *ROOT.glob("*.py")):
        source = path.read_text()
        assert "matplotlib.pyplot" not in source and "import pyplot" not in source and "matplotlib.use" not in source, (
            path
        )


# ---- names


LONG = "a_very_long_name_of_an_experiment_without_any_space_" * 5


@pytest.mark.parametrize("name", [LONG, "many words " * 25, "$x$" * 80, "$", r"a$\foo$b", "_hidden", "ünïcode " * 30])
def test_long_and_odd_names_stay_within_the_picture(name, tmp_path):
    text = drawing.legible(name, 32)
    lines = text.split("\n")
    assert len(lines) <= 4 and max(len(line.replace(r"\$", "$")) for line in lines) <= 33
    with drawing.default_style():
        figure = drawing.new_figure(6, 4)
        axes = figure.subplots()
        axes.plot([0, 1], label=text)
        legend = figure.legend(loc="outside right upper")
        figure.draw_without_rendering()
    assert [each.get_text() for each in legend.get_texts()] == [text]
    # The names leave room for the curves.
    assert axes.get_position().width > 0.3
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_curves_of_folders_with_long_names_leave_room(tmp_path):
    folders = [make_run(tmp_path / f"{LONG[:240]}{k}", algorithm=f"{LONG}{k}") for k in range(3)]
    assert learning_curves.main([*map(str, folders), f"--output={tmp_path / 'a.png'}"]) == 0
    head = (tmp_path / "a.png").read_bytes()[16:20]
    # Of these pixels 1200 are the picture without names.
    assert int.from_bytes(head, "big") <= 1300


def test_the_pictures_of_a_page_do_not_mind_settings_of_matplotlib(odd):
    from tables.pictures import curves

    bands = {"BP": (np.arange(3.0), np.array([0.5, 0.7, 0.8]), None, 1)}
    strange = curves(bands, "epoch", "accuracy", "x")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        assert curves(bands, "epoch", "accuracy", "x") == strange


@pytest.mark.parametrize("script", ["learning_curves", "alignment", "against_bp"])
def test_the_default_picture_needs_no_folder_to_be_there(script, tmp_path, monkeypatch):
    """Runs may lie anywhere: where there is no results/ in the current folder, it is made."""
    from matplotlib.figure import Figure

    from figures import drawing

    monkeypatch.chdir(tmp_path)
    figure = importlib.import_module(f"figures.{script}")
    monkeypatch.setattr(figure, "draw_runs", functools.partial(drawing.draw_runs, read=lambda paths: paths))
    monkeypatch.setattr(figure, "picture", lambda *_: (Figure(), []))
    arguments = [figure.__file__, "", ("a folder", "*"), figure.DEFAULT_OUTPUT, figure.Options, figure.picture, ["run"]]
    assert figure.draw_runs(*arguments) == 0
    assert (tmp_path / figure.DEFAULT_OUTPUT).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1"])
def test_several_pictures_are_not_written_into_one_stream(output, tmp_path, capsys):
    data = toy_data(fig1d, tmp_path)
    assert fig1d.main([str(data), f"--output={output}"]) == 2
    assert f"--output={output}: two pictures per sample are drawn" in capsys.readouterr().err
    assert os.listdir(tmp_path) == [data.name]
