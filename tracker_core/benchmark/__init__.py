"""Run any tracker on any benchmark and score it with the official measures.

python -m tracker_core.benchmark --help
"""
