"""What the detectors say of a window that was read."""

from monitoring.detectors.measure import Comparison, compare
from monitoring.reading import Read
from monitoring.reference import Reference


def measured(read: Read, reference: Reference) -> Comparison:
    """Every detector in every segment of the window, or of one of its parts, against the release's own reference; of a window without
    rows nothing but what its probes and clicks say."""
    return compare(reference.baseline, read.window, reference.beside(read.extras), read.extras, read.whole)
