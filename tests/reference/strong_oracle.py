"""The equations of Strong-DFC, written down once more from strong_dfc.md 2 to 5 alone: plain
numpy, all time points stored.

A phase is a dict of settings: alpha, dt, T, k_p, tau_v, tau_A (None: instantaneous apical compartments), transmission,
s (standard deviation of the noise of every layer, or None), coloured, and those of every phase: proactive, inst_system,
tau_f_of_u (None: no filter), tau_noise, ideal, error ("mse" or "ce").
"""

import numpy as np

PHI = {
    "tanh": np.tanh,
    "relu": lambda v: np.where(v > 0.0, v, 0.0),
    "leakyrelu": lambda v: np.where(v > 0.0, v, 0.2 * v),
    "linear": lambda v: v,
    "sigmoid": lambda v: 1.0 / (1.0 + np.exp(-v)),
}
SLOPE = {
    "tanh": lambda v: 1.0 - np.tanh(v) ** 2,
    "relu": lambda v: np.where(v >= 0.0, 1.0, 0.0),
    "leakyrelu": lambda v: np.where(v >= 0.0, 1.0, 0.2),
    "linear": lambda v: 1.0 + 0.0 * v,
    "sigmoid": lambda v: PHI["sigmoid"](v) * (1.0 - PHI["sigmoid"](v)),
}


def softmax(r):
    e = np.exp(r - r.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Net:
    """W, b, Q and the hidden activation; the output layer is linear."""

    def __init__(self, W, b, Q, hidden):
        self.W, self.b, self.Q, self.L = W, b, Q, len(W)
        self.names = [hidden] * (self.L - 1) + ["linear"]

    def phi(self, i, v):
        return PHI[self.names[i]](v)

    def slope(self, i, v):
        return SLOPE[self.names[i]](v)

    def forward(self, x):
        v, r = [], []
        for i in range(self.L):
            v.append((r[-1] if r else x) @ self.W[i].T + self.b[i])
            r.append(self.phi(i, v[-1]))
        return v, r


def phase(f, suffix, s, before=False):
    """The phase of flags {published name: value}: suffix "" of the forward phase, "_fb" of the others."""
    ce = f["strong_feedback"] and f["classification"] and not before
    return {
        "alpha": f["alpha_di" + suffix], "dt": f["dt_di" + suffix], "T": f["tmax_di" + suffix],
        "k_p": f["k_p" + suffix], "tau_v": f["time_constant_ratio" + suffix],
        "tau_A": None if f["single"] else f["apical_time_constant" + suffix],
        "transmission": f["inst_transmission" + suffix], "s": s, "coloured": f["single"] or f["low_pass_filter_noise"],
        "proactive": f["proactive_controller"], "inst_system": f["inst_system_dynamics"], "tau_noise": f["tau_noise"],
        "tau_f_of_u": f["tau_f"] if f["low_pass_filter_u"] else None, "ideal": f["use_jacobian_as_fb"],
        "error": "ce" if ce else "mse",
    }  # fmt: skip


def control_signals(p, target, u, u_int, output):
    e = target - (softmax(output) if p["error"] == "ce" else output)
    if p["k_p"] == 0.0:
        return u + p["dt"] * (e - p["alpha"] * u), u_int
    u_int = u_int + p["dt"] * (e - p["alpha"] * u)
    return u_int + p["k_p"] * e, u_int


def simulate(net, x, target, p, xi):
    """Every time point of section 4: {"u": [...], "va": [[layer, ...], ...], "vb", "vs", "r"}."""
    v, r = net.forward(x)
    zero = np.zeros_like(target)
    vs, vb, va, rates = [list(v)], [list(v)], [[0.0 * a for a in v]], [list(r)]
    u, w, u_int, eps = [zero], [zero], zero, [0.0 * a for a in v]
    for t in range(p["T"] - 1):
        new_u, u_int = control_signals(p, target, u[t], u_int, rates[t][-1])
        u.append(new_u)
        share = 1.0 if p["tau_f_of_u"] is None or t == 0 else p["dt"] / p["tau_f_of_u"]
        w.append(share * new_u + (1.0 - share) * w[t])
        felt = w[t + 1] if p["proactive"] else w[t]
        now = {name: [None] * net.L for name in ("va", "vb", "vs", "r")}
        layers = range(net.L) if p["transmission"] or p["inst_system"] else range(net.L - 1, -1, -1)
        for i in layers:
            below = x if i == 0 else (now["r"][i - 1] if p["transmission"] or p["inst_system"] else rates[t][i - 1])
            basal = below @ net.W[i].T + net.b[i]
            drive = ideal_drive(net, vs[t], felt, i) if p["ideal"] else felt @ net.Q[i].T
            apical = drive if p["tau_A"] is None else va[t][i] + p["dt"] / p["tau_A"] * (drive - va[t][i])
            if p["s"] is not None and p["coloured"]:
                tau = p["tau_noise"]
                eps[i] = p["dt"] / tau / np.sqrt(p["dt"]) * xi[i][t] + (1.0 - p["dt"] / tau) * eps[i]
                apical = apical + p["s"][i] * eps[i]
            elif p["s"] is not None:
                apical = apical + p["s"][i] * np.sqrt(p["dt"]) / p["tau_A"] * xi[i][t]
            somatic = (
                apical + basal if p["inst_system"] else vs[t][i] + p["dt"] / p["tau_v"] * (apical + basal - vs[t][i])
            )
            for name, value in (("va", apical), ("vb", basal), ("vs", somatic), ("r", net.phi(i, somatic))):
                now[name][i] = value
        for kept, name in ((va, "va"), (vb, "vb"), (vs, "vs"), (rates, "r")):
            kept.append(now[name])
    return {"u": u, "va": va, "vb": vb, "vs": vs, "r": rates}


def ideal_drive(net, v, felt, i):
    """w J_i of every sample, one after the other."""
    drives = []
    for b in range(len(felt)):
        J = np.eye(net.W[-1].shape[0])
        for k in range(net.L - 1, i, -1):
            J = J @ net.W[k] @ np.diag(net.slope(k - 1, v[k - 1][b]))
        drives.append(felt[b] @ J)
    return np.array(drives)


def gradients_over_time(net, x, found, rule):
    T, B = len(found["u"]), len(x)
    dW, db = [np.zeros_like(W) for W in net.W], [np.zeros_like(b) for b in net.b]
    for t in range(T):
        for i in range(net.L):
            vs, vb = found["vs"][t][i], found["vb"][t][i]
            D = vs - vb if rule == "voltage_difference" else net.phi(i, vs) - net.phi(i, vb)
            dW[i] -= 2.0 / (B * T) * D.T @ (found["r"][t][i - 1] if i else x)
            db[i] -= 2.0 / (B * T) * D.sum(axis=0)
    return dW, db


def gradients_at_the_end(net, x, found, rule):
    B, dW, db = len(x), [], []
    for i in range(net.L):
        delta, below = found["vs"][-1][i] - found["vb"][-1][i], found["r"][-1][i - 1] if i else x
        a = below @ net.W[i].T + net.b[i]
        s = delta if rule == "voltage_difference" else net.phi(i, a + delta) - net.phi(i, a)
        dW.append(-2.0 / B * s.T @ below)
        db.append(-2.0 / B * s.sum(axis=0))
    return dW, db


def feedback_gradients(net, found, s, growth, share):
    """dQ of section 5; share, dt / tau_f of the high-pass filter, or None where the signal itself teaches."""
    u, T, B = found["u"], len(found["u"]), len(found["u"][0])
    h = list(u)
    if share is not None:
        low = [None, u[1]]
        for t in range(2, T):
            low.append(share * u[t] + (1.0 - share) * low[t - 1])
        h = [None] + [u[t] - low[t] for t in range(1, T)]
    dQ = []
    for i in range(net.L):
        total = sum(found["va"][t][i].T @ h[t + 1] for t in range(T - 1))
        dQ.append(growth ** (net.L - 1 - i) / max(s[i], 0.01) ** 2 / ((T - 1) * B) * total)
    return dQ


def output_target(net, x, y, strong, classification, stepsize):
    output = net.forward(x)[1][-1]
    if strong:
        return y
    g = softmax(output) - y if classification else 2.0 * (output - y) / output.shape[1]
    return output - stepsize * g
