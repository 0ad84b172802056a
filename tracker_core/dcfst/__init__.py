"""DCFST: Zheng et al., Learning Features with Differentiable Closed-Form Solver, 2019."""
