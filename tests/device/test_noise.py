"""Noise that a GPU draws by itself: its distribution, what it depends on, and runs that are
interrupted, alone or in a stack."""

import json
import math

import numpy as np
import pytest

from core.backend import select_backend
from core.device_kernels import NORMALS
from core.streams import noise_key
from dfc.draws import Draws, noise_of_seeds
from tests.device.philox import philox
from tests.faults.tiny_main import RULES, arrays, checkpoint, in_process, results

ONES = 0xFFFFFFFF
# (counter, key): the words that the authors publish with the generator (Random123, kat_vectors).
KNOWN = {
    ((0, 0, 0, 0), (0, 0)): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ((ONES, ONES, ONES, ONES), (ONES, ONES)): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)): (
        0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1,
    ),
}  # fmt: skip
NOISY = ("DFC", "DFC-SS", "DFC-SSA", "Strong-DFC")
FLAGS = ("--fb_learning_rule=normal_controller", "--optimizer=Adam", "--lr=1e-6", "--backend=cupy")


@pytest.mark.parametrize("case", KNOWN)
def test_the_generator_has_the_published_words(case):
    assert tuple(int(word) for word in philox(*case)) == KNOWN[case]


def normals(gpu, shape, seed=1, place=0, first=0):
    key = gpu.cupy.asarray(np.array(noise_key(seed)))
    z = gpu.cupy.empty(shape, dtype=gpu.float_type)
    NORMALS(key, place, first, math.prod(shape), z)
    return z.get().astype(np.float64)


def test_normals_have_their_moments_and_distribution(gpu, precision):
    """Means of z^k within 5 standard errors; Kolmogorov, Smirnov: sqrt(n) times the distance exceeds
    1.95 once in 1,000 cases."""
    gpu.float_type = np.dtype(precision)
    z = normals(gpu, (400, 1000))
    for k, mean, square in ((1, 0, 1), (2, 1, 3), (3, 0, 15), (4, 3, 105)):
        assert abs((z**k).mean() - mean) < 5 * math.sqrt((square - mean**2) / z.size)
    expected = np.array([0.5 * math.erfc(-x) for x in (np.sort(z.ravel()) * math.sqrt(0.5)).tolist()])
    steps = np.arange(z.size + 1) / z.size
    assert max((steps[1:] - expected).max(), (expected - steps[:-1]).max()) * math.sqrt(z.size) < 1.95


def test_neighbours_are_independent(gpu):
    """Of index, place and seed: a correlation of n pairs has the deviation 1 / sqrt(n)."""
    n = 100_000
    z = normals(gpu, (n,))
    others = [normals(gpu, (n,), seed=2), *(normals(gpu, (n,), place=1 << shift) for shift in (0, 16, 40))]
    for other in (z[:-1], *(each[1:] for each in others)):
        assert abs(z[1:] @ other) < 5 * math.sqrt(n)


def like(gpu, seeds=()):
    """Arrays as the layers of a simulation have them: one that lies in memory as it is, one that is turned."""
    return [gpu.cupy.empty((*seeds, 4, 3)), gpu.cupy.empty((*seeds, 2, 4)).swapaxes(-1, -2)]


def drawn(noise, arrays):
    """The noise of three steps and of two more, as host arrays."""
    return [layer.get() for steps in (3, 2) for layer in noise.fill(steps, arrays)]


def test_noise_depends_on_seed_place_and_part_alone(gpu):
    """Else a run that was interrupted would go on with other noise than it would have had."""
    backend = select_backend("cupy")
    places = [((passed, batch), part) for passed in range(2) for batch in range(2) for part in range(2)]

    def words(seed):
        draws = Draws(seed, backend)
        return [layer.tobytes() for place in places for layer in drawn(draws.noise(*place), like(gpu))]

    first, again, other = words(1), words(1), words(2)
    assert first == again and len({*first, *other}) == 2 * len(first)


def test_noise_of_several_seeds_is_that_of_each(gpu):
    backend = select_backend("cupy")
    draws = [Draws(seed, backend) for seed in (4, 2, 7)]
    drawn(draws[0].noise((0, 0), 0), like(gpu))
    uploads = gpu.uploads
    with gpu.no_synchronisation():
        noise = noise_of_seeds([each.noise((1, 2), 3) for each in draws])
        layers = [layer.copy() for steps in (3, 2) for layer in noise.fill(steps, like(gpu, (3,)))]
    assert gpu.uploads == uploads
    assert [layer.shape for layer in layers] == [(3, 3, 4, 3), (3, 3, 4, 2), (2, 3, 4, 3), (2, 3, 4, 2)]
    for seed, source in enumerate(draws):
        for mine, alone in zip(layers, drawn(source.noise((1, 2), 3), like(gpu)), strict=True):
            np.testing.assert_array_equal(mine.get()[:, seed], alone)


def test_the_host_draws_on_a_cpu_and_where_it_is_asked_to(gpu):
    for name, host_noise, on_device in (("cupy", False, True), ("cupy", True, False), ("numpy", False, False)):
        assert Draws(1, select_backend(name), host_noise).on_device == on_device


@pytest.mark.parametrize("rule", NOISY)
def test_a_run_with_noise_of_the_gpu_goes_on_alone_as_in_a_stack(gpu, rule, tmp_path, monkeypatch):
    """The same command with the same seed is the same experiment, whatever happened to it on the way."""
    call = in_process(tmp_path, monkeypatch)
    options = [*RULES[rule], *FLAGS]
    assert call(*options, "--random_seed=3") == 0
    assert call(*options, "--seeds=2-3", "--epochs=1", f"--out_dir={tmp_path / 'stack'}") == 0
    assert call(*options, "--random_seed=3", "--load", f"--out_dir={tmp_path / 'stack' / 'seed_3'}") == 0
    whole, resumed = tmp_path / "run", tmp_path / "stack" / "seed_3"
    for name, array in arrays(whole).items():
        np.testing.assert_allclose(arrays(resumed)[name], array, rtol=1e-9, atol=1e-12)
    assert call(*options, "--random_seed=3", "--epochs=1", f"--out_dir={tmp_path / 'parts'}") == 0
    assert call(*options, "--random_seed=3", "--load", f"--out_dir={tmp_path / 'parts'}") == 0
    assert results(tmp_path / "parts") == results(whole)
    assert checkpoint(tmp_path / "parts") == checkpoint(whole)


def settings_of(folder):
    return json.loads((folder / "config.json").read_text())["settings"]


def test_the_noise_of_a_run_is_recorded_and_stays_what_it_was(gpu, tmp_path, monkeypatch, capsys):
    """Noise of another kind is another experiment: --load refuses to change it, in either direction."""
    call, one = in_process(tmp_path, monkeypatch), "--epochs=1"
    ways = {"device": [], "host": ["--host_noise"], "cpu": ["--backend=numpy"]}
    for name, words in ways.items():
        assert call(*RULES["DFC-SS"], *FLAGS, *words, one, f"--out_dir={tmp_path / name}") == 0
        told = json.loads((tmp_path / name / "config.json").read_text())
        assert told["options"]["host_noise"] == (name != "device")
        assert told["settings"].get("host_noise") == (False if name == "device" else None)
    capsys.readouterr()
    changes = (("device", ways["host"], False), ("device", ways["cpu"], False), ("cpu", [], True), ("host", [], True))
    for name, words, made in changes:
        assert call(*RULES["DFC-SS"], *FLAGS, *words, "--load", f"--out_dir={tmp_path / name}") == 2
        assert f"was made with host_noise = {made}, not {not made}" in capsys.readouterr().err
    assert call(*RULES["DFC-SS"], *FLAGS, *ways["host"], "--load", f"--out_dir={tmp_path / 'cpu'}") == 0


def test_a_run_without_noise_may_move_between_gpu_and_cpu(gpu, tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    assert call(*RULES["BP"], "--backend=cupy", "--epochs=1") == 0
    assert "host_noise" not in settings_of(tmp_path / "run")
    assert call(*RULES["BP"], "--backend=numpy", "--load") == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--backend=numpy"], "with --backend=numpy"),
        (["--no_cuda"], "with --backend=numpy"),
        (["--network_type=BP"], "without noise"),
    ],
)
def test_an_option_without_effect_is_told(words, why):
    import main

    (note,) = main.parse([*words, "--host_noise"]).notes
    assert "--host_noise" in note and why in note


def test_the_published_programs_of_strong_dfc_take_the_option_too():
    import main
    import run_strong

    settings = main.parse(run_strong.command(["dfc_single_phase", "--host_noise"]))
    assert settings.machine.host_noise and not main.parse(run_strong.command(["dfc_single_phase"])).machine.host_noise


def test_a_stack_of_many_seeds_has_other_noise_for_each(gpu):
    backend = select_backend("cupy")
    noise = noise_of_seeds([Draws(seed, backend).noise((0, 0), 0) for seed in range(12)])
    (layer,) = noise.fill(2, like(gpu, (12,))[:1])
    assert len({layer.get()[:, seed].tobytes() for seed in range(12)}) == 12
