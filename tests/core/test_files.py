"""Files are old or new, never half; damage is named; nothing is unpickled."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.files import FileError, read_arrays, read_json, replacing, write_array, write_arrays, write_json, write_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path):
    """A file that already has a content."""
    (tmp_path / "kept.txt").write_text("old")
    return tmp_path / "kept.txt"


def assert_old(path):
    """The content is the old one and nothing else is left there."""
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


def failing(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


# ---- writing


def test_content_is_replaced_when_the_block_ends(path):
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        # A reader never sees a part.
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == [path.name]


def test_content_is_on_the_disk_before_it_takes_the_name(path, monkeypatch):
    """Renamed first, a power cut would leave an empty file under the good name."""
    steps, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append(os.fstat(handle).st_size), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("replace"), replace(*paths)))
    write_text(path, "news")
    assert steps[:2] == [4, "replace"]


ERRORS = [ValueError("no"), KeyError("k"), KeyboardInterrupt(), SystemExit(1), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_exception_in_the_block_leaves_the_old_content(error, path):
    with pytest.raises(type(error)) as caught, replacing(path) as file:
        file.write(b"half of the n")
        raise error
    # It is passed on, not renamed.
    assert caught.value is error
    assert_old(path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_system_error_leaves_the_old_content_and_names_file_and_reason(step, number, path, monkeypatch):
    monkeypatch.setattr(os, step, failing(number))
    with pytest.raises(FileError) as caught:
        write_text(path, "new")
    assert str(path) in str(caught.value) and os.strerror(number) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_old(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
@pytest.mark.parametrize("size", [10, 10**6])
def test_write_that_fails_leaves_the_old_content(size, path, monkeypatch):
    """A full disk shows up in a write (a large file) or not before the flush (a small one)."""
    original = open

    def full(name, *arguments):
        return original("/dev/full" if str(name).endswith(".tmp") else name, *arguments)

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(FileError, match=os.strerror(errno.ENOSPC)):
        write_text(path, "x" * size)
    assert_old(path)


@pytest.mark.parametrize("place", ["nowhere/new.txt", "kept.txt/new.txt"])
def test_folder_that_is_not_there_is_a_file_error(place, path):
    with pytest.raises(FileError, match=r"new\.txt"):
        write_text(path.parent / place, "new")
    assert_old(path)


KILLED = """
import os, signal, sys
from core.files import replacing

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] in ("fsync", "replace"):
    setattr(os, sys.argv[2], die)
with replacing(sys.argv[1]) as file:
    file.write(b"half of the n")
    if sys.argv[2] == "write":
        file.flush()
        die()
    file.write(b"ews")
"""


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_killed_process_leaves_the_old_content(step, path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path, step], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    # What the dead one left is in nobody's way.
    write_text(path, "new")
    assert path.read_text() == "new"


def test_two_files_of_one_name_in_two_folders_do_not_meet(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    with replacing(tmp_path / "a" / "x") as first, replacing(tmp_path / "b" / "x") as second:
        first.write(b"1")
        second.write(b"2")
    assert ((tmp_path / "a" / "x").read_text(), (tmp_path / "b" / "x").read_text()) == ("1", "2")


# ---- reading


def test_what_is_written_is_read_back(tmp_path):
    content = {"a": [1, 2.5, None, "ü"], "b": {"c": True}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content == json.loads((tmp_path / "x.json").read_text())
    arrays = {
        "W": np.arange(6.0).reshape(2, 3) / 7,
        "b": np.float32([1, np.nan, -np.inf]),
        "n": np.array(3),
        "0": np.zeros(0),
    }
    write_arrays(tmp_path / "x.npz", arrays)
    found = read_arrays(tmp_path / "x.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    write_array(tmp_path / "x.npy", arrays["W"])
    assert np.load(tmp_path / "x.npy", allow_pickle=False).tobytes() == arrays["W"].tobytes()


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "\xff", "nonsense"])
def test_damaged_json_is_named(text, tmp_path):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("read", [read_json, read_arrays])
def test_missing_file_is_named(read, tmp_path):
    with pytest.raises(FileError, match="gone"):
        read(tmp_path / "gone")
    with pytest.raises(FileError):
        # It is a folder.
        read(tmp_path)


@pytest.fixture
def archive(tmp_path):
    """(path, {name: array}, bytes) of an archive; one array is larger than what a reader
    buffers, as real weights are."""
    arrays = {
        "p0": np.random.default_rng(0).standard_normal((80, 80)),
        "epoch": np.array(3),
        "series_acc": np.arange(4) / 10,
    }
    write_arrays(tmp_path / "x.npz", arrays)
    return tmp_path / "x.npz", arrays, (tmp_path / "x.npz").read_bytes()


def named(path):
    """The text of the FileError that read_arrays must raise: one line with the file's name."""
    with pytest.raises(FileError) as caught:
        read_arrays(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    return text


def test_truncated_archive_is_named_wherever_it_ends(archive):
    path, _, good = archive
    for length in [*range(0, 300, 7), *range(300, len(good), 4001), *range(len(good) - 400, len(good), 13)]:
        path.write_bytes(good[:length])
        named(path)


def test_changed_byte_is_named_or_without_effect(archive):
    """Every byte of the archive's records and of the arrays' headers, every bit of the largest's,
    and some of the numbers."""
    path, arrays, good = archive
    random, numbers = np.random.default_rng(2), good.index(arrays["p0"].tobytes())
    headers = [range(start, start + 128) for start in range(numbers) if good[start : start + 6] == b"\x93NUMPY"]
    changes = [(place, 1 << bit) for header in headers for place in header for bit in range(8)]
    changes += [(place, int(random.integers(1, 256))) for place in range(numbers)]
    changes += [(place, 1) for place in range(numbers, numbers + arrays["p0"].nbytes, 997)]
    changes += [(place, int(random.integers(1, 256))) for place in range(numbers + arrays["p0"].nbytes, len(good))]
    wrong = []
    for place, change in changes:
        path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
        try:
            found = read_arrays(path)
        except FileError as error:
            if str(path) not in str(error) or "\n" in str(error):
                wrong.append((place, change, str(error)))
        else:
            # an array that is gone is the reader's to notice, test_training.py; those that are there must be right
            if any(name not in arrays or found[name].tobytes() != arrays[name].tobytes() for name in found):
                wrong.append((place, change, "other numbers"))
    assert wrong == []


@pytest.mark.parametrize(
    "old, new",
    [(b"'<f8'", b"'<f4'"), (b"(80, 80)", b"(40, 80)"), (b"(80, 80)", b"(00, 80)"), (b"(80, 80)", b"(  80, )")],
)
def test_header_that_asks_for_fewer_bytes_than_there_are_is_found(old, new, archive):
    """The archive's checksum must be compared although the reader stops early, else wrong numbers
    train on without a word."""
    path, _, good = archive
    assert old in good
    path.write_bytes(good.replace(old, new, 1))
    named(path)


def test_absurd_header_length_is_told_in_one_line(archive):
    path, _, good = archive
    place = good.index(b"\x93NUMPY\x01\x00") + 8
    path.write_bytes(good[:place] + b"\x00\x80" + good[place + 2 :])
    named(path)


class Trap:
    """Unpickled, it creates the file that it was made with."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("form", ["npz", "npy", "pickle"])
def test_pickles_are_refused_unopened(form, tmp_path):
    """A file from elsewhere must not be able to run anything."""
    import pickle

    path, trap = tmp_path / "x.npz", np.array([Trap(tmp_path / "sprung")], dtype=object)
    with open(path, "wb") as file:
        if form == "npz":
            np.savez(file, a=trap)
        elif form == "npy":
            np.save(file, trap)
        else:
            pickle.dump({"a": Trap(tmp_path / "sprung")}, file)
    named(path)
    assert not (tmp_path / "sprung").exists()


def test_no_pickle_is_ever_written(tmp_path):
    with pytest.raises(ValueError):
        write_array(tmp_path / "x.npy", np.array([{}], dtype=object))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04", b"\x93NUMPY", np.float64(1).tobytes()])
def test_rubbish_is_named(content, tmp_path):
    (tmp_path / "x.npz").write_bytes(content)
    named(tmp_path / "x.npz")


def test_single_array_in_place_of_an_archive_is_named(tmp_path):
    plain = io.BytesIO()
    np.save(plain, np.zeros(3))
    (tmp_path / "x.npz").write_bytes(plain.getvalue())
    named(tmp_path / "x.npz")
