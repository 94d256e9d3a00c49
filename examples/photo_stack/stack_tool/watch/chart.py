"""A chart of series over time, as SVG."""
import html
import math

WIDTH, HEIGHT = 420, 150
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 8, 20  # margins: room for the numbers
COLORS = ("#3b76d6", "#e0762f", "#2f9e62", "#b5489c", "#8a7a2a", "#2aa2b8", "#d0453b", "#6f5bd0")  # seen on light and on dark
GAP_STEPS = 2.5  # so many steps without a value, and the line is broken
SCALES = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")), "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))}


def color(index):
    return COLORS[index % len(COLORS)]


def number(value, unit):
    """As people read it: 0.0123 s is 12.3 ms."""
    if value == 0:
        return "0"
    scale, name = next(((s, n) for s, n in SCALES.get(unit, ()) if abs(value) >= s), SCALES.get(unit, ((1, unit),))[-1])
    scaled = value / scale
    digits = 0 if scaled == int(scaled) or abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
    return f"{scaled:.{digits}f}{'' if name in ('%', '/s') else ' '}{name}".strip()


def _top(series):
    """A round number that no value is above: 1, 2, 2.5 or 5 times a power of ten."""
    highest = max((value for each in series for _, value in each.points if math.isfinite(value)), default=0)
    if highest <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= highest * 0.999)


def _line(points, x, y, step):
    """Path of the points, broken where some are missing."""
    path, last = [], None
    for at, value in points:
        if not math.isfinite(value):
            continue
        path.append(f"{'L' if last is not None and at - last <= GAP_STEPS * step else 'M'}{x(at):.1f} {y(value):.1f}")
        last = at
    return "".join(path)


def svg(series, unit, end, seconds, steps):
    """`end`: the time at the right edge; `seconds`: how much is seen."""
    top = _top(series)
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(at):
        return LEFT + inner_width * (1 - (end - at) / seconds)

    def y(value):
        return TOP + inner_height * (1 - min(max(value, 0), top) / top)

    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for part in (0, 0.5, 1):
        height = y(top * part)
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{number(top * part, unit)}</text>')
    for part, anchor in ((1, "start"), (0.5, "middle"), (0, "end")):
        said = "now" if part == 0 else f"−{number(seconds * part / 60, '')} min"
        out.append(f'<text x="{LEFT + inner_width * (1 - part):.1f}" y="{HEIGHT - 4}" text-anchor="{anchor}">{said}</text>')
    for index, each in enumerate(series):
        out.append(f'<path class="series" stroke="{color(index)}" d="{_line(each.points, x, y, seconds / steps)}"/>')
    return "".join(out) + "</svg>"


def legend(names_and_series, unit):
    rows = []
    for index, (name, series) in enumerate(names_and_series):
        last = series.points[-1][1] if series.points else math.nan
        said = number(last, unit) if math.isfinite(last) else "–"
        rows.append(f'<li><i style="background:{color(index)}"></i>{html.escape(name)} <b>{said}</b></li>')
    return f'<ul class="legend">{"".join(rows)}</ul>'
