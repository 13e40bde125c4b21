"""Gates on the data, checked with Great Expectations."""

import logging

# It logs each of its own decorators at INFO while it is imported, so this must stand before any import of it.
logging.getLogger("great_expectations").setLevel(logging.WARNING)
