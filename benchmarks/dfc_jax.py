"""Computes the minibatches of dfc_peers.py in JAX, as a JAX user writes them.

They are pure functions with jit, and lax.scan over the time points; differentiated automatically for BP and by
hand for the others. Parameters and moments are donated, so that XLA updates them in place. The controller's
gradients are sums over time, so the scan carries them and stores no trajectory, except for DFC, whose samples may
be replaced after the simulation: there, as in dfc_torch.py, u, va, vb, vs and r of all time points are kept. The
drive of the first layer, whose input is constant, is computed once.
"""

from functools import partial

import jax
import jax.numpy as jnp

APPLY = {"tanh": jnp.tanh, "linear": lambda v: v}
SLOPE = {"tanh": lambda r: 1.0 - r * r, "linear": jnp.ones_like}


def adam(parameters, gradients, moments, count, rate, beta1, beta2, epsilon, decay):
    """Returns (parameters, moments) after one bias-corrected step of Adam with coupled weight decay."""
    scale1, scale2 = 1.0 / (1.0 - beta1**count), 1.0 / (1.0 - beta2**count)

    def move(p, g, m, v):
        g = g + decay * p
        m, v = beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * g * g
        return p - rate * (m * scale1) / (jnp.sqrt(v * scale2) + epsilon), m, v

    moved = [move(p, g, *both) for p, g, both in zip(parameters, gradients, moments, strict=True)]
    return [p for p, _, _ in moved], [(m, v) for _, m, v in moved]


def clipped(gradients, together):
    """Returns gradients of norm at most 1, each separately or all together."""
    if together:
        factor = jnp.minimum(1.0, 1.0 / (jnp.sqrt(sum((g * g).sum() for g in gradients)) + 1e-6))
        return [g * factor for g in gradients]
    return [g * jnp.minimum(1.0, 1.0 / (jnp.sqrt((g * g).sum()) + 1e-6)) for g in gradients]


class Peer:
    """Holds a network of one config, with its optimisers, as dfc_torch.Peer does and with the same arguments.

    noise  normals of all time points, L arrays (T, rows, n_l) on the host; None: drawn by JAX
    """

    def __init__(self, settings, net, phase, noise=None):
        self.settings, self.phase, self.noise = settings, phase, noise
        copies = [[jnp.asarray(a) for a in arrays] for arrays in (net.weights, net.biases, net.feedback)]
        self.weights, self.biases, self.feedback = copies
        self.count, self.key = 0, jax.random.key(0)
        # The buffers are copies, since donated ones may not appear twice.
        trained = self.weights + self.biases if phase == "forward" else self.feedback
        self.moments = [(jnp.zeros_like(p), jnp.zeros_like(p)) for p in trained]
        step = self._feedback_step if phase == "feedback" else self._forward_step
        self._step = jax.jit(step, donate_argnums=(0, 1) if phase == "forward" else (2, 1))

    def step(self, pixels, target):
        """Makes one update with bytes (n, pixels) and labels (n,), and waits for the result.

        target  None if the images are their own targets
        """
        self.count += 1
        self.key, key = jax.random.split(self.key)
        trained, rest = (self.weights, self.biases), self.feedback
        moved, self.moments, self.gradients = self._step(trained, self.moments, rest, pixels, target, self.count, key)
        if self.phase == "feedback":
            self.feedback = moved
        else:
            self.weights, self.biases = moved
        jax.block_until_ready(moved)

    def _inputs(self, pixels):
        x = (pixels.astype(jnp.float32) / 255.0 - jnp.float32(0.1307)) / jnp.float32(0.3081)
        return x.astype(self.weights[0].dtype)

    def _forward_step(self, trained, moments, feedback, pixels, target, count, key):
        weights, biases = trained
        s, x = self.settings, self._inputs(pixels)
        target = x if target is None else target
        if s.rule.reference:
            gradients = list(jax.grad(self._loss, argnums=(0, 1))(weights, biases, x, target))
            gradients = gradients[0] + gradients[1]
        else:
            v, r = self._forward(weights, biases, x)
            rule = {"DFA": self._dfa, "DFC-SSA": self._ssa, "DFC-SS": self._ss, "DFC": self._dfc}[s.rule.name]
            pairs = rule(weights, biases, feedback, x, v, r, self._nudge(r[-1], target))
            gradients = clipped([w for w, _ in pairs] + [b for _, b in pairs], together=False)
        options = (s.lr, s.beta1, s.beta2, s.epsilon, s.forward_wd)
        moved, moments = adam([*weights, *biases], gradients, moments, count, *options)
        return (moved[: len(weights)], moved[len(weights) :]), moments, gradients

    def _feedback_step(self, trained, moments, feedback, pixels, target, count, key):
        weights, biases = trained
        s, x = self.settings, self._inputs(pixels)
        v, r = self._forward(weights, biases, x)

        def learn(sums, old, new):
            return [total + va.T @ new[0] for total, va in zip(sums, old[2], strict=True)]

        zeros = [jnp.zeros_like(q) for q in feedback]
        _, sums = self._simulate(weights, biases, feedback, v, r, r[-1], learn, zeros, key)
        scale = 1.0 / (max(s.sigma_fb, 0.01) ** 2 * (s.steps_fb - 1) * len(x))
        gradients = clipped([scale * total for total in sums], together=True)
        options = (s.lr_fb, s.beta1_fb, s.beta2_fb, s.epsilon_fb, s.feedback_wd)
        moved, moments = adam(feedback, gradients, moments, count, *options)
        return moved, moments, gradients

    def _forward(self, weights, biases, x):
        v, r = [], []
        for w, b, name in zip(weights, biases, self.settings.activations, strict=True):
            v.append((r[-1] if r else x) @ w.T + b)
            r.append(APPLY[name](v[-1]))
        return v, r

    def _loss(self, weights, biases, x, target):
        _, r = self._forward(weights, biases, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(r[-1]), target[:, None], 1).mean()

    def _nudge(self, output, target):
        """Returns r* - r_L."""
        s = self.settings
        if target.ndim == 1:
            error = jax.nn.softmax(output) - jax.nn.one_hot(target, output.shape[1], dtype=output.dtype)
            return error * (-s.target_stepsize / len(output))
        return (output - target) * (-2.0 * s.target_stepsize / output.size)

    def _dfa(self, weights, biases, feedback, x, v, r, nudge):
        pairs = []
        for l, (each, name) in enumerate(zip(r, self.settings.activations, strict=True)):
            change = nudge @ feedback[l].T if l < len(r) - 1 else nudge
            error = SLOPE[name](each) * change * (-2.0 / len(x))
            pairs.append((error.T @ (r[l - 1] if l else x), error.sum(0)))
        return pairs

    def _ssa(self, weights, biases, feedback, x, v, r, nudge):
        slopes = [SLOPE[name](each) for name, each in zip(self.settings.activations, r, strict=True)]

        def control(slopes, nudge):
            """Returns u of one sample; vmap makes it that of the batch."""
            block = jnp.diag(slopes[-1])
            loop = block @ feedback[-1]
            for l in range(len(slopes) - 2, -1, -1):
                block = (block @ weights[l + 1]) * slopes[l]
                loop += block @ feedback[l]
            return jnp.linalg.solve(loop + self.settings.alpha_di * jnp.eye(len(loop), dtype=loop.dtype), nudge)

        u = jax.vmap(control)(slopes, nudge)
        pairs, below = [], x
        for w, b, q, name in zip(weights, biases, feedback, self.settings.activations, strict=True):
            basal = below @ w.T + b
            rates = APPLY[name](basal + u @ q.T)
            error = (APPLY[name](basal) - rates) * (2.0 / len(x))
            pairs.append((error.T @ below, error.sum(0)))
            below = rates
        return pairs

    def _simulate(self, weights, biases, feedback, v, r, target, observe, kept, key=None):
        """Returns (last state, the collected results of `observe`).

        A state is (u, u_int, va, vb, vs, r); observe(kept, old state, new state) returns the new `kept`.
        """
        s, suffix, last = self.settings, "_fb" if self.phase == "feedback" else "", len(v) - 1
        names = ("k_p", "dt_di", "time_constant_ratio", "apical_time_constant", "inst_transmission")
        k_p, dt, tau_v, tau_a, inst_transmission = (getattr(s, name + suffix) for name in names)
        assert inst_transmission and not s.inst_system_dynamics and not s.noisy_dynamics
        alpha, proactive = (s.alpha_fb, False) if suffix else (s.alpha_di, s.proactive_controller)
        steps = (s.steps_fb if suffix else s.steps) - 1

        def advance(carried, given):
            (u, u_int, va, vb, vs, rates), kept = carried
            error = target - rates[-1]
            u_int = u_int + dt * (error - alpha * u)
            new_u = u_int + k_p * error
            signal, new_va, new_vb, new_vs, new_r = new_u if proactive else u, [], [], [], []
            for l, name in enumerate(s.activations):
                basal = new_r[-1] @ weights[l].T + biases[l] if l else v[0]
                apical = va[l] + (dt / tau_a) * (signal @ feedback[l].T - va[l])
                if suffix:
                    sigma = s.sigma_output_fb if l == last else s.sigma_fb
                    apical = apical + (sigma * dt**0.5 / tau_a) * self._normals(given, l, apical)
                soma = vs[l] + (dt / tau_v) * (apical + basal - vs[l])
                for each, value in zip(
                    (new_va, new_vb, new_vs, new_r), (apical, basal, soma, APPLY[name](soma)), strict=True
                ):
                    each.append(value)
            state = (new_u, u_int, new_va, new_vb, new_vs, new_r)
            found = observe(kept, (u, u_int, va, vb, vs, rates), state) if kept is not None else None
            return (state, found), (observe(None, None, state) if kept is None else None)

        zeros = jnp.zeros_like(target)
        start = ((zeros, zeros, [jnp.zeros_like(each) for each in v], list(v), list(v), list(r)), kept)
        given = self._given(key, steps) if suffix else jnp.arange(steps)
        (state, found), stored = jax.lax.scan(advance, start, given)
        return state, found if kept is not None else stored

    def _given(self, key, steps):
        if self.noise is None:
            return jax.random.split(key, steps)
        return [jnp.asarray(layer[:steps]) for layer in self.noise]

    def _normals(self, given, l, like):
        if self.noise is not None:
            return given[l]
        return jax.random.normal(jax.random.fold_in(given, l), like.shape, like.dtype)

    def _fallen_back(self, r, u, output, target, first_error):
        """Returns which samples (n,) count as not converged."""
        s, norm = self.settings, partial(jnp.linalg.norm, axis=1)
        distance = norm(output - (target - s.alpha_di * u)) / norm(r[-1])
        return ~((distance < 1e-5) & (norm(target - output) < s.epsilon_di**2 * norm(first_error)))

    def _ss(self, weights, biases, feedback, x, v, r, nudge):
        target = r[-1] + nudge
        (u, _, _, vb, vs, rates), _ = self._simulate(
            weights, biases, feedback, v, r, target, lambda kept, old, new: kept, jnp.zeros(())
        )
        # The memory-saving variant compares with the output of the first sample.
        bad = self._fallen_back(r, u, rates[-1], target, target - r[-1][:1])[:, None]
        pairs, below = [], x
        for l, name in enumerate(self.settings.activations):
            change = jnp.where(bad, 0.0, vs[l] - vb[l])
            error = (APPLY[name](vb[l]) - APPLY[name](vb[l] + change)) * (2.0 / len(x))
            pairs.append((error.T @ below, error.sum(0)))
            below = jnp.where(bad, r[l], rates[l])
        return pairs

    def _dfc(self, weights, biases, feedback, x, v, r, nudge):
        target = r[-1] + nudge

        def store(kept, old, new):
            u, _, _, vb, _, rates = new
            return u, vb[1:], rates

        (u, *_), (_, basal, rates) = self._simulate(weights, biases, feedback, v, r, target, store, None)
        bad = self._fallen_back(r, u, rates[-1][-1], target, nudge)[:, None]
        scale = 2.0 / (len(x) * self.settings.steps)
        pairs = []
        for l, name in enumerate(self.settings.activations):
            free = r[l] if l == 0 else APPLY[name](basal[l - 1])
            # Samples that did not converge count as at rest, where the difference is zero.
            error = jnp.where(bad, 0.0, free - rates[l]) * scale
            if l:
                below = rates[l - 1]
                pairs.append((jnp.einsum("tbi,tbj->ij", error, below), error.sum((0, 1))))
            else:
                summed = error.sum(0)
                pairs.append((summed.T @ x, summed.sum(0)))
        return pairs
