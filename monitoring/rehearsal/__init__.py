"""Simulated days of predictions, quiet ones and some with a fault in them, whose cause is known."""
