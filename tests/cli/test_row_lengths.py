"""figures/row_lengths.py: orthogonal weights whose rows have known lengths, its files, and what it refuses."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from core.streams import haar_orthogonal
from figures import row_lengths
from tests.runs_for_tests import make_run

SIZES = (12, 12, 12)
LENGTHS = (1.5, 0.8, 2.0)


def orthogonal(lengths, spread=0.0):
    """Orthogonal matrices whose rows have these lengths, times 1 - spread … 1 + spread."""
    random = np.random.default_rng(3)
    factors = [np.linspace(1 - spread, 1 + spread, size)[:, None] for size in SIZES]
    return [c * f * haar_orthogonal(random, len(f), len(f)) for c, f in zip(lengths, factors, strict=True)]


def images(count=20):
    random = np.random.default_rng(4)
    return random.integers(1, 256, (count, SIZES[0]), dtype=np.uint8), random.integers(0, 10, count)


@pytest.fixture
def small(monkeypatch):
    pixels, labels = images()
    data = SimpleNamespace(train_images=pixels, train_labels=labels)
    monkeypatch.setattr(row_lengths, "datasets", SimpleNamespace(load=lambda *_: data))


def made(folder, weights, seed=1, **options):
    """A finished run of run.py with these weights."""
    make_run(folder, "run.py", seed, linear=False, **options)
    for l, w in enumerate(weights):
        np.save(folder / f"{l}Lweights.npy", w)
        np.save(folder / f"{l}Lbiases.npy", np.full(len(w), 0.1))
    return folder


def numbers(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_rows_of_one_length_scale_the_update_by_its_square(small, tmp_path):
    """W = c O: the inverse is W^T / c^2, so that every layer above divides GAIT-prop's update by c^2; no angle."""
    run = made(tmp_path / "run", orthogonal(LENGTHS))
    table = tmp_path / "table.csv"
    assert row_lengths.main([str(run), f"--output={tmp_path / 'a.png'}", f"--table={table}"]) == 0
    rows = numbers(table)
    assert [float(row["length"]) for row in rows] == pytest.approx(LENGTHS)
    assert [float(row["spread"]) for row in rows] == pytest.approx([0, 0, 0], abs=1e-12)
    expected = [1 / (LENGTHS[1] * LENGTHS[2]) ** 2, 1 / LENGTHS[2] ** 2, 1]
    assert [float(row["size"]) for row in rows] == pytest.approx(expected, rel=1e-6)
    assert [float(row["unit_size"]) for row in rows] == pytest.approx([1, 1, 1], rel=1e-6)
    assert [float(row[name]) for row in rows for name in ("angle", "unit_angle")] == pytest.approx([0] * 6, abs=1e-4)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_rows_of_different_lengths_turn_the_update_until_they_are_divided_by_them(small, tmp_path):
    made(tmp_path / "one", orthogonal(LENGTHS, spread=0.5))
    made(tmp_path / "two", orthogonal(LENGTHS, spread=0.5), seed=2)
    table = tmp_path / "table.csv"
    folders = [str(tmp_path / name) for name in ("one", "two")]
    assert row_lengths.main([*folders, f"--output={tmp_path / 'a.png'}", f"--table={table}", "--images=7"]) == 0
    rows = numbers(table)
    assert [row["n"] for row in rows] == ["2"] * 3
    assert all(float(row["angle"]) > 1 for row in rows[:2]) and float(rows[2]["angle"]) == pytest.approx(0, abs=1e-4)
    assert [float(row["unit_angle"]) for row in rows] == pytest.approx([0] * 3, abs=1e-4)


def test_weights_that_are_not_orthogonal_turn_it_in_any_case(small, tmp_path):
    random = np.random.default_rng(5)
    run = made(tmp_path / "run", [w + 0.2 * random.standard_normal(w.shape) for w in orthogonal((1, 1, 1))])
    table = tmp_path / "table.csv"
    assert row_lengths.main([str(run), f"--output={tmp_path / 'a.png'}", f"--table={table}"]) == 0
    assert float(numbers(table)[0]["unit_angle"]) > 1


BAD = {
    "no weights": (lambda folder: made(folder, []), "has no weights of a finished run of run.py"),
    "of main.py": (lambda folder: make_run(folder, "main.py"), "is a run of main.py, not of run.py"),
    "damaged": (
        lambda folder: (made(folder, orthogonal(LENGTHS)) / "1Lweights.npy").write_bytes(b"\x93NUMPY"),
        "1Lweights.npy cannot be read",
    ),
    "a bias is missing": (
        lambda folder: (made(folder, orthogonal(LENGTHS)) / "2Lbiases.npy").unlink(),
        "has no weights of a finished run",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_finished_run_is_refused(case, small, tmp_path, capsys):
    make, sentence = BAD[case]
    make(tmp_path / "run")
    assert row_lengths.main([str(tmp_path / "run"), f"--output={tmp_path / 'a.png'}"]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
