"""The page of a window: what an on-call engineer reads first."""
