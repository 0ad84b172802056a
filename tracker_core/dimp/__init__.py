"""DiMP (Bhat et al. 2019), PrDiMP (Danelljan et al. 2020) and SuperDiMP."""
