"""The benchmarks run, and count the products that a minibatch asks for."""

import json

import numpy as np
import pytest

from benchmarks import dfc_costs, dfc_peers, dfc_speed, peers
from core.workers import Workers


def test_the_benchmark_of_system_2_fills_its_table(tmp_path, capsys):
    file = tmp_path / "rows.json"
    assert dfc_speed.main(["--quick", "--alone", "--rounds=1", "--threads", "1", f"--json={file}"]) == 0
    head, rule, *lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
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
    """numpy, whose `empty` makes Counted arrays."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, *shape, **options):
        return np.empty(*shape, **options).view(Counted)


@pytest.mark.parametrize("name", dfc_peers.CASES)
def test_the_products_of_a_minibatch_are_those_that_the_program_computes(name, monkeypatch):
    case, rows = dfc_peers.CASES[name], 4
    # learning from every sample: those that do not converge would be simulated in vain
    changed = {"tmax_di": 4, "tmax_di_fb": 3, "include_non_converged_samples": True}
    with Workers(1) as workers:
        work = dfc_peers.prepare(case, "float64", workers, rows, **changed)
        net = work.run.learner.net
        net.weights, net.feedback = ([array.view(Counted) for array in arrays] for arrays in (net.weights, net.feedback))
        monkeypatch.setattr("dfc.time_sums.array_module", lambda *arrays: CountedEmpty())
        monkeypatch.setattr(Counted, "flops", 0)
        work.step(0)
    expected = sum(2 * times * m * k * n for times, m, k, n in dfc_costs.products(work, case.phase, rows))
    assert Counted.flops == expected


def test_a_minibatch_of_the_benchmark_of_system_1_runs(monkeypatch):
    monkeypatch.setattr(peers, "LARGE", 8)
    step, matmul = peers.suite("BP", 0.0, "float64", 1, 1)
    assert step > matmul > 0.0
