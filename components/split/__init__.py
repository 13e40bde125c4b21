"""Which listings are trained on, tuned on and held out."""
