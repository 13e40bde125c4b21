"""Our verdicts in Evidently: the detectors as its custom metrics with tests, its reports, and a workspace that keeps them."""
