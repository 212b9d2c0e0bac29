"""Steps that are recorded once and then repeated (core/replay.py): the bits of a run are those of steps as they are
written, whatever a step depends on."""

import numpy as np
import pytest

from core import backend as backend_module
from core import together
from core.backend import select_backend
from core.optimisers import Optimiser
from core.replay import Replay
from tests.device import networks
from tests.device.recording import MORE, RUNS, AsWritten, RecordableBlas, Unrecordable, both
from tests.faults.tiny_main import VARIANTS, checkpoint, in_process


@pytest.fixture
def recordable(gpu, monkeypatch):
    """The stand-in of a GPU whose cuBLAS can be called while a graph is recorded."""
    gpu.float_type = np.dtype("float64")
    monkeypatch.setattr(backend_module, "blas_of", lambda xp: RecordableBlas(gpu))
    return gpu


@pytest.mark.parametrize(("rule", "more", "seeds"), RUNS)
def test_recorded_steps_have_the_bits_of_steps_as_they_are_written(
    recordable, monkeypatch, tmp_path, rule, more, seeds
):
    """A graph repeats what it was recorded with: a number that changes from step to step, and is not read from the
    device, would be that of the second step for ever."""
    call = in_process(tmp_path, monkeypatch)
    options = [*VARIANTS[rule], "--backend=cupy", "--batch_size=4", *MORE[more], *seeds]
    recorded, written = both(monkeypatch, tmp_path, lambda folder: call(*options, f"--out_dir={folder}"), seeds)
    assert recorded == written
    # Of the batches in a pass the first is made as it is written, and where every batch is measured, all are.
    # The joint rule has no memory-saving variant.
    assert recordable.launches["graph"] > 0 or recorded[0] == 2


@pytest.mark.parametrize("rule", ("DFC-SSA", "Strong-DFC"))
def test_a_run_of_recorded_steps_that_is_continued_has_the_bits_of_the_whole(recordable, monkeypatch, tmp_path, rule):
    call = in_process(tmp_path, monkeypatch)
    options = [*VARIANTS[rule], "--backend=cupy", "--batch_size=4", "--optimizer=Adam", "--lr=1e-6"]
    assert call(*options) == 0
    assert call(*options, "--epochs=1", f"--out_dir={tmp_path / 'parts'}") == 0
    assert call(*options, "--load", f"--out_dir={tmp_path / 'parts'}") == 0
    assert checkpoint(tmp_path / "parts") == checkpoint(tmp_path / "run")


@pytest.mark.parametrize("variant", networks.VARIANTS)
def test_recorded_steps_of_run_have_the_bits_of_steps_as_they_are_written(recordable, run_main, monkeypatch, variant):
    """Rules that invert are not recorded; BP is."""
    options = [*networks.command(variant), "--backend=cupy", "--batch_size=20", "--orthogonal_reg=0.1"]
    _, recorded = run_main(*options, results="recorded")
    assert (recordable.launches["graph"] > 0) == (variant == "BP")
    monkeypatch.setattr(together, "Replay", AsWritten)
    _, written = run_main(*options, results="written")
    names = sorted(file.name for file in written.glob("*L*.npy"))
    assert names and all((recorded / name).read_bytes() == (written / name).read_bytes() for name in names)


def learner_and_batch(gpu, variant="BP"):
    backend = select_backend("cupy", 0, "float64")
    learner, samples = networks.build_learner(backend, variant), networks.samples(backend)
    return learner, lambda rows: samples.batch(rows[0])


def parameters(learner):
    return [p.get().tobytes() for p in learner.net.parameters]


class NoKernel(Optimiser):
    """p <- p - lr g, without a kernel."""

    def _change(self, xp, index, g, moments, out):
        xp.multiply(g, self.learning_rate[index], out=out)


def without_kernel(learner):
    learner.optimiser = NoKernel(learner.net.parameters, 0.1, 0.0, ())


def refused(learner):
    learner.recordable = False


def waits(learner):
    step = learner.step
    learner.step = lambda *batch: (float(learner.net.parameters[0][0, 0]), step(*batch))


def fails_at_the_end(learner):
    step = learner.step

    def stepping(*batch):
        step(*batch)
        float(learner.net.parameters[0][0, 0])

    learner.step = stepping


@pytest.mark.parametrize("hinder", (without_kernel, refused, waits, fails_at_the_end))
def test_a_learner_that_cannot_be_recorded_goes_on_as_it_is_written(recordable, hinder):
    """Also one whose step fails after it has counted: the step is made once, and counted once."""
    found = []
    for form in (Replay, AsWritten):
        learner, batch = learner_and_batch(recordable)
        hinder(learner)
        steps = form(learner, batch)
        for start in (0, 4, 8, 12):
            steps.step([slice(start, start + 4)], (0, start // 4))
        found.append((parameters(learner), learner.optimiser.steps))
    assert found[0] == found[1] and found[0][1] == 4
    assert recordable.launches["graph"] == 0


def test_a_step_that_fails_while_it_is_recorded_leaves_the_learner_as_it_was(recordable):
    """core.together then makes the step of each seed alone."""
    learner, batch = learner_and_batch(recordable)
    steps, step = Replay(learner, batch), learner.step
    steps.step([slice(0, 4)], (0, 0))
    before, version = parameters(learner), learner.net.layers[0].version

    def unsolvable(*parts):
        step(*parts)
        raise ZeroDivisionError

    learner.step = unsolvable
    with pytest.raises(ZeroDivisionError):
        steps.step([slice(4, 8)], (0, 1))
    assert parameters(learner) == before and learner.optimiser.steps == 1
    assert recordable.recorder.recording is None and learner.net.layers[0].version > version + 1


def test_a_shortage_of_memory_ends_a_recording(recordable):
    """Where a request fails, a pool of cupy gives back what is free in it, and what a graph uses is free in it."""
    found = []
    for form in (Replay, AsWritten):
        learner, batch = learner_and_batch(recordable)

        def stepping(*parts, step=learner.step):
            if recordable.recorder.recording is not None:
                recordable.shortages = 1
                recordable.recorder.pool.malloc(8)
            step(*parts)

        learner.step, steps = stepping, form(learner, batch)
        for start in (0, 4, 8):
            steps.step([slice(start, start + 4)], (0, start))
        found.append((parameters(learner), learner.optimiser.steps))
    assert found[0] == found[1] and recordable.launches["graph"] == 0


def test_a_pool_of_a_graph_asks_again_while_nothing_is_recorded(recordable):
    learner, batch = learner_and_batch(recordable)
    recordable.shortages = 1
    Replay(learner, batch)._pool.malloc(8)
    assert recordable.shortages == 0
    recordable.shortages = 2
    with pytest.raises(RuntimeError):
        Replay(learner, batch)._pool.malloc(8)


def test_a_short_batch_is_made_as_it_is_written(recordable):
    found = []
    for form in (Replay, AsWritten):
        recordable.launches.clear()
        learner, batch = learner_and_batch(recordable)
        steps = form(learner, batch)
        for start, stop in ((0, 8), (8, 16), (16, 20), (4, 12)):
            steps.step([slice(start, stop)], (0, start))
        found.append((parameters(learner), recordable.launches["graph"]))
    assert found[0][0] == found[1][0] and [graphs for _, graphs in found] == [2, 0]


def test_more_samples_within_a_pass_take_nothing_from_its_graph(recordable):
    """A run that measures within epochs (--eval_interval) and was continued near the end of one does so in its second
    pass for the first time."""
    found = []
    for form in (Replay, AsWritten):
        backend = select_backend("cupy", 0, "float64")
        learner, samples = networks.build_learner(backend), networks.samples(backend)
        for _ in range(2):
            steps = form(learner, lambda rows, samples=samples: samples.batch(rows[0]))
            for start in (0, 4, 8):
                steps.step([slice(start, start + 4)], (0, start))
        samples.inputs(slice(0, 20))
        steps.step([slice(0, 4)], (0, 3))
        found.append(parameters(learner))
    assert found[0] == found[1] and recordable.launches["graph"] == 5


def test_the_stand_in_makes_what_is_recorded_at_a_launch_alone(recordable):
    """Otherwise the tests above would prove nothing."""
    xp = recordable.cupy
    a, b, stream, pool = xp.asarray([1.0, 2.0]), xp.zeros(2), xp.cuda.get_current_stream(), xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        b += a * 2.0
        c = b.sum()
        graph = stream.end_capture()
    assert b.get().tolist() == [0.0, 0.0]
    for times in (1, 2):
        graph.launch()
        assert b.get().tolist() == [2.0 * times, 4.0 * times] and float(c) == 6.0 * times


def test_the_stand_in_refuses_a_graph_whose_memory_was_given_back(recordable):
    """That of its own pool is handed to nobody else, as long as there is that pool."""
    xp, stream = recordable.cupy, recordable.cupy.cuda.get_current_stream()

    def recorded(pool):
        with xp.cuda.using_allocator(pool.malloc):
            a = xp.zeros(2)
        b = xp.zeros(2)
        stream.begin_capture()
        a += 1.0
        b += a
        return stream.end_capture(), b

    pool = xp.cuda.MemoryPool()
    graph, b = recorded(pool)
    graph.launch()
    assert b.get().tolist() == [1.0, 1.0]
    del b
    with pytest.raises(Unrecordable):
        graph.launch()
    without_pool = recorded(pool)
    del pool
    with pytest.raises(Unrecordable):
        without_pool[0].launch()


def test_the_stand_in_refuses_to_record_what_cuda_would_record_wrongly(recordable):
    xp, stream = recordable.cupy, recordable.cupy.cuda.get_current_stream()
    a = xp.ones((2, 2))
    stream.begin_capture()
    with pytest.raises(Unrecordable):
        xp.asarray(np.ones(2))
    with pytest.raises(Unrecordable):
        a.set(np.ones((2, 2)))
    with pytest.raises(NotImplementedError):
        a @ a
    with pytest.raises(RuntimeError):
        float(a[0, 0])
    stream.end_capture()
