"""Offline training: recordings in, weights for `tracker_core` out."""
