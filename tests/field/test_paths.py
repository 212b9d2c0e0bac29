"""Paths as people give them: a home folder, an empty value, names that no disk can hold, folders
that one must not search.

Every option of every script that names a file or a folder is tried; whatever is wrong is told in one
sentence, before any work.
"""

import errno
import os
import threading
from pathlib import Path

import pytest

import main
import report
import run
import run_pipeline
import run_seed_robustness
import run_toy_exp_fig1D
import run_toy_exp_fig2
import run_toy_exp_fig3
import summarise_seeds
import tidy
from core import paths
from core.files import FileError
from core.recording import RunFolder
from figures import (
    against_bp,
    alignment,
    alignment_depth,
    fig1d,
    fig2,
    fig3,
    fig_s1,
    learning_curves,
    pipeline,
    precision,
    row_lengths,
)
from tests.faults import tiny_main, tiny_runs

# Script: its options that name a path, "" for an argument.
OPTIONS = {
    run: ("--results_dir=", "--data_dir="),
    main: ("--out_dir=", "--data_dir=", "--start_from="),
    run_seed_robustness: ("--out_dir=", "--data_dir="),
    run_pipeline: ("--out_dir=", "--folder=", "--data_dir="),
    run_toy_exp_fig1D: ("--out_dir=", "--data_dir="),
    run_toy_exp_fig2: ("--out_dir=",),
    run_toy_exp_fig3: ("--out_dir=", "--data_dir="),
    summarise_seeds: ("", "--csv="),
    tidy: ("", "--output=", "--series=", "--pack="),
    report: ("", "--output=", "--cells="),
    learning_curves: ("", "--output="),
    against_bp: ("", "--output=", "--table="),
    alignment: ("", "--output="),
    alignment_depth: ("", "--output=", "--data_dir="),
    precision: ("", "--output=", "--data_dir="),
    row_lengths: ("", "--output=", "--table=", "--data_dir="),
    fig1d: ("", "--output="),
    fig2: ("", "--output="),
    fig3: ("", "--output="),
    fig_s1: ("", "--output="),
    pipeline: ("", "--output="),
}
# These options name a file to be written.
WRITTEN = ("--output=", "--csv=", "--table=", "--series=", "--pack=")
# Arguments that an option needs.
NEEDED = {option: ["here"] for option in WRITTEN}
PLACES = [
    pytest.param(script, option, id=f"{script.__name__} {option}") for script, own in OPTIONS.items() for option in own
]
IMPOSSIBLE = {
    "empty": ("", "is empty"),
    "a name too long": ("x" * 256 + ".png", "bytes"),
    "a name too long in bytes": ("ä" * 128 + ".png", "bytes"),
    "a path too long": ("a/" * 2100 + "b.png", "bytes"),
    "a zero byte": ("a\0b.png", "zero byte"),
}


def status(script, *argv):
    try:
        return script.main(list(argv))
    except SystemExit as stop:
        return stop.code


def sentence(capsys):
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and "Traceback" not in line
    return line


@pytest.mark.parametrize("wrong", IMPOSSIBLE)
@pytest.mark.parametrize("script, option", PLACES)
def test_a_path_that_cannot_be_is_refused_before_any_work(script, option, wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text, word = IMPOSSIBLE[wrong]
    assert status(script, *NEEDED.get(option, []), option + text) == 2
    line = sentence(capsys)
    assert word in line and (option.rstrip("=") or script.__name__.rpartition(".")[2]) in line
    assert not list(tmp_path.iterdir())


FILES = [place for place in PLACES if place.values[1] in WRITTEN and place.values[0] not in (pipeline, fig_s1)]


@pytest.mark.parametrize("script, option", FILES)
def test_a_file_needs_room_for_its_temporary_name(script, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status(script, "here", option + "x" * 246 + ".png") == 2
    assert "250 bytes" in sentence(capsys)


@pytest.mark.parametrize("script, option", FILES)
def test_a_folder_where_a_file_is_to_be_written(script, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tar.gz").mkdir()
    assert status(script, "here", option + "a.tar.gz") == 2
    line = sentence(capsys)
    assert "is a folder" in line and option.rstrip("=") in line


def test_a_folder_where_the_table_of_a_sweep_is_to_be_written(tmp_path, monkeypatch, capsys):
    """Found before its runs are trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.csv").mkdir()
    assert status(run_seed_robustness, "--name=n", "--out_dir=.") == 2
    assert "n.csv: it is a folder" in sentence(capsys) and os.listdir(tmp_path) == ["n.csv"]


def test_home_is_expanded_in_a_file_of_options_and_for_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tiny_runs.in_process(tmp_path / "home", monkeypatch)
    (tmp_path / "home" / "options").write_text(
        "--data_dir=~/data --results_dir ~/runs --nb_epochs=1 # as often\n--quiet"
    )
    assert status(run, "@~/options") == 0
    assert (tiny_runs.only(tmp_path / "home/runs") / "DONE").exists()


def test_home_of_tables_and_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tiny_runs.in_process(tmp_path, monkeypatch)("--nb_epochs=1", "--quiet") == 0
    monkeypatch.chdir("/")
    assert status(tidy, "~/results", "--output=~/a.csv", "--series=~/b.csv", "--pack=~/c.tar.gz") == 0
    assert status(report, "~/c.tar.gz", "--output=~/d.html") == 0
    assert {"a.csv", "b.csv", "c.tar.gz", "d.html"} <= set(os.listdir(tmp_path))
    capsys.readouterr()
    assert status(report, "--cells=~/none") == 2 and f"{tmp_path}/none" in sentence(capsys)


def test_home_is_expanded_in_the_options_of_both_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    tiny_runs.in_process(tmp_path / "home", monkeypatch)
    assert status(run, "--data_dir=~/data", "--results_dir=~/runs", "--nb_epochs=1", "--batch_size=60", "--quiet") == 0
    assert (tiny_runs.only(tmp_path / "home/runs") / "DONE").exists()
    tiny_main.in_process(tmp_path, monkeypatch)
    assert status(main, *tiny_main.TINY, "--out_dir=~/a run", "--epochs=1") == 0
    assert (tmp_path / "home/a run/DONE").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_home_of_figures_tables_and_sweeps(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_seed_robustness.Options.__dataclass_fields__["out_dir"].metadata["kind"]("~/x") == f"{tmp_path}/x"
    assert paths.expanded("~") == str(tmp_path) and paths.expanded("a~") == "a~" and paths.expanded("./~") == "./~"
    assert status(run_toy_exp_fig2, "--out_dir=~/fig2", "--count=5") == 0
    assert (tmp_path / "fig2/fig2.npz").exists()
    assert status(fig2, "~/fig2/fig2.npz", "--output=~/again.pdf") == 0
    assert (tmp_path / "again.pdf").exists()


# ---- the folder of a run


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = main.parse(list(tiny_main.TINY))
    made, go = [], threading.Barrier(8)

    def start():
        go.wait()
        for _ in range(20):
            made.append(main.run_folder(settings))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(made) == 160 and all(path.is_dir() for path in made)


def test_load_without_a_folder_is_refused_and_makes_none(tmp_path, monkeypatch, capsys):
    call = tiny_main.in_process(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert call("--out_dir=None", "--load") == 2
    assert "--out_dir" in tiny_main.complaint(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_a_file_where_the_folder_of_new_runs_should_be(tmp_path, monkeypatch):
    (tmp_path / "logs").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="logs"):
        main.run_folder(main.parse(list(tiny_main.TINY)))


@pytest.mark.parametrize("length", [3900, 4090])
def test_a_folder_whose_files_would_not_fit_is_refused_before_training(length, tmp_path):
    path = Path(tmp_path, *["n" * 200] * 30)
    path = Path(str(path)[: length - 5].rstrip("/"), "last")
    folder = RunFolder(path, {})
    if length < 3930:
        folder.open()
        assert path.is_dir()
        folder.close()
    else:
        with pytest.raises(FileError, match="bytes"):
            folder.open()
        assert not list(tmp_path.iterdir())


# ---- folders that must not be searched


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder in which nobody may look, the superuser included."""
    place = tmp_path / "locked"
    place.mkdir()

    def refuse_below(name):
        original = getattr(os, name)

        def refuse(path=".", *arguments, **words):
            if (
                not isinstance(path, int)
                and str(place) + "/" in os.fspath(path) + "/"
                and (name in ("listdir", "scandir") or os.fspath(path) != str(place))
            ):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return original(path, *arguments, **words)

        monkeypatch.setattr(os, name, refuse)

    for name in ("stat", "lstat", "listdir", "scandir", "open", "mkdir"):
        refuse_below(name)
    return place


@pytest.mark.parametrize("script", [summarise_seeds, learning_curves, alignment, fig1d, fig2, fig3, fig_s1, pipeline])
def test_an_argument_in_a_folder_that_cannot_be_searched(script, locked, capsys):
    output = [f"--output={locked.parent}/x.png"] if script is not summarise_seeds else []
    assert status(script, f"{locked}/a", *output) == 2
    assert str(locked) in sentence(capsys)


@pytest.mark.parametrize("script, option", [
    (run, "--results_dir="), (run, "--data_dir="), (main, "--out_dir="), (run_pipeline, "--folder="),
    (run_toy_exp_fig1D, "--out_dir="), (run_toy_exp_fig2, "--out_dir="), (run_toy_exp_fig3, "--out_dir="),
    (run_seed_robustness, "--out_dir="),
])  # fmt: skip
def test_an_option_in_a_folder_that_cannot_be_searched(script, option, locked, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if script is run:
        tiny_runs.in_process(tmp_path, monkeypatch)
        more = [] if "data" in option else [f"--data_dir={tmp_path / 'data'}"]
    else:
        tiny_main.install(monkeypatch.setattr)
        more = list(tiny_main.TINY) if script is main else []
    assert status(script, option + f"{locked}/a", *more) == 2
    line = sentence(capsys)
    assert str(locked) in line and "ermission denied" in line


@pytest.mark.parametrize("script", [tidy, report, against_bp])
def test_runs_that_cannot_be_read_are_named_and_not_called_missing(script, locked, tmp_path, monkeypatch, capsys):
    """Neither the folder itself nor one below it, nor a file of a run."""
    monkeypatch.chdir(tmp_path)
    assert status(script, f"{locked}/a") == 2
    assert f"{locked}/a: Permission denied" in sentence(capsys)
    for given in (locked, tmp_path):
        status(script, str(given))
        assert f"cannot read {locked}: Permission denied" in capsys.readouterr().err
    assert tiny_runs.in_process(tmp_path, monkeypatch)("--nb_epochs=1", "--quiet") == 0
    capsys.readouterr()
    file = tiny_runs.only(tmp_path / "results") / "metrics.csv"
    read = Path.read_bytes

    def refuse(path):
        if path == file:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    status(script, str(tmp_path / "results"))
    err = capsys.readouterr().err
    assert f"{file}: Permission denied" in err and "damaged" not in err


# ---- names that become those of files


@pytest.mark.parametrize("name", ["n" * 240, "ü" * 120, "a\0b", "a\nb", "../up", ""])
def test_a_name_of_a_sweep_that_cannot_be_that_of_a_file(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status(run_seed_robustness, f"--name={name}") == 2
    assert "name" in sentence(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script, option", [(run_seed_robustness, "name"), (run_pipeline, "experiment_name")])
def test_a_name_whose_bytes_this_locale_does_not_know(script, option, tmp_path, monkeypatch, capsys):
    """As the words of a command line arrive where the locale is ASCII."""
    monkeypatch.chdir(tmp_path)
    assert status(script, f"--{option}=" + "größe".encode().decode("ascii", "surrogateescape")) == 2
    assert f"--{option}=gr" in (line := sentence(capsys)) and "in this locale" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["n" * 240, "ü" * 120, "a\0b", "a\nb", "../up"])
def test_a_name_of_a_pipeline_that_cannot_be_that_of_a_folder(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status(run_pipeline, f"--experiment_name={name}") == 2
    assert "name" in sentence(capsys)
    assert not list(tmp_path.iterdir())


def test_a_run_whose_name_is_too_long_is_refused(tmp_path, monkeypatch, capsys):
    call = tiny_runs.in_process(tmp_path, monkeypatch)
    before = tiny_runs.contents(tmp_path)
    monkeypatch.setattr(run, "run_name", lambda *options: "r" * 256)
    assert call("--nb_epochs=1") == 2
    assert "256 bytes" in tiny_runs.complaint(capsys.readouterr().err)
    assert tiny_runs.contents(tmp_path) == before
