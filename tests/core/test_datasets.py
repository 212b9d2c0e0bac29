"""The image sets: expectations come from the IDX format, published checksums and counts, and files made here."""

import errno
import gzip
import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import fields, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets import CATALOGUE, DataError, load
from datasets.catalogue import ROLES, Source
from datasets.idx import IdxFile

ROOT = Path(__file__).resolve().parents[2]
KMNIST_FILES = ROOT.parent / "shared" / "data" / "kmnist"
NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
# As published by the sets' authors (and by every library that ships them), of the unpacked files in the order of NAMES.
MD5 = {
    "MNIST": "6bbc9ace898e44ae57da46a324031adb a25bea736e30d166cdddb491f175f624 "
    "2646ac647ad5339dbf082846283269ea 27ae3e4e09519cfbb04c329615203637",
    "FMNIST": "f4a8712d7a061bf5bd6d2ca38dc4d50a 9018921c3c673c538a1fc5bad174d6f9 "
    "8181f5470baa50b63fa0f6fddb340f0a 15d484375f8d13e6eb1aabb0c3f46965",
}
COUNTS = {
    "MNIST": (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "FMNIST": ([6000] * 10, [1000] * 10),
}
# The mean of the training pixels over 255, as used everywhere to normalise them.
MEANS = {"MNIST": 0.1307, "FMNIST": 0.2860}


def idx(array):
    """The IDX file of an array of bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def gz(content):
    return gzip.compress(content, 1)


def make_files(seed, train=30, test=10):
    """The unpacked files of a made-up set, by role."""
    rng = np.random.default_rng(seed)
    files = {}
    for part, count in (("train", train), ("test", test)):
        files[f"{part}_images"] = idx(rng.integers(0, 256, (count, 28, 28)))
        files[f"{part}_labels"] = idx(rng.permutation(np.arange(count) % 10))
    return files


def source_of(files, **other):
    records = {}
    for role, content in files.items():
        axes = content[3]
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
        records[role] = IdxFile(NAMES[role], shape, hashlib.sha256(content).hexdigest())
    return Source(**records, **{"url": "http://127.0.0.1:9/", **other})


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for role, content in files.items():
        (folder / (NAMES[role] + ".gz")).write_bytes(gz(content))


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_holds(dataset, files):
    for role, content in files.items():
        array, start = getattr(dataset, role), 4 + 4 * content[3]
        raw = np.frombuffer(content, np.uint8, offset=start)
        assert array.dtype == (np.uint8 if role.endswith("images") else np.int64), role
        assert array.shape == ((len(raw) // 784, 784) if role.endswith("images") else (len(raw),)), role
        assert array.flags.c_contiguous and np.array_equal(array.ravel(), raw), role


def refused(*args, words, **options):
    """The text of the DataError that load must raise, after checking it is one line that holds the words."""
    with pytest.raises(DataError) as caught:
        load(*args, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text
    return text


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    """A local HTTP server: `routes` maps a path to bytes or a function of the handler; `seen` lists the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            httpd.seen.append(self.path)
            route = httpd.routes.get(self.path)
            if callable(route):
                route(self)
            elif route is None:
                self.send_error(404)
            else:
                answer(self, route, len(route))

        def log_message(self, *_):
            return

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.routes, httpd.seen, httpd.release = {}, [], threading.Event()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}/"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()

    def stop():
        httpd.release.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()

    httpd.stop = stop
    yield httpd
    if thread.is_alive():
        stop()


def answer(handler, body, length=None):
    """Sends the body; `length` is what Content-Length claims, None for no such line."""
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


# ---- the real sets


@pytest.mark.parametrize("name", ["MNIST", "FMNIST"])
def test_real_set_is_the_published_one(name):
    dataset = load(name, quiet=True)
    assert (dataset.name, dataset.classes) == (name, 10)
    assert dataset.train_images.shape == (60000, 784) and dataset.test_images.shape == (10000, 784)
    for role, md5 in zip(NAMES, MD5[name].split(), strict=True):
        content = gzip.decompress((ROOT / "datasets" / name / (NAMES[role] + ".gz")).read_bytes())
        assert hashlib.md5(content).hexdigest() == md5
        assert_holds(dataset, {role: content})
    assert np.bincount(dataset.train_labels).tolist() == COUNTS[name][0]
    assert np.bincount(dataset.test_labels).tolist() == COUNTS[name][1]
    assert dataset.train_images.mean() / 255 == pytest.approx(MEANS[name], abs=5e-5)


def test_loading_needs_hardly_more_memory_than_the_arrays():
    tracemalloc.start()
    try:
        dataset = load("MNIST", quiet=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < sum(getattr(dataset, role).nbytes for role in ROLES) + 4 * 2**20


def test_import_leaves_the_network_and_the_progress_bar_alone():
    code = "import sys, datasets; print([m for m in ('urllib.request', 'http.client', 'tqdm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_interface_is_frozen():
    assert [field.name for field in fields(datasets.Dataset)] == ["name", *ROLES, "classes"]
    assert {"MNIST", "FMNIST", "KMNIST"} <= set(CATALOGUE)
    for source in CATALOGUE.values():
        assert {role: getattr(source, role).name for role in ROLES} == NAMES
        with pytest.raises(AttributeError):
            source.url = "elsewhere"


def test_unknown_name_lists_the_names():
    refused("CIFAR", words=["'CIFAR'", "FMNIST", "KMNIST", "MNIST"])


# ---- where files are looked for


def test_packed_and_plain_files_load(tmp_path):
    files = make_files(1)
    put(tmp_path / "TINY", files)
    (tmp_path / "TINY" / "t10k-images-idx3-ubyte.gz").unlink()
    (tmp_path / "TINY" / "t10k-images-idx3-ubyte").write_bytes(files["test_images"])
    assert_holds(load("TINY", tmp_path, catalogue={"TINY": source_of(files)}), files)


def test_further_folders_come_second(tmp_path, monkeypatch):
    files = make_files(1)
    put(tmp_path / "system", files)
    monkeypatch.setattr(datasets, "CATALOGUE", {"TINY": source_of(files, folders=(tmp_path / "system",))})
    assert_holds(load("TINY", tmp_path), files)
    assert not (tmp_path / "TINY").exists()
    put(tmp_path / "TINY", {"test_labels": files["test_labels"]})
    (tmp_path / "system" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"never looked at")
    assert_holds(load("TINY", tmp_path), files)


# ---- files that are there but wrong

FILES, OTHER = make_files(1), make_files(2)
IMAGES, LABELS = FILES["train_images"], FILES["train_labels"]
STORED = gzip.compress(IMAGES, 0)
# name: role of the file, what lies there, words of the error
WRONG = {
    "empty": ("train_images", b"", ["empty"]),
    "gzip of nothing": ("train_images", gz(b""), ["truncated", "0 of 23536"]),
    "gzip cut": ("train_images", gz(IMAGES)[:-100], ["truncated"]),
    "gzip without its last byte": ("train_images", gz(IMAGES)[:-1], ["truncated"]),
    "gzip damaged": ("train_images", STORED[:5000] + bytes([STORED[5000] ^ 1]) + STORED[5001:], ["gzip", "CRC"]),
    "gzip of rubbish": ("train_images", gz(IMAGES)[:10] + b"\xff" * 5000, ["gzip"]),
    "no gzip": ("train_images", IMAGES, ["gzip"]),
    "cut in the header": ("train_images", gz(IMAGES[:10]), ["truncated", "10 of 23536"]),
    "cut in the magic number": ("train_images", gz(IMAGES[:3]), ["truncated", "3 of 23536"]),
    "content cut": ("train_images", gz(IMAGES[:-1]), ["truncated", "23535 of 23536"]),
    "content too long": ("train_images", gz(IMAGES + b"\0"), ["is longer than", "23536"]),
    "endless": ("train_images", gz(IMAGES + bytes(10**8)), ["is longer than", "23536"]),
    "one pixel changed": ("train_images", gz(IMAGES[:-1] + bytes([IMAGES[-1] ^ 1])), ["SHA-256"]),
    "labels permuted": ("train_labels", gz(LABELS[:8] + LABELS[:7:-1]), ["SHA-256"]),
    "labels for images": ("train_images", gz(LABELS), ["labels", "2049", "2051"]),
    "images for labels": ("train_labels", gz(IMAGES), ["images", "2051", "2049"]),
    "test for train": ("train_images", gz(FILES["test_images"]), ["shape", "10 x 28 x 28", "30 x 28 x 28"]),
    "train for test": ("test_labels", gz(LABELS), ["shape", "30", "10"]),
    "another set's": ("test_images", gz(OTHER["test_images"]), ["SHA-256", "t10k-images-idx3-ubyte of OTHER"]),
    "floats": ("train_images", gz(b"\0\0\x0d\x03" + IMAGES[4:]), ["magic", "3331", "2051"]),
    "27 rows": ("train_images", gz(idx(np.zeros((30, 27, 28)))), ["shape", "30 x 27 x 28"]),
    "negative count": ("train_images", gz(IMAGES[:4] + b"\xff" * 4 + IMAGES[8:]), ["shape", "4294967295"]),
    "label 10": ("train_labels", gz(LABELS[:11] + b"\x0a" + LABELS[12:]), ["label 10 at index 3", "0 to 9"]),
}


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_file_is_named_and_left_alone(fault, tmp_path, server):
    role, content, words = WRONG[fault]
    put(tmp_path / "TINY", FILES)
    path = tmp_path / "TINY" / (NAMES[role] + ".gz")
    path.write_bytes(content)
    # One file is missing and could be had: a wrong one next to it must stop that too.
    missing = "train_labels" if role == "train_images" else "train_images"
    (tmp_path / "TINY" / (NAMES[missing] + ".gz")).unlink()
    server.routes["/" + NAMES[missing] + ".gz"] = gz(FILES[missing])
    before = snapshot(tmp_path)
    catalogue = {"TINY": source_of(FILES, url=server.url), "OTHER": source_of(OTHER)}
    refused("TINY", tmp_path, catalogue=catalogue, words=[path, "nothing was changed", *words])
    assert snapshot(tmp_path) == before and server.seen == []


def test_wrong_plain_files(tmp_path):
    catalogue = {"TINY": source_of(FILES)}
    for content, word in (
        (b"", "empty"),
        (IMAGES[:-9], "truncated"),
        (IMAGES + b"0", "is longer than"),
        (gz(IMAGES), ".gz"),
    ):
        put(tmp_path / "TINY", FILES)
        (tmp_path / "TINY" / "train-images-idx3-ubyte.gz").unlink()
        (tmp_path / "TINY" / "train-images-idx3-ubyte").write_bytes(content)
        refused("TINY", tmp_path, catalogue=catalogue, words=["train-images-idx3-ubyte ", word])


def test_label_out_of_range_is_refused_even_with_its_checksum(tmp_path):
    files = {**FILES, "test_labels": idx(np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 255]))}
    put(tmp_path / "TINY", files)
    refused("TINY", tmp_path, catalogue={"TINY": source_of(files)}, words=["label 255 at index 9", "0 to 9"])


def test_folder_or_broken_link_in_a_files_place(tmp_path, server):
    for make in (Path.mkdir, lambda path: path.symlink_to("nowhere")):
        put(tmp_path / make.__name__ / "TINY", FILES)
        path = tmp_path / make.__name__ / "TINY" / "train-images-idx3-ubyte.gz"
        path.unlink()
        make(path)
        catalogue = {"TINY": source_of(FILES, url=server.url)}
        refused("TINY", tmp_path / make.__name__, catalogue=catalogue, words=[path, "cannot be read"])
        assert os.path.lexists(path) and server.seen == []


# ---- downloads


@pytest.fixture
def kmnist(server):
    """(unpacked files, catalogue) of KMNIST as served here: a made-up training set, the real test set where at hand."""
    files, source = make_files(3), replace(CATALOGUE["KMNIST"], url=server.url)
    packed = {role: gz(content) for role, content in files.items()}
    if KMNIST_FILES.is_dir():
        for role in ("test_images", "test_labels"):
            packed[role] = (KMNIST_FILES / (NAMES[role] + ".gz")).read_bytes()
            files[role] = gzip.decompress(packed[role])
    else:
        made_up = source_of(files)
        source = replace(source, test_images=made_up.test_images, test_labels=made_up.test_labels)
    for role, shape in (("train_images", (30, 28, 28)), ("train_labels", (30,))):
        record = replace(getattr(source, role), shape=shape, gz_md5=hashlib.md5(packed[role]).hexdigest())
        source = replace(source, **{role: record})
    server.routes.update({f"/{NAMES[role]}.gz": content for role, content in packed.items()})
    return files, {"KMNIST": source}


def test_download_once_then_no_server_needed(kmnist, server, tmp_path, capfd):
    files, catalogue = kmnist
    assert_holds(load("KMNIST", tmp_path / "new" / "folder", catalogue=catalogue), files)
    assert sorted(server.seen) == sorted(f"/{name}.gz" for name in NAMES.values())
    folder = tmp_path / "new" / "folder" / "KMNIST"
    # Byte for byte as served, and nothing else left behind.
    assert {f"/{path.name}": path.read_bytes() for path in folder.iterdir()} == server.routes
    server.stop()
    assert_holds(load("KMNIST", tmp_path / "new" / "folder", catalogue=catalogue), files)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_bar_on_a_terminal_only_when_wanted(quiet, kmnist, tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    load("KMNIST", tmp_path, quiet=quiet, catalogue=kmnist[1])
    shown = terminal.getvalue()
    assert shown == "" if quiet else all(name in shown for name in NAMES.values())


@pytest.mark.parametrize("change", ["unpack", "repack"])
def test_training_files_known_by_md5_must_stay_as_published(change, kmnist, server, tmp_path):
    files, catalogue = kmnist
    (tmp_path / "KMNIST").mkdir()
    path = tmp_path / "KMNIST" / ("train-labels-idx1-ubyte" + (".gz" if change == "repack" else ""))
    path.write_bytes(files["train_labels"] if change == "unpack" else gzip.compress(files["train_labels"], 9, mtime=1))
    words = [path, "supply train-labels-idx1-ubyte.gz"] if change == "unpack" else [path, "MD5"]
    refused("KMNIST", tmp_path, catalogue=catalogue, words=words)
    assert os.listdir(path.parent) == [path.name] and server.seen == []


def cut(handler, body):
    answer(handler, body[: len(body) // 2], len(body))


def stall(handler, body):
    answer(handler, body[: len(body) // 2], len(body))
    handler.server.release.wait(10)


BAD_ANSWERS = {
    "cut": (cut, ["could not be downloaded", "cut after"]),
    "cut, length unknown": (lambda handler, body: answer(handler, body[:-50]), ["thrown away", "truncated"]),
    "stalled": (stall, ["could not be downloaded", "timed out"]),
    "closed at once": (lambda handler, body: handler.connection.close(), ["could not be downloaded"]),
    "no HTTP": (lambda handler, body: handler.wfile.write(b"220 mail\r\n\r\n"), ["the connection failed: 220 mail"]),
    "404": (lambda handler, body: handler.send_error(404), ["404"]),
    "500": (lambda handler, body: handler.send_error(500), ["500"]),
    "a web page": (lambda handler, body: answer(handler, b"<html>log in</html>"), ["gzip"]),
    "wrong content": (lambda handler, body: answer(handler, gz(OTHER["train_images"])), ["MD5"]),
    "too long": (lambda handler, body: answer(handler, body + bytes(200_000)), ["more than"]),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_failed_download_leaves_nothing_and_can_be_repeated(bad, kmnist, server, tmp_path, monkeypatch):
    # a busy machine may be late to answer, but no server that stalls ever answers
    monkeypatch.setattr(datasets.download, "TIMEOUT", 0.5 if bad == "stalled" else 10)
    files, catalogue = kmnist
    behave, words = BAD_ANSWERS[bad]
    put(tmp_path / "KMNIST", {"test_labels": files["test_labels"]})
    before, path = snapshot(tmp_path), "/train-images-idx3-ubyte.gz"
    good = server.routes[path]
    server.routes[path] = lambda handler: behave(handler, good)
    words = [server.url + path[1:], tmp_path / "KMNIST", *(NAMES[role] + ".gz" for role in ROLES[:3]), *words]
    text = refused("KMNIST", tmp_path, catalogue=catalogue, words=words)
    # That one is there, so that nobody need fetch it.
    assert NAMES["test_labels"] not in text
    assert snapshot(tmp_path) == before
    server.routes[path] = good
    monkeypatch.setattr(datasets.download, "TIMEOUT", 10)
    assert_holds(load("KMNIST", tmp_path, catalogue=catalogue), files)


def test_no_server(kmnist, server, tmp_path):
    server.stop()
    words = [server.url, "no connection: ", "refused", *(name + ".gz" for name in NAMES.values()), tmp_path / "KMNIST"]
    refused("KMNIST", tmp_path, catalogue=kmnist[1], words=words)
    assert snapshot(tmp_path) == {}


def test_files_that_did_arrive_are_kept_and_not_asked_for_again(kmnist, server, tmp_path):
    good = server.routes.pop("/t10k-images-idx3-ubyte.gz")
    text = refused("KMNIST", tmp_path, catalogue=kmnist[1], words=["404", "put t10k-images-idx3-ubyte.gz, t10k-labels"])
    assert "train" not in text
    assert sorted(os.listdir(tmp_path / "KMNIST")) == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    server.routes["/t10k-images-idx3-ubyte.gz"] = good
    assert_holds(load("KMNIST", tmp_path, catalogue=kmnist[1]), kmnist[0])
    assert len(server.seen) == 5


@pytest.mark.parametrize("taken", ["data", "data/KMNIST"])
def test_folder_that_cannot_be_written(taken, kmnist, server, tmp_path):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_bytes(b"a file where a folder is needed")
    before = snapshot(tmp_path)
    refused("KMNIST", tmp_path / "data", catalogue=kmnist[1], words=[tmp_path / "data" / "KMNIST", "cannot be written"])
    assert snapshot(tmp_path) == before and server.seen == []


def test_full_disk(kmnist, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    words = [tmp_path / "KMNIST", "cannot be written", os.strerror(errno.ENOSPC)]
    refused("KMNIST", tmp_path, catalogue=kmnist[1], words=words)
    assert snapshot(tmp_path) == {}


def test_file_that_appears_during_the_download_is_not_overwritten(kmnist, server, tmp_path):
    files, catalogue = kmnist
    path, good = tmp_path / "KMNIST" / "train-images-idx3-ubyte.gz", server.routes["/train-images-idx3-ubyte.gz"]

    def appear(handler):
        path.write_bytes(b"put here by somebody else")
        answer(handler, good, len(good))

    server.routes["/train-images-idx3-ubyte.gz"] = appear
    assert_holds(load("KMNIST", tmp_path, catalogue=catalogue), files)
    assert path.read_bytes() == b"put here by somebody else"
    assert sorted(os.listdir(path.parent)) == sorted(name + ".gz" for name in NAMES.values())


CHILD = """
import dataclasses, signal, sys, datasets
signal.signal(signal.SIGINT, signal.default_int_handler)
source = dataclasses.replace(datasets.CATALOGUE["KMNIST"], url=sys.argv[1])
datasets.load("KMNIST", sys.argv[2], catalogue={"KMNIST": source})
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_download(number, kmnist, server, tmp_path):
    files, catalogue = kmnist
    path = "/train-images-idx3-ubyte.gz"
    good, folder = server.routes[path], tmp_path / "KMNIST"
    server.routes[path] = lambda handler: stall(handler, good)
    child = subprocess.Popen([sys.executable, "-c", CHILD, server.url, tmp_path], cwd=ROOT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 10
    while not (server.seen and folder.is_dir() and os.listdir(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [name.endswith(".part") for name in os.listdir(folder)] == [True]
    child.send_signal(number)
    stderr = child.communicate(timeout=10)[1]
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in stderr and os.listdir(folder) == []
    # After kill -9 the half file stays, but under a name that nothing takes for data.
    server.routes[path] = good
    assert_holds(load("KMNIST", tmp_path, catalogue=catalogue), files)
