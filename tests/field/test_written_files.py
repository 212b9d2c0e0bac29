"""Files where they are not plain files on a plain disk: links, devices, pipes, odd file systems,
killed writers, odd numbers."""

import csv
import errno
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import report
import run_seed_robustness
import summarise_seeds
import tidy
from core import files
from core.files import FileError, read_arrays, read_json, write_array, write_arrays, write_json, write_text
from datasets import download
from figures import against_bp, precision
from tests.faults import tiny_main
from tests.faults.tiny_runs import in_process, only
from tests.runs_for_tests import make_run, tree

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n"


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """The folder of a finished run."""
    assert in_process(tmp_path, monkeypatch)("--nb_epochs=1", "--quiet") == 0
    return only(tmp_path / "results")


def script(name, *words, **settings):
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, words)], capture_output=True, timeout=60, **settings
    )


# ---- links


@pytest.mark.parametrize("chain", [1, 2])
def test_a_link_stays_and_what_it_leads_to_is_replaced(chain, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "target").write_text("old")
    link = tmp_path / "link0"
    link.symlink_to("far/target")
    for number in range(1, chain):
        link = tmp_path / f"link{number}"
        link.symlink_to(tmp_path / f"link{number - 1}")
    write_text(link, "new")
    assert link.is_symlink() and (tmp_path / "far" / "target").read_text() == "new"
    assert os.listdir(tmp_path / "far") == ["target"]


def test_a_link_to_nothing_yet_makes_what_it_leads_to(tmp_path):
    (tmp_path / "link").symlink_to("target")
    write_arrays(tmp_path / "link", {"a": np.arange(3)})
    assert (tmp_path / "link").is_symlink()
    assert read_arrays(tmp_path / "target")["a"].tolist() == [0, 1, 2]


def test_a_failed_write_through_a_link_leaves_both(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "link"):
        raise ZeroDivisionError
    assert (tmp_path / "link").is_symlink() and (tmp_path / "link").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_a_link_in_a_circle_is_one_sentence(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileError, match="cannot write"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink() and (tmp_path / "b").is_symlink()


def test_files_of_a_run_that_are_links_stay_links(tmp_path, monkeypatch):
    """A run whose checkpoint was moved to a larger disk."""
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--quiet") == 0
    folder = only(tmp_path / "results")
    for name in ("checkpoint.npz", "metrics.csv"):
        os.rename(folder / name, tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    assert call("--nb_epochs=2", "--quiet", "--load") == 0
    for name in ("checkpoint.npz", "metrics.csv"):
        assert (folder / name).is_symlink()
    assert int(read_arrays(tmp_path / "checkpoint.npz")["epoch"]) == 2


# ---- devices and pipes


def device(name, folder):
    """Returns the path of a device; root gets one of its own, because a renamed file would take
    its place for everybody."""
    path = Path("/dev", name)
    if os.geteuid() == 0:
        number, path = os.stat(path).st_rdev, folder / name
        os.mknod(path, stat.S_IFCHR | 0o666, number)
    return path


def test_a_device_stays_a_device(tmp_path):
    path = device("null", tmp_path)
    number = os.stat(path).st_rdev
    write_text(path, "gone")
    write_array(path, np.arange(3))
    assert stat.S_ISCHR(os.stat(path).st_mode) and os.stat(path).st_rdev == number


def test_a_named_pipe_gets_the_whole_content(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(tmp_path / "copy", "wb") as copy, subprocess.Popen(["cat", str(pipe)], stdout=copy) as reader:
        write_arrays(pipe, {"a": np.arange(50_000)})
        reader.wait(timeout=20)
    assert read_arrays(tmp_path / "copy")["a"].tolist() == list(range(50_000))
    assert pipe.is_fifo()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_a_device_that_takes_nothing_is_one_sentence(tmp_path):
    with pytest.raises(FileError, match=os.strerror(errno.ENOSPC)) as caught:
        write_text(device("full", tmp_path), "new")
    assert "unchanged" not in str(caught.value)


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_picture_goes_to_standard_output(output, run_folder):
    done = script("figures/learning_curves.py", run_folder, f"--output={output}", cwd=run_folder)
    assert (done.returncode, done.stderr) == (0, b"")
    # There is nothing behind it.
    assert done.stdout.startswith(PNG) and done.stdout.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize(
    "name, words, begin, end, said",
    [
        ("summarise_seeds.py", ["--csv=/dev/stdout"], b"setting,", b"", b"seeds  epochs"),
        ("tidy.py", ["--output=/dev/stdout"], b"run,", b"", b"1 runs"),
        ("tidy.py", ["--series=/dev/fd/1"], b"run,", b"", b"1 runs"),
        ("tidy.py", ["--pack=/dev/stdout"], b"\x1f\x8b", b"", b"1 runs"),
        ("report.py", ["--output=/dev/stdout"], b"<!DOCTYPE", b"</html>", b""),
        (
            "figures/learning_curves.py",
            ["--output=first.png", "--output=/dev/stdout"],
            PNG,
            b"IEND\xaeB`\x82",
            b"first.png",
        ),
    ],
)
def test_what_goes_to_standard_output_is_alone_there(name, words, begin, end, said, run_folder):
    """Words go to stderr instead."""
    done = script(name, run_folder, *words, cwd=run_folder)
    assert done.returncode == 0 and done.stdout.startswith(begin) and done.stdout.endswith((end, end + b"\n")), (
        done.stderr
    )
    assert said in done.stderr and (not said or said not in done.stdout)


def test_standard_output_that_is_a_file_is_written_into(run_folder, tmp_path):
    """Not renamed over, and behind what was there."""
    with open(tmp_path / "out", "ab") as out:
        out.write(b"before")
        out.flush()
        words = [sys.executable, str(ROOT / "figures/learning_curves.py"), str(run_folder), "--output=/dev/stdout"]
        assert subprocess.run(words, stdout=out, cwd=tmp_path, timeout=60).returncode == 0
        assert os.fstat(out.fileno()).st_nlink == 1
    assert (tmp_path / "out").read_bytes().startswith(b"before" + PNG)


def test_a_table_goes_to_a_process_substitution(run_folder, tmp_path):
    line = f"{sys.executable} {ROOT / 'summarise_seeds.py'} {run_folder} --csv >(cat >table; echo >ended) >/dev/null"
    done = subprocess.run(
        ["bash", "-c", f"{line}; while ! [[ -e ended ]]; do sleep 0.01; done"], cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0
    with open(tmp_path / "table", newline="") as file:
        assert [row["seeds"] for row in csv.DictReader(file)] == ["1"]


# ---- files that are somebody's


@pytest.mark.parametrize(
    "module, words",
    [
        (tidy, ["run", "--output=run/metrics.csv"]),
        (tidy, ["run", "--series=run/DONE"]),
        (tidy, ["run", "--series=link"]),
        (summarise_seeds, ["run", "--csv=./run/config.json"]),
        (report, ["run", "--output=run/log.txt"]),
        (report, ["run", "--output=run/results.json"]),
        (report, ["run", "--output=page.html", "--markdown=run/1Lweights.npy"]),
        (precision, ["--output=run/results.png"]),
        (tidy, ["run", "--output=run/.lock"]),
        (summarise_seeds, ["run", "--csv=no_config/metrics.csv"]),
        (run_seed_robustness, ["--nb_seeds=1", "--out_dir=run", "--name=metrics", "--list"]),
        (run_seed_robustness, ["--nb_seeds=1", "--out_dir=no_config", "--name=GNT_angles", "--list"]),
    ],
)
def test_a_file_of_a_run_is_not_written_over(module, words, tmp_path, monkeypatch, capsys):
    """Neither one that is there, nor one that would then be taken for the run's own; precision saves results.npz."""
    monkeypatch.chdir(tmp_path)
    for name in ("run", "no_config"):
        make_run(Path(name), log="epoch 1/2\n")
    Path("no_config", "config.json").unlink()
    Path("link").symlink_to(Path("run", "metrics.csv"))
    before = tree(tmp_path)
    assert module.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is a file of the run in that folder" in error
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "module, words, told",
    [
        (tidy, ["run", "--output=a", "--series=a"], "two options name it"),
        (tidy, ["run", "--output=a", "--series=./a"], "two options name it"),
        (tidy, ["run", "--series=runs.csv"], "two options name it"),
        (tidy, ["run", "runs.tar.gz", "--output=runs.tar.gz"], "it is read, too"),
        (report, ["run", "--output=a", "--markdown=b/../a"], "two options name it"),
        (report, ["run", "--cells=cells.csv", "--output=cells.csv"], "it is read, too"),
        (against_bp, ["run", "--output=a.png", "--table=a.png"], "two options name it"),
    ],
)
def test_one_file_for_two_ends_is_refused(module, words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"))
    Path("b").mkdir()
    assert tidy.main(["run", "--pack=runs.tar.gz"]) == 0
    capsys.readouterr()
    before = tree(tmp_path)
    assert module.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and told in error and tree(tmp_path) == before


def test_an_archive_is_packed_anew_with_further_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        make_run(Path("runs", f"run{seed}"), seed=seed)
    assert tidy.main(["runs/run1", "--pack=runs.tar.gz"]) == 0
    assert tidy.main(["runs/run2", "runs.tar.gz", "--pack=runs.tar.gz"]) == 0
    assert tidy.main(["runs.tar.gz", "--output=table.csv"]) == 0
    with open("table.csv", newline="") as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["1", "2"]


# ---- file systems


@pytest.mark.parametrize("module", [files, download])
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_fsync_will_do(number, module, monkeypatch):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    sync = getattr(module, "sync", None) or module._sync
    sync(1)
    number = errno.EIO
    with pytest.raises(OSError):
        sync(1)


def test_a_run_on_a_file_system_without_fsync_finishes(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EINVAL, "Invalid argument")

    call = in_process(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "fsync", refuse)
    assert call("--nb_epochs=1", "--quiet") == 0


def test_a_file_that_was_mounted_alone_is_written_in_place(tmp_path, monkeypatch):
    """As with docker run --volume file:file, where rename says EBUSY."""

    def busy(*paths):
        raise OSError(errno.EBUSY, "Device or resource busy")

    (tmp_path / "file").write_text("old content, longer than the new")
    monkeypatch.setattr(os, "replace", busy)
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new" and os.listdir(tmp_path) == ["file"]


# ---- what killed processes leave


def dead_process():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_leftovers_of_killed_writes_go_and_those_of_others_at_work_stay(tmp_path):
    dead, alive = dead_process(), os.getppid()
    for name in (f".file.{dead}.tmp", f".file.{alive}.tmp", f".other.{dead}.tmp", ".file.tmp", ".file.mine.tmp"):
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "file", "new")
    assert sorted(os.listdir(tmp_path)) == [
        f".file.{alive}.tmp",
        ".file.mine.tmp",
        ".file.tmp",
        f".other.{dead}.tmp",
        "file",
    ]


def test_a_run_that_goes_on_removes_all_leftovers_in_its_folder(tmp_path, monkeypatch):
    """Also those of files that it does not write any more."""
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--quiet") == 0
    folder, dead = only(tmp_path / "results"), dead_process()
    for name in ("checkpoint.npz", "of_long_ago.npy"):
        (folder / f".{name}.{dead}.tmp").write_bytes(b"half")
    assert call("--nb_epochs=2", "--quiet", "--load") == 0
    assert not list(folder.glob(".*.tmp"))


def test_leftovers_of_killed_downloads_go(tmp_path):
    target, dead, alive = tmp_path / "images.gz", dead_process(), os.getppid()
    for process in (dead, alive):
        (tmp_path / f".images.gz.{process}-0a1b2c3d.part").write_bytes(b"half")
    with pytest.raises(download.DownloadError):
        download.fetch("http://127.0.0.1:9/images.gz", target, 10, lambda path: None, quiet=True)
    assert os.listdir(tmp_path) == [f".images.gz.{alive}-0a1b2c3d.part"]


# ---- numbers that JSON has no word for


def strict(path):
    def refuse(word):
        raise AssertionError(f"{path} holds {word}")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_numbers_that_are_not_finite_are_null_with_a_note_and_come_back(tmp_path):
    content = {"a": math.nan, "b": [1.5, math.inf, {"c": -math.inf}], "d": "nan", "e": None}
    write_json(tmp_path / "file", content)
    note = {"a": "nan", "b/1": "inf", "b/2/c": "-inf"}
    assert strict(tmp_path / "file") == {
        "a": None,
        "b": [1.5, None, {"c": None}],
        "d": "nan",
        "e": None,
        "not_finite": note,
    }
    found = read_json(tmp_path / "file")
    assert math.isnan(found.pop("a")) and found == {"b": [1.5, math.inf, {"c": -math.inf}], "d": "nan", "e": None}


def test_finite_content_is_written_as_ever(tmp_path):
    write_json(tmp_path / "file", {"a": 0.1, "b": [1, "two"]})
    assert (tmp_path / "file").read_text() == '{\n  "a": 0.1,\n  "b": [\n    1,\n    "two"\n  ]\n}\n'


@pytest.mark.parametrize("note", ['["a"]', '{"a": "x"}', '{"no": "nan"}', '{"a/b": "nan"}', '{"c/7": "inf"}', "3"])
def test_a_damaged_note_is_damage(note, tmp_path):
    (tmp_path / "file").write_text(f'{{"a": null, "c": [1], "not_finite": {note}}}')
    # This is no contradiction.
    if note == '{"no": "nan"}':
        assert math.isnan(read_json(tmp_path / "file")["no"])
        return
    with pytest.raises(FileError, match="damaged"):
        read_json(tmp_path / "file")


def test_files_of_a_diverged_run_are_strict(tmp_path, monkeypatch):
    """Its last numbers are not finite; the summary reads them as they were."""
    from dfc.measures.summary import read_summary

    call = tiny_main.in_process(tmp_path, monkeypatch)
    call("--network_type=BP", "--lr=1e200", "--epochs=2")
    folder = tmp_path / "run"
    for path in (*folder.glob("*.json"), folder / "DONE", folder / "args.txt"):
        strict(path)
    for name, value in read_summary(folder).items():
        assert value is not None, name
