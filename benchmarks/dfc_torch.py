"""Computes the minibatches of dfc_peers.py in PyTorch, as one would write them from the equations.

They are differentiated automatically for BP and by hand for the others, with whole batches in every call, results
written in place, and fused Adam. The stored variant of the controller keeps u, va, vb, vs and r of all time
points and averages them, as the published program does; the memory-saving one keeps two time points. DFC-SSA
forms the Jacobian (n_L, N) of every sample, its product with the feedback weights, and solves one n_L x n_L
system per sample (torch.linalg.solve of all of them at once). In favour of PyTorch, the drive of the first layer,
whose input is constant, is computed once, not at every time point.
"""

from functools import partial

import torch
import torch.nn.functional as F

# Numbers in the Jacobians that are formed at once: 128 images need 1 GB each for the autoencoder.
CHUNK = 1 << 25
APPLY = {"tanh": torch.tanh, "linear": lambda v, out=None: v.clone() if out is None else out.copy_(v)}
SLOPE = {"tanh": lambda r: 1.0 - r * r, "linear": torch.ones_like}


def _parameters(arrays, device):
    return [torch.nn.Parameter(torch.from_numpy(array.copy()).to(device)) for array in arrays]


class Peer:
    """Holds a network of one config, with its optimisers.

    settings  the flags of dfc.settings.Settings as attributes
    net       dfc.network.FeedbackNetwork, whose weights are copied
    phase     "forward" or "feedback": which weights it updates
    rows      images in a minibatch
    noise     (time point, layer, array) -> standard normals like the array; None: drawn by PyTorch
    device    "cpu" or "cuda"
    """

    def __init__(self, settings, net, phase, rows, noise=None, device="cpu"):
        self.weights, self.biases, self.feedback = (
            _parameters(each, device) for each in (net.weights, net.biases, net.feedback)
        )
        self.settings, self.activations, self.phase = settings, settings.activations, phase
        self.noise = noise or (lambda t, l, like: torch.randn_like(like))
        self._memory = self._reserve(rows)
        self.parameters = [p for pair in zip(self.weights, self.biases, strict=True) for p in pair]
        s, adam = settings, partial(torch.optim.Adam, fused=True, capturable=device == "cuda")
        self.adam = adam(self.parameters, s.lr, (s.beta1, s.beta2), s.epsilon, s.forward_wd)
        if s.rule.learns_feedback and not s.freeze_fb_weights:
            self.adam_feedback = adam(self.feedback, s.lr_fb, (s.beta1_fb, s.beta2_fb), s.epsilon_fb, s.feedback_wd)

    def _reserve(self, rows):
        """Returns memory for the kept time points of u, va, vb, vs and r, which every minibatch uses again."""
        s, example = self.settings, self.weights[0].detach()
        self.steps = s.steps_fb if self.phase == "feedback" else s.steps
        self.kept = 2 if s.rule.name == "DFC-SS" and self.phase == "forward" else self.steps
        if not s.rule.simulates and self.phase == "forward":
            return None
        layers = [[example.new_zeros(self.kept, rows, n) for n in s.sizes[1:]] for _ in range(4)]
        return example.new_zeros(self.kept, rows, s.sizes[-1]), *layers

    def forward_step(self, x, target):
        """Makes one update of the forward weights; returns loss and accuracy before it."""
        if self.settings.rule.reference:
            return self._backprop_step(x, target)
        with torch.no_grad():
            v, r = self.forward(x)
            loss, nudge = self.nudge(r[-1], target)
            {"DFA": self.dfa, "DFC-SSA": self.ssa, "DFC-SS": self.ss, "DFC": self.dfc}[self.settings.rule.name](
                x, v, r, nudge
            )
            for p in self.parameters:
                torch.nn.utils.clip_grad_norm_([p], 1.0)
        self.adam.step()
        return loss, (r[-1].argmax(1) == target).sum() / len(x) if target.ndim == 1 else None

    def feedback_step(self, x, target):
        """Makes one update of the feedback weights by normal_controller, without labels."""
        with torch.no_grad():
            v, r = self.forward(x)
            u, va, *_ = self.simulate(v, r, r[-1])
            scale = 1.0 / (max(self.settings.sigma_fb, 0.01) ** 2 * (self.steps - 1) * len(x))
            for q, each in zip(self.feedback, va, strict=True):
                q.grad = each[:-1].flatten(0, 1).T @ u[1:].flatten(0, 1) * scale
            torch.nn.utils.clip_grad_norm_(self.feedback, 1.0)
        self.adam_feedback.step()

    def forward(self, x):
        """Returns (v, r) of a feedforward pass, lists of L tensors (n, n_l)."""
        v, r = [], []
        for w, b, name in zip(self.weights, self.biases, self.activations, strict=True):
            v.append(torch.addmm(b, r[-1] if r else x, w.T))
            r.append(APPLY[name](v[-1]))
        return v, r

    def nudge(self, output, target):
        """Returns (loss, r* - r_L)."""
        if target.ndim == 1:
            error = torch.softmax(output, 1) - F.one_hot(target, output.shape[1])
            return F.cross_entropy(output, target), error * (-self.settings.target_stepsize / len(output))
        error = output - target
        return (error * error).mean(), error * (-2.0 * self.settings.target_stepsize / error.numel())

    def _backprop_step(self, x, target):
        self.adam.zero_grad()
        _, r = self.forward(x)
        loss = F.cross_entropy(r[-1], target)
        loss.backward()
        self.adam.step()
        return loss.detach(), (r[-1].argmax(1) == target).sum() / len(x)

    def _set_gradient(self, l, error, below):
        """Sets the gradients of a layer, from errors divided by their number, and from rates below."""
        self.weights[l].grad, self.biases[l].grad = error.T @ below, error.sum(0)

    def dfa(self, x, v, r, nudge):
        """Sets the gradients of DFA."""
        for l, each in enumerate(r):
            change = nudge @ self.feedback[l].T if l < len(r) - 1 else nudge
            self._set_gradient(l, SLOPE[self.activations[l]](each) * change * (-2.0 / len(x)), r[l - 1] if l else x)

    def ssa(self, x, v, r, nudge):
        """Sets the gradients of DFC-SSA."""
        slopes = [SLOPE[name](each) for name, each in zip(self.activations, r, strict=True)]
        stacked = torch.cat(list(self.feedback))
        u, rows = torch.empty_like(nudge), max(1, CHUNK // stacked.numel())
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            loop = self._jacobian([slope[part] for slope in slopes]) @ stacked
            loop.diagonal(dim1=1, dim2=2).add_(self.settings.alpha_di)
            u[part] = torch.linalg.solve(loop, nudge[part, :, None])[..., 0]
        below = x
        for l, name in enumerate(self.activations):
            basal = torch.addmm(self.biases[l], below, self.weights[l].T)
            rates = APPLY[name](basal + u @ self.feedback[l].T)
            self._set_gradient(l, (APPLY[name](basal) - rates) * (2.0 / len(x)), below)
            below = rates

    def _jacobian(self, slopes):
        blocks = [torch.diag_embed(slopes[-1])]
        for l in range(len(slopes) - 2, -1, -1):
            blocks.append((blocks[-1] @ self.weights[l + 1]) * slopes[l][:, None, :])
        return torch.cat(blocks[::-1], 2)

    def simulate(self, v, r, target):
        """Returns (u, va, vb, vs, r) with a first axis of kept time points, the last one at index -1."""
        s, suffix, last = self.settings, "_fb" if self.phase == "feedback" else "", len(v) - 1
        names = ("k_p", "dt_di", "time_constant_ratio", "apical_time_constant", "inst_transmission")
        k_p, dt, tau_v, tau_a, inst_transmission = (getattr(s, name + suffix) for name in names)
        assert inst_transmission and not s.inst_system_dynamics and not s.noisy_dynamics and self.steps % self.kept == 0
        alpha, proactive = (s.alpha_fb, False) if suffix else (s.alpha_di, s.proactive_controller)
        u, va, vb, vs, rates = self._memory
        u_int = torch.zeros_like(target)
        u[0] = 0.0
        for l, each in enumerate(v):
            va[l][0], vb[l][0], vs[l][0], rates[l][0] = 0.0, each, each, r[l]
        drives = [torch.empty_like(each) for each in v]
        for t in range(self.steps - 1):
            now, new = t % self.kept, (t + 1) % self.kept
            error = target - rates[-1][now]
            change = error - alpha * u[now]
            u_int += dt * change
            torch.add(u_int, error, alpha=k_p, out=u[new])
            signal = u[new] if proactive else u[now]
            for l, drive in enumerate(drives):
                if l:
                    torch.addmm(self.biases[l], rates[l - 1][new], self.weights[l].T, out=vb[l][new])
                else:
                    # The drive of the first layer is constant.
                    vb[0][new] = v[0]
                torch.mm(signal, self.feedback[l].T, out=drive)
                torch.lerp(va[l][now], drive, dt / tau_a, out=va[l][new])
                if suffix:
                    sigma = s.sigma_output_fb if l == last else s.sigma_fb
                    va[l][new].add_(self.noise(t, l, drive), alpha=sigma * dt**0.5 / tau_a)
                torch.add(va[l][new], vb[l][new], out=drive)
                torch.lerp(vs[l][now], drive, dt / tau_v, out=vs[l][new])
                APPLY[self.activations[l]](vs[l][new], out=rates[l][new])
        return self._memory

    def _fallen_back(self, r, u, rates, target, first_error):
        """Returns which samples (n,) count as not converged."""
        s = self.settings
        distance = (rates[-1][-1] - (target - s.alpha_di * u[-1])).norm(dim=1) / r[-1].norm(dim=1)
        error = (target - rates[-1][-1]).norm(dim=1)
        return ~((distance < 1e-5) & (error < s.epsilon_di**2 * first_error.norm(dim=1)))

    def ss(self, x, v, r, nudge):
        """Sets the gradients of DFC-SS."""
        assert self.settings.efficient_controller
        target = r[-1] + nudge
        u, _, vb, vs, rates = self.simulate(v, r, target)
        # The memory-saving variant compares with the output of the first sample.
        bad = self._fallen_back(r, u, rates, target, target - r[-1][:1])[:, None]
        below = x
        for l, name in enumerate(self.activations):
            basal = vb[l][-1]
            change = (vs[l][-1] - basal).masked_fill(bad, 0.0)
            self._set_gradient(l, (APPLY[name](basal) - APPLY[name](basal + change)) * (2.0 / len(x)), below)
            below = torch.where(bad, r[l], rates[l][-1])

    def dfc(self, x, v, r, nudge):
        """Sets the gradients of DFC."""
        assert not self.settings.efficient_controller
        u, va, vb, vs, rates = self.simulate(v, r, r[-1] + nudge)
        bad = self._fallen_back(r, u, rates, r[-1] + nudge, nudge)
        if bad.any():
            u[:, bad] = 0.0
            for l, (each_v, each_r) in enumerate(zip(v, r, strict=True)):
                va[l][:, bad], vb[l][:, bad] = 0.0, each_v[bad]
                vs[l][:, bad], rates[l][:, bad] = each_v[bad], each_r[bad]
        scale = 2.0 / (len(x) * self.steps)
        for l, name in enumerate(self.activations):
            error = APPLY[name](vb[l], out=va[l]).sub_(rates[l]).mul_(scale)
            if l:
                self._set_gradient(l, error.flatten(0, 1), rates[l - 1].flatten(0, 1))
            else:
                self._set_gradient(0, error.sum(0), x)
