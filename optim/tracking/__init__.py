"""Tracking: the Tracker protocol and the projection of a study into MLflow."""
