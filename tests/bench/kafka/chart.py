"""A chart of what a record costs, as SVG by hand: groups of bars, one per pipeline and guarantee, on a logarithmic scale."""

from math import log10

COLOURS = {"wire": "#9aa5b1", "floor": "#52606d", "headwater": "#0b7285", "headwater-rocksdb": "#3bc9db",
           "headwater-default": "#99e9f2", "kstreams": "#e67700"}
NAMES = {"wire": "wire, passthrough", "floor": "librdkafka floor", "headwater": "Headwater", "headwater-rocksdb": "Headwater, RocksDB",
         "headwater-default": "the same, 256 MiB",
         "kstreams": "Kafka Streams"}
BAR, GAP, LEFT, TOP, HEIGHT = 22, 26, 60, 56, 320


def draw(rows, wire):
    """The chart of these rows of the table; `wire` is the same for all."""
    groups = {}
    for row in rows:
        if row["cpu_ns"]:
            groups.setdefault((row["pipeline"], row["guarantee"]), []).append((row["system"], row["cpu_ns"]))
    costs = [cost for bars in groups.values() for _, cost in bars] + ([wire] if wire else [])
    least, most = 10 ** int(log10(min(costs, default=10))), 10 ** (int(log10(max(costs, default=100))) + 1)
    height = lambda cost: HEIGHT * log10(cost / least) / log10(most / least)
    shapes, x = [], LEFT + GAP
    for (pipeline, guarantee), bars in groups.items():
        bars = ([("wire", wire)] if wire else []) + bars
        middle = x + BAR * len(bars) / 2
        for system, cost in bars:
            y = TOP + HEIGHT - height(cost)
            shapes.append(f'<rect x="{x}" y="{y:.1f}" width="{BAR - 3}" height="{height(cost):.1f}" fill="{COLOURS[system]}"/>')
            shapes.append(text(x + BAR / 2 - 1.5, y - 4, f"{cost:.0f}", size=9))
            x += BAR
        shapes.append(text(middle, TOP + HEIGHT + 16, pipeline))
        shapes.append(text(middle, TOP + HEIGHT + 30, guarantee.replace("_", " "), size=10))
        x += GAP
    lines = []
    for power in range(round(log10(least)), round(log10(most)) + 1):
        y = TOP + HEIGHT - height(10 ** power)
        lines.append(f'<line x1="{LEFT}" x2="{x}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d9dee3"/>')
        lines.append(text(LEFT - 6, y + 4, f"{10 ** power:,}", anchor="end"))
    shown = dict.fromkeys((["wire"] if wire else []) + [system for bars in groups.values() for system, _ in bars])
    for at, system in enumerate(shown):
        lines.append(f'<rect x="{LEFT + at * 150}" y="30" width="11" height="11" fill="{COLOURS[system]}"/>')
        lines.append(text(LEFT + 16 + at * 150, 40, NAMES[system], anchor="start"))
    title = text(LEFT, 18, "Processor time of all threads per input record, ns (logarithmic)", anchor="start", size=13)
    width = max(x + GAP, LEFT + 150 * len(shown))
    size = f'width="{width}" height="{TOP + HEIGHT + 44}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', title, *lines, *shapes, "</svg>"]) + "\n"


def text(x, y, words, anchor="middle", size=11):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{words}</text>'
