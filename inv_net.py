"""Defines invertible networks: towers of square layers that read the first units of the layer below.

Layers are numbered from 0 to L-1, activities from 0 (the input) to L; layer l maps h_l to h_{l+1}. Units that the
layer above does not read, and output units beyond the classes, are auxiliary: they are neither compared with a
target nor passed on.
"""

from core.backend import array_module
from inv_layer import InvLayer


class TowerInvNet:
    """Stacks layers of non-increasing size, the last one with at least as many units as there are classes.

    weights     list of (size_l, size_l) arrays of the run's float type
    biases      list of (size_l,) arrays
    transfer    utils.Transfer of every layer, the output layer included
    classes     number of output units that are compared with the label
    gram_solve  see InvLayer
    """

    def __init__(self, weights, biases, transfer, classes, gram_solve=True):
        self.layers = [
            InvLayer(w, b, transfer, gram_solve, f"layer {index}")
            for index, (w, b) in enumerate(zip(weights, biases, strict=True))
        ]
        self.transfer = transfer
        self.classes = classes
        sizes = [layer.size for layer in self.layers]
        if sorted(sizes, reverse=True) != sizes or sizes[-1] < classes:
            raise ValueError(f"layer sizes {sizes} must not grow, nor end below the {classes} classes")
        # Units of h_{l+1} that the layer above reads, or that stand for classes.
        self.active = [*sizes[1:], classes]

    @staticmethod
    def together(nets):
        """Returns one network of copies of the arrays of `nets`, with a leading axis of seeds.

        Everything but the arrays is that of the first network.
        """
        xp = array_module(*nets[0].parameters)
        return nets[0]._with([xp.stack(each) for each in zip(*(net.parameters for net in nets), strict=True)])

    def copy(self):
        """Returns the same network with copies of its arrays."""
        return self._with([p.copy() for p in self.parameters])

    def _with(self, arrays):
        weights, biases = self.weights_of(arrays), self.biases_of(arrays)
        return type(self)(weights, biases, self.transfer, self.classes, self.layers[0].gram_solve)

    @property
    def seeds(self):
        """Returns the shape of the leading axis of seeds: (S,), or () for a single network."""
        return self.layers[0].weights.shape[:-2]

    @property
    def parameters(self):
        """Returns [W_0, b_0, W_1, b_1, …], the arrays themselves; call `weights_changed` after an update."""
        return [array for layer in self.layers for array in (layer.weights, layer.biases)]

    def weights_of(self, arrays):
        """Returns the entries of the weights, one per layer, of a sequence like `parameters`."""
        return arrays[::2]

    def biases_of(self, arrays):
        """Returns the entries of the biases, one per layer, of a sequence like `parameters`."""
        return arrays[1::2]

    def of_layer(self, arrays, l):
        """Returns the entries of the weights and of the biases of layer l of a sequence like `parameters`."""
        return arrays[2 * l : 2 * l + 2]

    @property
    def arrays(self):
        """Returns everything that is trained: the parameters."""
        return self.parameters

    @property
    def named_arrays(self):
        """Returns {published name: array}, with names such as 0Lweights and 0Lbiases."""
        named = {}
        for l, layer in enumerate(self.layers):
            named |= {f"{l}Lweights": layer.weights, f"{l}Lbiases": layer.biases}
        return named

    def weights_changed(self):
        """Discards everything that was derived from the old weights of all layers."""
        for layer in self.layers:
            layer.weights_changed()

    def forward(self, x, auxiliary=True):
        """Returns the trace [h_0 … h_L] of a forward pass, h_0 = x (n, inputs).

        auxiliary  whether h_L holds all units of the output layer or only those of the classes, which cost a fraction
        """
        trace = [x]
        for layer in self.layers[:-1]:
            trace.append(layer.forward(trace[-1]))
        trace.append(self.layers[-1].forward(trace[-1], None if auxiliary else self.classes))
        return trace

    def complete(self, trace):
        """Returns the trace with every unit of the output layer, computed now if `forward` left some out."""
        if trace[-1].shape[-1] == self.layers[-1].size:
            return trace
        return [*trace[:-1], self.layers[-1].forward(trace[-2])]

    @property
    def weights(self):
        """Returns [W_0 … W_{L-1}], the arrays themselves."""
        return [layer.weights for layer in self.layers]

    def output_error(self, trace, target):
        """Returns h_L - t_L (n, classes), the gradient of 0.5 |h_L - t_L|^2 of every sample."""
        return trace[-1][..., : self.classes] - target

    def derivative(self, trace, l):
        """Returns f' (n, active[l]) of the active units of layer l, which follows from their activity."""
        return self.transfer.slope(trace[l + 1][..., : self.active[l]])

    def transpose_product(self, l, delta):
        """Returns delta W_l^T: errors on layer l (n, <= size) -> errors on the activity below (n, size)."""
        return self.layers[l].transpose_product(delta)

    def hand_marks_to(self, nets):
        """Moves the marks that `check_solved` reads to the networks that this one was made of."""
        for index, layer in enumerate(self.layers):
            layer.hand_marks_to([net.layers[index] for net in nets])

    def check_solved(self):
        """Raises SingularWeights, naming the layer, if a solve since the last check has failed."""
        for layer in self.layers:
            layer.check_solved()


class SquareInvNet(TowerInvNet):
    """Stacks layers of one size, that of the input (docs/published/gait.md 1)."""

    def __init__(self, weights, biases, transfer, classes, gram_solve=True):
        super().__init__(weights, biases, transfer, classes, gram_solve)
        sizes = {layer.size for layer in self.layers}
        if len(sizes) != 1:
            raise ValueError(f"the layers of a square network have one size, not {sorted(sizes)}")


# Sizes of the square matrices of the layers; the published widths are 784 and then these.
TOWER_SIZES = (784, 500, 200, 10)


def layer_sizes(tower, inputs, hidden_layers):
    """Returns the sizes of the layers of a published structure.

    tower          whether it is the tower, whose sizes are fixed
    inputs         number of input units, the size of every layer of a square network
    hidden_layers  number of hidden layers of a square network, its output layer not counted
    """
    return list(TOWER_SIZES) if tower else [inputs] * (hidden_layers + 1)
