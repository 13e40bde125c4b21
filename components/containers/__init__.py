"""Picture files taken apart without decoding: where the pixels are, and what else is in there."""
