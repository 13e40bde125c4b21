"""Drift windows, detectors and pages."""
