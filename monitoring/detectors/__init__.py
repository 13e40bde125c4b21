"""Detectors: how far a window lies from its reference, one pure function each; see docs/drift.md, "Detectors"."""
