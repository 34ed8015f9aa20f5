"""The results as one SVG picture: DORA/s and p99 over the number of leases. Plain text, so that no library is needed."""

import math

from table import median

WIDTH, HEIGHT = 900, 380
PANEL_WIDTH, PANEL_HEIGHT, TOP, LEFT, GAP = 340, 250, 60, 70, 100
COLOURS = {"twinlease": "#0b7285", "kea": "#e8590c", "dnsmasq": "#868e96",
           "twins": "#1098ad", "twins-lb": "#66d9e8", "kea-hs": "#e8590c", "kea-lb": "#ffa94d"}
BAR_HEIGHT, BAR_GAP, LABEL_WIDTH = 24, 12, 240


def svg(results):
    rates = [str(rate) for rate in results["rates"]]
    panels = [("New leases, DORA/s with < 1 % loss", ("dora_per_s",))]
    if rates:
        panels.append((f"p99 of a whole DORA in ms, at {int(rates[-1]):,}/s", ("latency", rates[-1], "p99_ms")))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for number, (title, path) in enumerate(panels):
        parts += panel(results, title, path, LEFT + number * (PANEL_WIDTH + GAP))
    parts += legend(results)
    return "\n".join(parts + ["</svg>"]) + "\n"


def pair_svg(results):
    """Pairs and our single node as bars: what they reach, and what each exchange costs."""
    rates = [str(rate) for rate in results["pair_rates"]]
    panels = [("New leases, DORA/s with < 1 % loss", ("dora_per_s",))]
    if rates:
        panels.append((f"CPU µs per DORA, all nodes together, at {int(rates[0]):,}/s", ("latency", rates[0], "cpu_us")))
    height = TOP + len(results["pair"]) * (BAR_HEIGHT + BAR_GAP) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>']
    width = (WIDTH - LABEL_WIDTH - 40) / 2 - 70
    for number, (title, path) in enumerate(panels):
        left = LABEL_WIDTH + number * (width + 80)
        parts.append(f'<text x="{left}" y="{TOP - 20}" font-size="14" font-weight="bold">{title.replace("<", "&lt;")}</text>')
        values = {name: median(entry["runs"], *path) for name, entry in results["pair"].items()}
        longest = max((value for value in values.values() if value), default=1)
        for row, (name, value) in enumerate(values.items()):
            top = TOP + row * (BAR_HEIGHT + BAR_GAP)
            middle = top + BAR_HEIGHT / 2 + 4
            if number == 0:
                parts.append(f'<text x="{LABEL_WIDTH - 10}" y="{middle}" text-anchor="end">{results["pair"][name]["label"]}</text>')
            bar = width * (value or 0) / longest
            parts += [f'<rect x="{left}" y="{top}" width="{bar:.1f}" height="{BAR_HEIGHT}" fill="{COLOURS.get(name, "#000000")}"/>',
                      f'<text x="{left + bar + 6:.1f}" y="{middle}">{f"{value:,.0f}" if value else "no figure"}</text>']
    return "\n".join(parts + ["</svg>"]) + "\n"


def panel(results, title, path, left):
    series = {}
    for level in results["levels"]:
        for name, entry in results["by_level"][str(level)].items():
            value = median(entry["runs"], *path)
            if value:
                series.setdefault(name, []).append((level, value))
    values = [value for points in series.values() for _, value in points]
    parts = [f'<text x="{left}" y="{TOP - 20}" font-size="14" font-weight="bold">{title.replace("<", "&lt;")}</text>']
    if not values:
        return parts + [f'<text x="{left}" y="{TOP + 20}">no figures</text>']
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values) * 1.05))
    high = max(high, low + 1)
    levels = results["levels"]

    def x(level):
        if len(levels) == 1:
            return left + PANEL_WIDTH / 2
        return left + PANEL_WIDTH * (math.log10(level / levels[0]) / math.log10(levels[-1] / levels[0]))

    def y(value):
        return TOP + PANEL_HEIGHT * (1 - (math.log10(value) - low) / (high - low))

    for power in range(low, high + 1):
        line = y(10**power)
        parts += [f'<line x1="{left}" y1="{line:.1f}" x2="{left + PANEL_WIDTH}" y2="{line:.1f}" stroke="#dee2e6"/>',
                  f'<text x="{left - 8}" y="{line + 4:.1f}" text-anchor="end">{10**power:,g}</text>']
    for level in levels:
        parts.append(f'<text x="{x(level):.1f}" y="{TOP + PANEL_HEIGHT + 20}" text-anchor="middle">{level:,}</text>')
    parts.append(f'<text x="{left + PANEL_WIDTH / 2}" y="{TOP + PANEL_HEIGHT + 38}" text-anchor="middle">active leases</text>')
    for name, points in series.items():
        colour = COLOURS.get(name, "#000000")
        line = " ".join(f"{x(level):.1f},{y(value):.1f}" for level, value in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for level, value in points:
            label = f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
            parts += [f'<circle cx="{x(level):.1f}" cy="{y(value):.1f}" r="4" fill="{colour}"/>',
                      f'<text x="{x(level):.1f}" y="{y(value) - 8:.1f}" text-anchor="middle" fill="{colour}">{label}</text>']
    return parts


def legend(results):
    labels = {}
    for level in results["by_level"].values():
        for name, entry in level.items():
            labels[name] = entry["label"]
    parts = []
    for number, (name, label) in enumerate(labels.items()):
        left = LEFT + number * 220
        parts += [f'<rect x="{left}" y="{HEIGHT - 20}" width="12" height="12" fill="{COLOURS.get(name, "#000000")}"/>',
                  f'<text x="{left + 18}" y="{HEIGHT - 10}">{label}</text>']
    return parts
