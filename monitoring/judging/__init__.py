"""From what detectors measured to a verdict: forecast, surprise, causes, blame; see docs/drift.md, "Verdict"."""
