"""The page that tells a release's story after it ended: what moved, when, and on what evidence."""
