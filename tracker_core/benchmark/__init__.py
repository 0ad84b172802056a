"""Run any tracker on any benchmark and score it with the official measures.

    python -m tracker_core.benchmark run --dataset otb100 --root DIR --trackers siamfc,csrt
    python -m tracker_core.benchmark report --dataset otb100 --root DIR
    python -m tracker_core.benchmark compare siamfc csrt --dataset otb100 --root DIR
    python -m tracker_core.benchmark pack --dataset got10k_test --root DIR --trackers siamfc
    python -m tracker_core.benchmark speed
    python -m tracker_core.benchmark.vot_toolkit --help

A folder of folders with frames and ``groundtruth.txt`` is a data set too (``--dataset folders``).
To add a layout, write a function from its root to a `Dataset` and name it in `readers`.
"""
