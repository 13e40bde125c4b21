"""A retraining whose stages run on work pools, each in a clone of its own."""
