"""Computes the surrogate loss H of Strong-DFC, that is how much control the network needs, and its gradient.

The source is docs/published/strong_dfc.md 8.
"""

from core.angles import angle, joint_angle
from core.backend import array_module
from dfc.controller import norms
from dfc.feedback_learning import squared_norm
from dfc.gradients import empty_gradients, layer_gradients
from dfc.jacobian import pull_back, slopes_at, stacked_feedback
from dfc.measures.feedback_diagnostics import moved_by_feedback


def surrogate_loss(net, activities, u, ideal=False):
    """Returns H = mean over the samples of |Qbar u|^2 / N, a 0-d array.

    N is the number of units of all layers.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    u           control signal at the end of the simulation (n, n_L)
    ideal       whether the layers receive J^T u at the feedforward voltages instead of Q u
    """
    if ideal:
        slopes = slopes_at(net, activities.v)
        drives = pull_back(net, slopes, u * slopes[-1])
    else:
        drives = [u @ q.swapaxes(-1, -2) for q in net.feedback]
    return squared_norm(drives) * (1.0 / (len(u) * sum(net.sizes)))


def surrogate_update(net, activities, u, alpha):
    """Returns the gradient of H, arrays like net.parameters.

        h = -u^T Qbar^T Qbar (Jbar Qbar + alpha I)^-1 Jbar,   dW_l = mean of h_l r_{l-1}^T,   db_l = mean of h_l

    with Jbar at the feedforward point of each sample.

    alpha  leak of the controller
    """
    xp, q = array_module(u), stacked_feedback(net)
    slopes = slopes_at(net, activities.v)
    loop = moved_by_feedback(net, activities) * slopes[-1][..., :, None]
    diagonal = xp.arange(u.shape[-1])
    loop[..., diagonal, diagonal] += alpha
    needed = u @ (q.swapaxes(-1, -2) @ q)
    error = xp.linalg.solve(loop.swapaxes(-1, -2), -needed[..., None])[..., 0]
    update = empty_gradients(net)
    for l, h in enumerate(pull_back(net, slopes, error * slopes[-1])):
        layer_gradients(activities.presynaptic(l), h, 1.0 / len(u), *net.of_layer(update, l))
    return update


def surrogate_angles(net, gradients, update):
    """Returns the angles between gradients and update, lists like net.parameters, in degrees.

    They are {"weights", "biases": angles per layer, "network": angle of all weights together}, 0-d arrays.
    """
    parts = {"weights": net.weights_of, "biases": net.biases_of}
    found = {name: [angle(a, b) for a, b in zip(of(gradients), of(update), strict=True)] for name, of in parts.items()}
    return found | {"network": [joint_angle(net.weights_of(gradients), net.weights_of(update))]}


def feedback_shares(net, activities, u):
    """Returns one 0-d array per layer: |Q_l u| / |W_l r_{l-1}|, the mean over the samples.

    It tells how strong the feedback is, compared with the forward drive.

    u  control signal (n, n_L)
    """
    shares = []
    for l, q in enumerate(net.feedback):
        drive = activities.presynaptic(l) @ net.weights[l].swapaxes(-1, -2)
        shares.append((norms(u @ q.swapaxes(-1, -2)) / norms(drive)).mean())
    return shares
