"""Plain-Python install (``pip install -e .``); colcon builds with CMakeLists.txt."""

from setuptools import setup

setup()
