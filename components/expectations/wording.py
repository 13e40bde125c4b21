"""Numbers as people read them."""


def number(value: float | None) -> str:
    """A number with four significant digits, or whole from a thousand on; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
