"""FCOT: Cui et al., Fully Convolutional Online Tracking, 2020."""
