"""Two processes in one folder, on file systems of all kinds: stand-ins for flock do what NFS, Lustre and others do."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from core.files import FileError
from core.locks import FolderLock
from core.options import UsageError
from sweeps import processes
from tests.faults import tiny_main
from tests.faults.tiny_runs import ROOT, complaint, in_process, only, start, write_data

flock = fcntl.flock


def like_nfs(descriptor, how):
    """An exclusive lock needs a descriptor that is open for writing (flock(2), "NFS details")."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    flock(descriptor, how)


def like_nfs_when_taken(descriptor, how):
    """Emulated by fcntl, a lock that another one has may be EACCES."""
    try:
        flock(descriptor, how)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def without_locks(number):
    def refuse(descriptor, how):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("stand_in", [flock, like_nfs, like_nfs_when_taken])
def test_the_second_one_is_refused_and_told_who_has_the_folder(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", stand_in)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    first = FolderLock(tmp_path)
    first.take()
    assert first.note == ""
    for _ in range(3):
        with pytest.raises(UsageError) as refusal:
            FolderLock(tmp_path).take()
        for word in (
            str(tmp_path),
            "in use by another process",
            os.uname().nodename,
            f"process {os.getpid()}",
            "job 4711",
        ):
            assert word in str(refusal.value)
    first.close()
    second = FolderLock(tmp_path)
    second.take()
    second.close()
    assert (tmp_path / ".lock").read_bytes() == b""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF])
def test_where_locking_is_impossible_there_is_one_note(number, tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    monkeypatch.setattr(fcntl, "flock", without_locks(number))
    assert call("--nb_epochs=1", "--quiet") == 0
    out, err = capsys.readouterr()
    assert (out + err).count("cannot be locked") == 1 and os.strerror(number) in out + err
    assert str(only(tmp_path / "results")) in out + err


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_sweeps_say_it_too_and_go_on(number, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", without_locks(number))
    processes.run_all([], tmp_path / "sweep", lambda *_: None, quiet=True)
    assert capsys.readouterr().err.count("cannot be locked") == 1


WAITING = """
import fcntl, sys
sys.path.insert(0, sys.argv[1])
from tests.field.test_locks import like_nfs
fcntl.flock = like_nfs
from sweeps.processes import run_all
run_all([], sys.argv[2], print, quiet=True)
print("done")
"""


def test_a_second_sweep_waits_on_a_network_file_system_too(tmp_path):
    lock = FolderLock(tmp_path)
    lock.take()
    words = [sys.executable, "-c", WAITING, str(ROOT), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        assert "waiting for another sweep" in line and f"process {os.getpid()}" in line
        lock.close()
        assert process.communicate(timeout=30) == ("done\n", "")


def test_a_run_names_itself_to_the_one_that_comes_second(tmp_path):
    """Across processes, as it happens on a cluster."""
    write_data(tmp_path / "data")
    words = [f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'results'}", "--nb_epochs=3", "--threads=1"]
    with start(*words, fault="step 3 SIGSTOP") as first:
        os.waitpid(first.pid, os.WUNTRACED)
        with start(*words, "--load") as second:
            _, err = second.communicate(timeout=60)
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 2)
    assert f"process {first.pid}" in complaint(err) and "in use by another process" in err


# ---- what is refused leaves nothing


def test_a_file_that_its_holder_deletes_is_no_lock_for_the_next_one(tmp_path):
    """Else a third one, which finds no file and makes one, would have the folder at the same time."""
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take()
    first.close(unused=True)
    assert not list(tmp_path.iterdir())
    second.take()
    with pytest.raises(UsageError, match="in use"):
        FolderLock(tmp_path).take()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("place", ["", "logs/campaign"])
def test_a_folder_that_its_holder_deletes_is_made_again(place, tmp_path):
    first = FolderLock(tmp_path / place)
    first.take()
    second = FolderLock(tmp_path / place)
    first.close(unused=True)
    second.take(print)
    with pytest.raises(UsageError, match="in use"):
        FolderLock(tmp_path / place).take()
    second.close(unused=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_deleted_while_it_is_opened_is_made_again(tmp_path, monkeypatch):
    """The holder unlocks before it deletes its folders, so that the one who waits is in the folder by then."""
    deleted, as_it_is = [], os.open

    def late(path, *how):
        if not deleted:
            deleted.append(path)
            (tmp_path / "run").rmdir()
        return as_it_is(path, *how)

    monkeypatch.setattr(os, "open", late)
    lock = FolderLock(tmp_path / "run")
    lock.take()
    lock.close(unused=True)
    assert deleted and not list(tmp_path.iterdir())


def test_a_folder_that_becomes_a_file_while_it_is_waited_for_is_told(tmp_path):
    first = FolderLock(tmp_path / "logs")
    first.take()
    second = FolderLock(tmp_path / "logs")
    first.close(unused=True)
    (tmp_path / "logs").write_text("mine")
    with pytest.raises(FileError, match=r"cannot use the folder .*logs"):
        second.take(print)
    second.close(unused=True)
    assert (tmp_path / "logs").read_text() == "mine"


def test_a_file_and_folders_that_were_there_before_stay(tmp_path):
    """Whoever looks into a run leaves its folder as it was."""
    for path in (tmp_path / "with", tmp_path / "without"):
        path.mkdir()
    (tmp_path / "with" / ".lock").write_bytes(b"")
    for path in (tmp_path / "with", tmp_path / "without", tmp_path / "new" / "folders"):
        lock = FolderLock(path)
        lock.take()
        lock.close(unused=True)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert found == ["with", "with/.lock", "without"]


@pytest.mark.parametrize("place", [["--out_dir=a/b"], []])
def test_a_run_that_is_refused_after_its_folder_was_made_leaves_none(place, tmp_path, monkeypatch, capsys):
    call = tiny_main.in_process(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert call("--out_dir=None", *place, "--start_from=none") == 2
    assert "none" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*Lweights.npy")) and not [
        path for path in tmp_path.rglob("*") if path.name in (".lock", "b")
    ]
    assert not list((tmp_path / "logs").rglob("run_*"))


def test_a_stack_of_seeds_that_is_refused_leaves_no_folder_of_the_others(tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--seed=2", "--quiet") == 0
    before = sorted(tmp_path.rglob("*"))
    assert call("--nb_epochs=1", "--seeds=1-3", "--quiet") == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sweep_that_is_refused_leaves_nothing(tmp_path, monkeypatch):
    job = processes.Job("a", tmp_path / "sweep" / "run", [], {"lr": 0.1}, 1)
    config = {"settings": {"lr": 0.2}, "options": {}}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="lr"):
        processes.run_all(
            [processes.Job("b", tmp_path / "other", [], {"lr": 0.1}, 1), job], tmp_path / "sweep", print, quiet=True
        )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_lock_of_a_killed_process_is_free(tmp_path):
    """Its file still names it."""
    (tmp_path / ".lock").write_text("host gone, process 1")
    lock = FolderLock(tmp_path)
    lock.take()
    assert f"process {os.getpid()}" in (tmp_path / ".lock").read_text()
    lock.close()


# ---- what a run remembers of its machine


def test_config_tells_the_machine_and_resuming_on_another_one_is_noted(tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert call("--nb_epochs=1") == 0
    path = only(tmp_path / "results") / "config.json"
    config = json.loads(path.read_text())
    assert config["host"] == os.uname().nodename and config["job"] == "4711"
    for name in ("cpu", "blas"):
        assert isinstance(config[name], str) and config[name]
        capsys.readouterr()
        path.write_text(json.dumps(config | {name: "of another node"}))
        assert call(f"--nb_epochs={2 + (name == 'blas')}", "--load", "--quiet") == 0
        (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
        assert name in note and "last digits" in note
    assert json.loads(path.read_text())["resumed"][-1]["host"] == os.uname().nodename


def test_runs_of_earlier_versions_that_do_not_tell_the_machine_go_on_without_a_note(tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1") == 0
    path = only(tmp_path / "results") / "config.json"
    config = json.loads(path.read_text())
    path.write_text(
        json.dumps({name: value for name, value in config.items() if name not in ("cpu", "blas", "host", "job")})
    )
    capsys.readouterr()
    assert call("--nb_epochs=2", "--load", "--quiet") == 0
    assert "note" not in capsys.readouterr().out


def test_another_kernel_of_blas_is_noticed(tmp_path):
    """The variable makes one processor compute like an older one, as a node of another type does."""
    write_data(tmp_path / "data")
    words = [
        sys.executable,
        str(ROOT / "tests/faults/tiny_runs.py"),
        f"--data_dir={tmp_path / 'data'}",
        "--threads=1",
        "--quiet",
    ]
    words.append(f"--results_dir={tmp_path / 'results'}")
    outputs = []
    for kernel, more in (("Haswell", ["--nb_epochs=1"]), ("Nehalem", ["--nb_epochs=2", "--load"])):
        environment = {**os.environ, "OPENBLAS_CORETYPE": kernel}
        done = subprocess.run([*words, *more], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    first = json.loads((only(tmp_path / "results") / "config.json").read_text())
    if first["blas"] == first["resumed"][-1]["blas"]:
        pytest.skip("this BLAS has one kernel only")
    assert "blas" in outputs[1] and "blas" not in outputs[0]


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--load_or_start",)])
def test_run_that_cannot_begin_leaves_nothing(more, tmp_path, monkeypatch):
    """The first file cannot be written: no lock stays, and no folder that was made for it; a
    folder of the user's stays."""
    from core import recording

    def full(path, content):
        raise FileError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(recording, "write_json", full)
    (tmp_path / "own").mkdir()
    for place, left in ((tmp_path / "new/run", None), (tmp_path / "own", [])):
        folder = recording.RunFolder(place, {}, measures=())
        folder.open(overwrite="--overwrite" in more, load_or_start="--load_or_start" in more)
        folder.clear()
        with pytest.raises(FileError):
            folder.begin({"options": {}})
        folder.close()
        assert (sorted(place.iterdir()) if place.exists() else None) == left
    assert not (tmp_path / "new").exists()


def test_folder_without_locks_keeps_no_lock_file(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = FolderLock(tmp_path / "run")
    lock.take()
    assert lock.note and not list((tmp_path / "run").iterdir())
    lock.close(unused=True)
    assert not (tmp_path / "run").exists()
