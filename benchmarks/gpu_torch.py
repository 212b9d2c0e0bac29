"""Times the steps of gpu_cases.py in PyTorch, on its GPU if it has one, and prints lines of JSON.

    python benchmarks/gpu_torch.py full|tiny

Each step is timed as it is written and, where PyTorch can capture it, as a CUDA graph; a line is
{"case", "step": seconds, "graph": seconds or null}.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F

from benchmarks import dfc_peers, peers
from benchmarks.dfc_torch import Peer
from benchmarks.gpu_cases import EXTENTS, PRECISION, SYSTEM_1, SYSTEM_2
from core.backend import Workers

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def system_1(case, extent):
    """Returns a function that makes a step of run.py on some images, and the images of all steps."""
    _, rule, strength = case
    pixels, labels = peers.images(8)
    pixels, labels = torch.from_numpy(pixels).to(DEVICE), torch.from_numpy(labels).to(DEVICE)
    square = partial(torch.randn, peers.SIZE, peers.SIZE, device=DEVICE)
    weights = [torch.nn.Parameter(torch.linalg.qr(square())[0].contiguous()) for _ in range(peers.LAYERS)]
    biases = [torch.nn.Parameter(torch.zeros(peers.SIZE, device=DEVICE)) for _ in range(peers.LAYERS)]
    adam = torch.optim.Adam(weights + biases, lr=peers.RATE, betas=(0.9, 0.99), fused=True, capturable=DEVICE == "cuda")
    gradients = {"BP": peers.torch_backprop, "GAIT": peers.torch_gait}[rule]

    def step(chosen):
        target = F.one_hot(labels[chosen], peers.CLASSES).to(torch.float32)
        gradients(torch, weights, biases, pixels[chosen].to(torch.float32) / 255, target)
        if strength:
            with torch.no_grad():
                for w in weights:
                    gram = w @ w.T
                    gram.fill_diagonal_(0)
                    w.grad.addmm_(gram, w, alpha=4 * strength)
        adam.step()

    return step, torch.arange(8 * peers.BATCH, device=DEVICE).reshape(8, -1)


def system_2(case, extent):
    """Returns the same of main.py."""
    about = dfc_peers.CASES[case[1]]
    work = dfc_peers.prepare(about, PRECISION, Workers(1), **extent.changed)
    peer = Peer(work.settings, work.run.learner.net, about.phase, dfc_peers.BATCH, device=DEVICE)
    pixels, labels = torch.from_numpy(work.data.pixels).to(DEVICE), torch.from_numpy(work.data.labels).to(DEVICE)
    update = getattr(peer, f"{peer.phase}_step")

    def step(chosen):
        update(pixels[chosen].float().div_(255).sub_(0.1307).div_(0.3081), labels[chosen])

    return step, torch.from_numpy(work.order).to(DEVICE)


def wait():
    """Waits until the device has done all that was asked of it."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def seconds_of(step, extent):
    """Returns the seconds of step(i); the device is waited for only at the end."""
    count, start = 0, time.perf_counter()
    while count < extent.steps and (count == 0 or time.perf_counter() - start < extent.seconds / 2):
        step(count)
        count += 1
    wait()
    return (time.perf_counter() - start) / count


def captured(step, rows):
    """Returns a function of i that replays a step from a CUDA graph."""
    chosen, stream = rows[0].clone(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(chosen)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(chosen)

    def replay(i):
        chosen.copy_(rows[i % len(rows)])
        graph.replay()

    return replay


def measure(case, extent, graph):
    """Prints the seconds of a case, and for `graph` those of the replayed graph too."""
    step, rows = (system_1 if case[0] == "run.py" else system_2)(case, extent)
    for i in range(2):
        step(rows[i])
    wait()
    found = {"case": case, "step": seconds_of(lambda i: step(rows[i % len(rows)]), extent), "graph": None}
    if graph:
        try:
            found["graph"] = seconds_of(captured(step, rows), extent)
        except RuntimeError as error:
            print(f"{case}: no CUDA graph: {str(error).splitlines()[0]}", file=sys.stderr)
    print(json.dumps(found), flush=True)


def main(extent):
    """Measures all cases.

    Those that solve linear systems, which PyTorch cannot capture, come last and without a graph: after a capture that
    failed it captures no more random numbers.
    """
    # TF32 is off, as in cupy.
    torch.backends.cuda.matmul.allow_tf32 = False
    solving = [case for case in (*SYSTEM_1, *SYSTEM_2) if case[1] in ("GAIT", "DFC-SSA")]
    for case in (*SYSTEM_1, *SYSTEM_2):
        if case not in solving:
            measure(case, EXTENTS[extent], graph=DEVICE == "cuda")
    for case in solving:
        measure(case, EXTENTS[extent], graph=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
