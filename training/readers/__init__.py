"""Readers of the published training sets, of videos and of robot recordings."""
