"""The minibatches of dfc_peers.py in PyTorch, as one would write them from the equations: dfc_speed.py compares with these.

Differentiated automatically for BP, by hand for the others; whole batches in every call, results written in place, fused Adam.
The stored variant of the controller keeps u, va, vb, vs and r of all time points and takes its averages from them, as the
published program does; the memory-saving one keeps two time points.  DFC-SSA forms the Jacobian (n_L, N) of every sample, its
product with the feedback weights, and solves one n_L x n_L system a sample (torch.linalg.solve of all of them at once).
Generously, the drive of the first layer, whose input stands still, is computed once, not at every time point.
"""

import torch
import torch.nn.functional as F

CHUNK = 1 << 25  # numbers in the Jacobians that are formed at once: 128 images need 1 GB each for the autoencoder
APPLY = {"tanh": torch.tanh, "linear": lambda v, out=None: v.clone() if out is None else out.copy_(v)}
SLOPE = {"tanh": lambda r: 1.0 - r * r, "linear": torch.ones_like}


class Peer:
    """A network of one config, with its optimisers.

    settings  dfc.settings.Settings
    net       dfc.network.FeedbackNetwork, whose weights are copied
    noise     (time point, layer, shape) -> standard normals for the noise; None: drawn by PyTorch
    """

    def __init__(self, settings, net, noise=None):
        parameters = [[torch.nn.Parameter(torch.from_numpy(p.copy())) for p in ps] for ps in (net.weights, net.biases, net.feedback)]
        self.weights, self.biases, self.feedback = parameters
        self.settings, self.activations = settings, settings.activations
        self.noise = noise or (lambda t, l, like: torch.randn_like(like))
        self.parameters = [p for pair in zip(self.weights, self.biases, strict=True) for p in pair]
        betas, shared = (settings.beta1, settings.beta2), {"eps": settings.epsilon, "weight_decay": settings.forward_wd}
        self.adam = torch.optim.Adam(self.parameters, settings.lr, betas, **shared, fused=True)
        if settings.rule.startswith("DFC") and not settings.freeze_fb_weights:
            betas, shared = (settings.beta1_fb, settings.beta2_fb), {"eps": settings.epsilon_fb, "weight_decay": settings.feedback_wd}
            self.adam_feedback = torch.optim.Adam(self.feedback, settings.lr_fb, betas, **shared, fused=True)

    def forward_step(self, x, target):
        """One update of the forward weights; returns loss and accuracy before it."""
        if self.settings.rule == "BP":
            return self._backprop_step(x, target)
        with torch.no_grad():
            v, r = self.forward(x)
            loss, nudge = self.nudge(r[-1], target)
            {"DFA": self.dfa, "DFC-SSA": self.ssa, "DFC-SS": self.ss, "DFC": self.dfc}[self.settings.rule](x, v, r, nudge)
            for p in self.parameters:
                torch.nn.utils.clip_grad_norm_([p], 1.0)
        self.adam.step()
        return loss, (r[-1].argmax(1) == target).sum() / len(x) if target.ndim == 1 else None

    def feedback_step(self, x, target):
        """One update of the feedback weights by normal_controller; labels play no part."""
        with torch.no_grad():
            v, r = self.forward(x)
            steps, sigma = self.settings.steps_fb, max(self.settings.sigma_fb, 0.01)
            u, va, *_ = self.simulate(v, r, r[-1], steps, "_fb", stored=True)
            scale = 1.0 / (sigma**2 * (steps - 1) * len(x))
            for q, each in zip(self.feedback, va, strict=True):
                q.grad = each[:-1].flatten(0, 1).T @ u[1:].flatten(0, 1) * scale
            torch.nn.utils.clip_grad_norm_(self.feedback, 1.0)
        self.adam_feedback.step()

    def forward(self, x):
        v, r = [], []
        for w, b, name in zip(self.weights, self.biases, self.activations, strict=True):
            v.append(torch.addmm(b, r[-1] if r else x, w.T))
            r.append(APPLY[name](v[-1]))
        return v, r

    def nudge(self, output, target):
        """(loss, r* - r_L)"""
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
        """From the sum over time points and samples of errors and rates below to means over the batch."""
        self.weights[l].grad, self.biases[l].grad = error.T @ below, error.sum(0)

    def dfa(self, x, v, r, nudge):
        for l, each in enumerate(r):
            change = nudge @ self.feedback[l].T if l < len(r) - 1 else nudge
            self._set_gradient(l, SLOPE[self.activations[l]](each) * change * (-2.0 / len(x)), r[l - 1] if l else x)

    def ssa(self, x, v, r, nudge):
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

    def simulate(self, v, r, target, steps, phase="", stored=False):
        """(u, va, vb, vs, r) along a new first axis: all time points if `stored`, else the last at index -1 of two."""
        s, kept, last = self.settings, steps if stored else 2, len(v) - 1
        names = ("k_p", "dt_di", "time_constant_ratio", "apical_time_constant", "inst_transmission")
        k_p, dt, tau_v, tau_a, inst_transmission = (getattr(s, name + phase) for name in names)
        assert inst_transmission and not s.inst_system_dynamics and not s.noisy_dynamics
        alpha, proactive = (s.alpha_fb, False) if phase else (s.alpha_di, s.proactive_controller)
        va, vs, rates, vb = [[each.new_empty(kept, *each.shape) for each in v] for _ in range(4)]
        vb[0] = v[0].expand(kept, *v[0].shape)  # nothing happens to the input
        u, u_int = target.new_zeros(kept, *target.shape), torch.zeros_like(target)
        for l, each in enumerate(v):
            va[l][0], vs[l][0], rates[l][0] = 0.0, each, r[l]
            if l:
                vb[l][0] = each
        drives = [torch.empty_like(each) for each in v]
        for t in range(steps - 1):
            now, new = t % kept, (t + 1) % kept
            error = target - rates[-1][now]
            change = error - alpha * u[now]
            u_int += dt * change
            torch.add(u_int, error, alpha=k_p, out=u[new])
            signal = u[new] if proactive else u[now]
            for l, drive in enumerate(drives):
                if l:
                    torch.addmm(self.biases[l], rates[l - 1][new], self.weights[l].T, out=vb[l][new])
                torch.mm(signal, self.feedback[l].T, out=drive)
                torch.lerp(va[l][now], drive, dt / tau_a, out=va[l][new])
                if phase:
                    sigma = s.sigma_output_fb if l == last else s.sigma_fb
                    va[l][new].add_(self.noise(t, l, drive), alpha=sigma * dt**0.5 / tau_a)
                torch.add(va[l][new], vb[l][new], out=drive)
                torch.lerp(vs[l][now], drive, dt / tau_v, out=vs[l][new])
                APPLY[self.activations[l]](vs[l][new], out=rates[l][new])
        return [u, va, vb, vs, rates] if stored else self._last(steps, u, va, vb, vs, rates)

    @staticmethod
    def _last(steps, u, *layers):
        at = slice((steps - 1) % 2, (steps - 1) % 2 + 1)
        return [u[at], *[[each[at] for each in arrays] for arrays in layers]]

    def _fallen_back(self, r, u, rates, target, first_error):
        """Which samples (n,) count as not converged."""
        s = self.settings
        distance = (rates[-1][-1] - (target - s.alpha_di * u[-1])).norm(dim=1) / r[-1].norm(dim=1)
        error = (target - rates[-1][-1]).norm(dim=1)
        return ~((distance < 1e-5) & (error < s.epsilon_di**2 * first_error.norm(dim=1)))

    def ss(self, x, v, r, nudge):
        assert self.settings.efficient_controller
        target = r[-1] + nudge
        u, _, vb, vs, rates = self.simulate(v, r, target, self.settings.steps)
        # the memory-saving variant compares with the output of the first sample
        bad = self._fallen_back(r, u, rates, target, target - r[-1][:1])[:, None]
        below = x
        for l, name in enumerate(self.activations):
            basal = vb[l][-1]
            change = (vs[l][-1] - basal).masked_fill(bad, 0.0)
            self._set_gradient(l, (APPLY[name](basal) - APPLY[name](basal + change)) * (2.0 / len(x)), below)
            below = torch.where(bad, r[l], rates[l][-1])

    def dfc(self, x, v, r, nudge):
        assert not self.settings.efficient_controller
        target = r[-1] + nudge
        u, va, vb, vs, rates = self.simulate(v, r, target, self.settings.steps, stored=True)
        bad = self._fallen_back(r, u, rates, target, nudge)
        if bad.any():
            u[:, bad] = 0.0
            for l, (each_v, each_r) in enumerate(zip(v, r, strict=True)):
                va[l][:, bad], vs[l][:, bad], rates[l][:, bad] = 0.0, each_v[bad], each_r[bad]
                if l:
                    vb[l][:, bad] = each_v[bad]
        scale = 2.0 / (len(x) * self.settings.steps)
        for l, name in enumerate(self.activations):
            if l:
                error = APPLY[name](vb[l]).sub_(rates[l]).mul_(scale).flatten(0, 1)
                self._set_gradient(l, error, rates[l - 1].flatten(0, 1))
            else:
                error = (r[0] * self.settings.steps - rates[0].sum(0)) * scale
                self._set_gradient(0, error, x)
