"""Makes one measurement in a process of its own and prints the result as JSON.

    python benchmarks/peers.py SIDE ALGORITHM REG PRECISION THREADS BATCHES

SIDE is "suite" (this program), "torch" or "jax" (the same training step as users of these write it for speed).
All train 5 layers of 784 x 784 on the same batches of 60 images, leaky ReLU, Adam; all start from bytes and build
inputs and targets batch by batch. The images are random: the time does not depend on their content.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SIZE, LAYERS, BATCH, CLASSES, RATE, LARGE = 784, 5, 60, 10, 1e-4, 2000


def images(count):
    """Returns random images uint8 (n, 784), 80 % of them zeros, and labels (n,), for `count` batches."""
    import numpy as np

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count * BATCH, SIZE), dtype=np.uint8) * (
        random.random((count * BATCH, SIZE)) < 0.2
    )
    return pixels.astype(np.uint8), random.integers(0, CLASSES, count * BATCH)


def median_seconds(function, repeats, warm_up=3):
    """Returns the median of the seconds that function(i) takes, i = 0, 1, …."""
    for _ in range(warm_up):
        function(0)
    times = []
    for index in range(repeats):
        start = time.perf_counter()
        function(index)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def suite(algorithm, strength, precision, threads, batches):
    """Returns (seconds per training step, seconds of one large matmul) of this program."""
    import numpy as np

    import run
    from core.backend import Workers, select_backend
    from datasets.samples import Images, divided_table
    from rules import RULES

    backend = select_backend("numpy", 0, precision)
    pixels, labels = images(batches)
    samples = Images(pixels, labels, divided_table(255, backend.dtype), backend, "one_hot", CLASSES)
    large = np.random.default_rng(1).standard_normal((LARGE, LARGE)).astype(precision)
    product = np.empty_like(large)
    matmul = median_seconds(lambda _: np.matmul(large, large, out=product), 5, 1)
    options = run.Options(algorithm=algorithm, nb_layers=LAYERS - 1, orthogonal_init=True, orthogonal_reg=strength)
    with Workers(threads) as workers, np.errstate(all="ignore"):
        learner = run.build_learner(options, RULES[algorithm].Options(), samples, backend, workers)
        step = lambda i: learner.step(*samples.batch(slice(i * BATCH, (i + 1) * BATCH)))  # noqa: E731
        return median_seconds(step, batches), matmul


def torch_peer(algorithm, strength, precision, threads, batches):
    """Returns the same of PyTorch: autograd for BP, closed forms for GAIT, an LU solve, fused Adam."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    dtype = getattr(torch, precision)
    large = torch.randn(LARGE, LARGE, dtype=dtype)
    product = torch.empty_like(large)
    matmul = median_seconds(lambda _: torch.matmul(large, large, out=product), 5, 1)
    pixels, labels = images(batches)
    pixels, targets = torch.from_numpy(pixels), F.one_hot(torch.from_numpy(labels), CLASSES).to(dtype)
    weights = [
        torch.linalg.qr(torch.randn(SIZE, SIZE, dtype=torch.float64))[0].to(dtype).contiguous() for _ in range(LAYERS)
    ]
    weights = [torch.nn.Parameter(w) for w in weights]
    biases = [torch.nn.Parameter(torch.zeros(SIZE, dtype=dtype)) for _ in range(LAYERS)]
    adam = torch.optim.Adam(weights + biases, lr=RATE, betas=(0.9, 0.99), fused=True)
    gradients = {"BP": torch_backprop, "GAIT": torch_gait}[algorithm]

    def step(index):
        chosen = slice(index * BATCH, (index + 1) * BATCH)
        gradients(torch, weights, biases, pixels[chosen].to(dtype) / 255, targets[chosen])
        if strength:
            with torch.no_grad():
                for w in weights:
                    gram = w @ w.T
                    gram.fill_diagonal_(0)
                    w.grad.addmm_(gram, w, alpha=4 * strength)
        adam.step()

    return median_seconds(step, batches), matmul


def torch_backprop(torch, weights, biases, h, target):
    """Sets the gradients of backpropagation."""
    for w, b in zip(weights, biases, strict=True):
        w.grad = b.grad = None
        h = torch.nn.functional.leaky_relu(torch.addmm(b, h, w), 0.1)
    (0.5 * ((h[:, :CLASSES] - target) ** 2).sum() / BATCH).backward()


def torch_gait(torch, weights, biases, x, target):
    """Sets the gradients of GAIT-prop."""
    with torch.no_grad():
        trace = [x]
        for w, b in zip(weights, biases, strict=True):
            trace.append(torch.nn.functional.leaky_relu(torch.addmm(b, trace[-1], w), 0.1))
        difference = torch.zeros_like(trace[-1])
        difference[:, :CLASSES] = trace[-1][:, :CLASSES] - target
        for l in range(LAYERS - 1, -1, -1):
            delta = torch.where(trace[l + 1] >= 0, difference, 0.1 * difference)
            weights[l].grad = trace[l].T @ (delta / BATCH)
            biases[l].grad = delta.mean(0)
            if l:
                difference = torch.linalg.solve(weights[l].T, delta.T).T


def jax_peer(algorithm, strength, precision, threads, batches):
    """Returns the same of JAX: one jitted step with donated weights and moments.

    The processors of the process determine the threads.
    """
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", precision == "float64")
    keys = iter(jax.random.split(jax.random.key(0), LAYERS + 1))
    large = jax.random.normal(next(keys), (LARGE, LARGE), precision)
    square = jax.jit(jnp.matmul)
    matmul = median_seconds(lambda _: square(large, large).block_until_ready(), 5, 1)
    pixels, labels = images(batches)
    weights = [jnp.linalg.qr(jax.random.normal(key, (SIZE, SIZE), precision))[0] for key in keys]
    state = (weights, [jnp.zeros(SIZE, precision) for _ in range(LAYERS)])
    moments = jax.tree.map(lambda p: (jnp.zeros_like(p), jnp.zeros_like(p)), state)
    step = jax.jit(
        partial(jax_step, {"BP": jax_backprop, "GAIT": jax_gait}[algorithm], strength), donate_argnums=(0, 1)
    )

    def one(index):
        nonlocal state, moments
        chosen = slice(index * BATCH, (index + 1) * BATCH)
        state, moments = jax.block_until_ready(step(state, moments, pixels[chosen], labels[chosen]))

    return median_seconds(one, batches), matmul


def jax_step(rule, strength, state, moments, pixels, labels):
    """Returns (weights and biases, moments) after one step of Adam without bias correction."""
    import jax
    import jax.numpy as jnp

    dtype = state[0][0].dtype
    weights, biases = rule(*state, pixels.astype(dtype) / 255, jax.nn.one_hot(labels, CLASSES, dtype=dtype))
    if strength:
        hollow = [gram - jnp.diag(jnp.diag(gram)) for gram in (w @ w.T for w in state[0])]
        weights = [g + 4 * strength * gram @ w for g, gram, w in zip(weights, hollow, state[0], strict=True)]

    def move(p, g, both):
        m, v = 0.9 * both[0] + 0.1 * g, 0.99 * both[1] + 0.01 * g * g
        return p - RATE * m / (jnp.sqrt(v) + 1e-8), (m, v)

    moved = [
        [move(*each) for each in zip(*parts, strict=True)]
        for parts in zip(state, (weights, biases), moments, strict=True)
    ]
    return tuple([p for p, _ in part] for part in moved), tuple([both for _, both in part] for part in moved)


def jax_forward(weights, biases, h):
    """Returns [h_0 … h_L] of a forward pass."""
    import jax

    trace = [h]
    for w, b in zip(weights, biases, strict=True):
        trace.append(jax.nn.leaky_relu(trace[-1] @ w + b, 0.1))
    return trace


def jax_backprop(weights, biases, x, target):
    """Returns the gradients of backpropagation, (weights, biases)."""
    import jax

    def loss(weights, biases):
        return 0.5 * ((jax_forward(weights, biases, x)[-1][:, :CLASSES] - target) ** 2).sum() / BATCH

    return jax.grad(loss, argnums=(0, 1))(weights, biases)


def jax_gait(weights, biases, x, target):
    """Returns the gradients of GAIT-prop, (weights, biases)."""
    import jax.numpy as jnp

    trace = jax_forward(weights, biases, x)
    difference = jnp.zeros_like(trace[-1]).at[:, :CLASSES].set(trace[-1][:, :CLASSES] - target)
    gradients = []
    for l in range(LAYERS - 1, -1, -1):
        delta = jnp.where(trace[l + 1] >= 0, difference, 0.1 * difference)
        gradients.append((trace[l].T @ (delta / BATCH), delta.mean(0)))
        if l:
            difference = jnp.linalg.solve(weights[l].T, delta.T).T
    return tuple(map(list, zip(*gradients[::-1], strict=True)))


def main(side, algorithm, strength, precision, threads, batches):
    """Prints the result of one command line as JSON."""
    measure = {"suite": suite, "torch": torch_peer, "jax": jax_peer}[side]
    step, matmul = measure(algorithm, float(strength), precision, int(threads), int(batches))
    print(json.dumps({"step": step, "matmul_rate": 2 * LARGE**3 / matmul, "cores": len(os.sched_getaffinity(0))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
