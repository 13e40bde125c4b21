"""Asking a running gateway questions whose answers are known."""
