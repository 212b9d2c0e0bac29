"""Deep Feedback Control (system 2): network, controller, steady state, feedback learning, and the settings of a run."""
