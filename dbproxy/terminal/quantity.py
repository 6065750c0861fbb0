"""Numbers as an operator reads them at a glance."""

BARS = " ▁▂▃▄▅▆▇█"


def show_duration(seconds: float) -> str:
    """`850 µs`, `12.3 ms`, `4.5 s`, `3 min`, `2 h`, `5 d`."""
    if seconds <= 0:
        return "0"
    for factor, unit, most in ((1e6, "µs", 1e-3), (1e3, "ms", 1.0), (1, "s", 120.0)):
        if seconds < most:
            return f"{_short(seconds * factor)} {unit}"
    for size, unit, most in ((60, "min", 7200.0), (3600, "h", 172_800.0)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def show_bytes(size: float) -> str:
    """`0 B`, `12 KiB`, `3.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{_short(size) if unit != 'B' else f'{size:.0f}'} {unit}"
        size /= 1024
    return f"{_short(size)} TiB"


def show_rate(number: float) -> str:
    """`0`, `0.4`, `123`, `45,678`."""
    return f"{number:,.0f}" if number >= 10 or number == 0 else f"{number:.1f}"


def draw(values: list[float]) -> str:
    """A line of bars, the highest for the greatest value."""
    most = max(values, default=0)
    if most <= 0:
        return BARS[1] * len(values)
    return "".join(BARS[1 + round(7 * value / most)] for value in values)


def _short(number: float) -> str:
    return f"{number:.1f}" if number < 100 else f"{number:.0f}"
