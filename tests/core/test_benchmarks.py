"""The benchmarks run, and count the products that a minibatch asks for."""

import json
import sys

import numpy as np
import pytest

from benchmarks import dfc_costs, dfc_peers, dfc_speed, gpu, peers, seeds, speed
from core.backend import Workers
from utils import join


def test_the_benchmark_of_system_2_fills_its_table(tmp_path, capsys):
    file = tmp_path / "rows.json"
    words = [
        "--tiny",
        "--alone",
        "--rounds=1",
        "--threads",
        "1",
        f"--json={file}",
        f"--markdown={tmp_path / 'table.md'}",
    ]
    assert dfc_speed.main(words) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == printed
    head, rule, *lines = [line for line in printed.splitlines() if line.startswith("|")]
    rows = json.loads(file.read_text())
    expected = [(precision, 1, name) for precision in ("float64", "float32") for name in dfc_peers.CASES]
    assert sorted((row["precision"], row["threads"], row["minibatch"]) for row in rows) == sorted(expected)
    assert [line.split(" | ")[2] for line in lines] == [row["minibatch"] for row in rows]
    assert {line.count("|") for line in (head, rule, *lines)} == {13}
    for row in rows:
        assert row["here"] > 0.0 and row["products"] > 0.0 and row["torch"] is row["jax"] is row["published"] is None
        assert (row["random"] > 0.0) == row["minibatch"].endswith("feedback")


def test_every_case_is_measured_and_has_a_published_time():
    measured = [name for cases, _ in dfc_speed.PROCESSES for name in cases]
    assert sorted(measured) == sorted(dfc_peers.CASES) == sorted(dfc_speed.PUBLISHED)


def test_the_benchmark_of_several_seeds_fills_its_table(monkeypatch, capsys):
    """Both networks and both precisions; a stack of two costs something."""
    monkeypatch.setattr(seeds, "RULES", ("DFA", "DFC-SSA, feedback"))
    assert seeds.main(["--seeds=2", "--samples=16", "--steps=1"]) == 0
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    rows = [row for row in rows if len(row) == 6][2:]
    assert [row[1] for row in rows] == 2 * (2 * ["DFA"] + 2 * ["DFC-SSA, feedback"])
    assert [row[0] for row in rows] == 4 * ["15-10-10-5"] + 4 * ["784-256-256-256-10"]
    for *_, one, many, ratio in rows:
        assert float(ratio) == pytest.approx(float(many) / float(one), abs=0.06)


class Counted(np.ndarray):
    """An array that adds up the operations of the matrix products it takes part in; results are such arrays again.

    Scalar products, which are those of norms, do not count.
    """

    flops = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out:
            options["out"] = tuple(map(np.asarray, out))
        result = getattr(ufunc, method)(*map(np.asarray, inputs), **options)
        if ufunc is np.matmul and result.shape[-2:] != (1, 1):
            Counted.flops += 2 * result.size * inputs[0].shape[-1]
        return out[0] if out else result.view(Counted) if isinstance(result, np.ndarray) else result


class CountedEmpty:
    """numpy, whose `empty` and `concatenate` make Counted arrays."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, *shape, **options):
        return np.empty(*shape, **options).view(Counted)

    def concatenate(self, arrays, axis):
        return np.concatenate(list(map(np.asarray, arrays)), axis).view(Counted)


@pytest.mark.parametrize("name", dfc_peers.CASES)
def test_the_products_of_a_minibatch_are_those_that_the_program_computes(name, monkeypatch):
    case, rows = dfc_peers.CASES[name], 4
    # learning from every sample: those that do not converge would be simulated in vain
    changed = {"tmax_di": 4, "tmax_di_fb": 3, "include_non_converged_samples": True}
    with Workers(1) as workers:
        work = dfc_peers.prepare(case, "float64", workers, rows, **changed)
        net = work.run.learner.net
        net.weights, net.feedback = (
            [array.view(Counted) for array in arrays] for arrays in (net.weights, net.feedback)
        )
        for module in ("dfc.time_block", "dfc.controller"):
            monkeypatch.setattr(f"{module}.array_module", lambda *arrays: CountedEmpty())
        monkeypatch.setattr("dfc.stacked.join", lambda arrays, axis: join(arrays, axis).view(Counted))
        monkeypatch.setattr(Counted, "flops", 0)
        work.step(0)
    expected = sum(2 * times * m * k * n for times, m, k, n in dfc_costs.products(work, case.phase, rows))
    assert Counted.flops == expected


def test_a_minibatch_of_the_benchmark_of_system_1_runs(monkeypatch):
    monkeypatch.setattr(peers, "LARGE", 8)
    step, matmul = peers.suite("BP", 0.0, "float64", 1, 1)
    assert step > matmul > 0.0


def test_the_benchmark_of_system_1_fills_its_table(monkeypatch, tmp_path, capsys):
    """Made-up measurements: JAX, PyTorch and this program take 1, 2 and 3 ms; GAIT takes twice as long as BP."""
    asked = []

    def measure(side, case, precision, threads):
        asked.append((side, case[2], precision, threads))
        return {
            "step": {"suite": 3e-3, "torch": 2e-3, "jax": 1e-3}[side] * (1 + (case[0] == "GAIT")),
            "matmul_rate": 1e12,
        }

    monkeypatch.setattr(speed, "measure", measure)
    monkeypatch.setattr(speed, "installed", list)
    assert speed.main(["--quick", "--threads", "1", "2", f"--markdown={tmp_path / 'table.md'}"]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == printed
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in printed.splitlines()
        if line.startswith("| float")
    ]
    assert [row[:4] for row in rows[:3]] == [
        ["float32", "1", *case] for case in (["BP", "0.0"], ["BP", "0.1"], ["GAIT", "0.1"])
    ]
    assert [row[4:8] for row in rows[:3]] == 2 * [["3.0", "2.0", "1.0", "3.00"]] + [["6.0", "4.0", "2.0", "3.00"]]
    assert len(rows) == 12 and len(asked) == 36 and {rounds for _, rounds, *_ in asked} == {30, 10}
    assert printed.count("2.00.") == 4
    assert float(rows[0][8]) == pytest.approx(2 * 14 * 60 * 784**2 / 3e-3 / 1e12, abs=0.005)


@pytest.mark.parametrize("wrong", (["--threads", "0"], ["--rounds=-1"], ["--rounds=x"]))
def test_a_benchmark_refuses_numbers_that_mean_nothing(wrong, capsys):
    for program in (speed, dfc_speed):
        with pytest.raises(SystemExit) as stop:
            program.main(wrong)
        assert stop.value.code == 2 and "must be a whole number above 0" in capsys.readouterr().err


def test_the_script_for_a_gpu_carries_out_all_parts_without_one(monkeypatch, tmp_path, capfd):
    """A GPU is at hand for minutes: nothing may fail there that could have failed here."""
    monkeypatch.setattr(peers, "SIZE", 12)
    monkeypatch.setattr(gpu, "SEEDS_1", (1, 2))
    monkeypatch.setattr(gpu, "SEEDS_2", (2,))
    monkeypatch.setattr(gpu, "torch_steps", lambda *_: {("run.py", "BP", 0.0): {"step": 0.5, "graph": 0.25}})
    before = sys.modules.get("cupy")
    assert gpu.main(["--dry_run", f"--out={tmp_path}", "--minutes=5"]) == 0
    assert sys.modules.get("cupy") is before
    page = (tmp_path / "steps.md").read_text()
    printed = capfd.readouterr().out.splitlines()
    assert all(line in printed for line in page.splitlines()) and "tests that need a GPU: " in page
    lines = [line for line in page.splitlines() if line.startswith(("| run", "| main"))]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [(row[1], row[3]) for row in rows] == [
        *((case[1], seeds) for case in gpu.SYSTEM_1 for seeds in "12"), *((case[1], "2") for case in gpu.SYSTEM_2),
    ]  # fmt: skip
    assert all(float(number) > 0 for row in rows for number in row[4:9]) and rows[0][9:] == ["500", "250"]
    told = json.loads((tmp_path / "steps.json").read_text())
    assert [(row["program"], row["launches"]) for row in told["rows"]] == [(row[0], int(row[8])) for row in rows]
    assert "mnist_dfc_ssa: 2 seeds at once, epochs [1, 1]" in page


def test_a_part_of_the_script_for_a_gpu_that_fails_stops_no_other(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "SYSTEM_2", (("main.py", "no such case", 0.0),))
    monkeypatch.setattr(gpu, "SYSTEM_1", ())
    for name, answer in (("tests", True), ("train", True), ("torch_steps", {})):
        monkeypatch.setattr(gpu, name, lambda *_, answer=answer: answer)
    words = ["--dry_run", f"--out={tmp_path}", "--minutes=5"]
    assert gpu.main(words) == 1
    assert (tmp_path / "steps.md").read_text().count("failed: KeyError") == 2
    assert [row["failed"] for row in json.loads((tmp_path / "steps.json").read_text())["rows"]] == ["KeyError"] * 2
    for name in ("tests", "torch_steps"):
        monkeypatch.setattr(gpu, name, lambda *_: 1 / 0)
    assert gpu.main(words) == 1
    page = (tmp_path / "steps.md").read_text()
    assert page.count("failed: ZeroDivisionError") == 2 and page.count("failed: KeyError") == 2


def test_times_of_pytorch_count_as_far_as_they_come(monkeypatch, tmp_path):
    """Its process may die, be killed, or print something else in between."""
    script = tmp_path / "benchmarks" / "gpu_torch.py"
    script.parent.mkdir()
    case = """["run.py", "BP", 0.0], "step": 2.0, "graph": """
    lines = [f'{{"case": {case}{graph}}}' for graph in ("null", "1.0")]
    script.write_text(f"print(*{[*lines, 'a warning']}, sep=chr(10)); raise SystemExit(3)")
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: name)
    page = gpu.Page()
    assert gpu.torch_steps(page, "tiny", 60.0) == {("run.py", "BP", 0.0): {"step": 2.0, "graph": 1.0}}


def test_the_script_for_a_gpu_says_that_there_is_none(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu.main([f"--out={tmp_path / 'none'}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "none").exists()
