"""The stages of the offline DAG, one folder each, and the modules they share."""
