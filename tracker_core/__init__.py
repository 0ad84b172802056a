"""Visual single-object trackers with online updates; needs no ROS."""

__version__ = '0.1.0'

from tracker_core.box import Box
from tracker_core.factory import build_tracker, tracker_names
from tracker_core.tracker import Estimate, Tracker, TrackState

__all__ = ['Box', 'Estimate', 'TrackState', 'Tracker', 'build_tracker', 'tracker_names']
