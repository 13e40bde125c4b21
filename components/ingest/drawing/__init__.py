"""Drawn product photos: what is on them, what is wrong with them, and the pixels."""
