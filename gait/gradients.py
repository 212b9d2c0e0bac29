"""Computes the gradients of the weights and biases of a layer from the errors of any rule."""

from core.backend import array_module


def add_weight_gradient(presynaptic, delta, rows, out, start_from_zero):
    """Adds some rows of h^T delta / n, the gradient of the weights from one batch, to `out`.

    presynaptic      h, activities below the layer (n, >= size)
    delta            errors (n, k) of the first k <= size units; those of the other units are zero
    rows             slice of the rows of W, that is of the layer's inputs
    out              (rows, size), the part of the gradient that does not depend on the batch, or anything if `start_from_zero`
    start_from_zero  whether `out` is overwritten
    """
    inputs = presynaptic[..., rows].swapaxes(-1, -2)
    mean = delta * (1.0 / delta.shape[-2])
    units = delta.shape[-1]
    if start_from_zero:
        array_module(delta).matmul(inputs, mean, out=out[..., :units])
        out[..., units:] = 0.0
    else:
        out[..., :units] += inputs @ mean


def bias_gradient(delta, out):
    """Writes the mean over the samples of delta (n, k) into `out` (size,); entries beyond k are zero."""
    units = delta.shape[-1]
    out[..., :units] = delta.mean(axis=-2)
    out[..., units:] = 0.0
