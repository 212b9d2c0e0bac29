"""From the errors of a rule to the gradients of weights and biases: the same for every rule."""

from core.backend import array_module
from core.workers import Workers, shares


def gradients(net, trace, errors, regulariser, out, workers=None):
    """Gradients of one batch, written into `out`.

        grad W_l = h_{l-1}^T delta_l / n + lambda R(W_l),     grad b_l = mean over the samples of delta_l

    net          InvNet
    trace        activities [h_0 … h_L] of the forward pass, (n, units)
    errors       [delta_0 …], (n, net.active[l]): of the first units; those of the others are zero
    regulariser  core.regularisers, or anything with `gradient(layer, rows, out)` that is false where there is nothing to add
    out          arrays like net.parameters, [W_0, b_0, …]
    workers      core.workers.Workers that share the rows of the matrices; default: the calling thread alone
    Returns      out
    """
    workers = workers or Workers()

    def fill(job):
        index, rows = job
        layer, delta = net.layers[index], errors[index]
        _weight_gradient(layer, trace[index], delta, regulariser, rows, out[2 * index][..., rows, :])

    jobs = [(index, rows) for index, layer in enumerate(net.layers) for rows in shares(layer.size, workers.count)]
    workers.map(fill, jobs)
    for delta, bias_gradient in zip(errors, out[1::2], strict=True):
        bias_gradient[..., : delta.shape[-1]] = delta.mean(axis=-2)
        bias_gradient[..., delta.shape[-1] :] = 0.0
    return out


def _weight_gradient(layer, presynaptic, delta, regulariser, rows, out):
    """Rows `rows` of one matrix's gradient, into `out` (rows, size)."""
    xp = array_module(delta)
    inputs = presynaptic[..., rows].swapaxes(-1, -2)
    mean = delta * (1.0 / delta.shape[-2])
    units = delta.shape[-1]
    if regulariser:
        regulariser.gradient(layer, rows, out)
        out[..., :units] += inputs @ mean
    else:
        xp.matmul(inputs, mean, out=out[..., :units])
        out[..., units:] = 0.0
