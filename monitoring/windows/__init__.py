"""Windows: what lies in the prediction log, joined with listings and clicks, checked, and sampled; see docs/drift.md, "Windows"."""
