"""Draw the house from the imports of its code: each room stands above all that it imports.

python docs/picture.py          writes docs/house.svg
python docs/picture.py --check  exits with 1 where the picture is not of this code
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

import grimp

PACKAGE = "lcsearch"
FOLDERS = ("sessions", "engine", "tui")
"""From the ground up; each is a storey of its own, whatever the floors in it."""
PICTURE = Path(__file__).with_name("house.svg")
WIDTH, HEIGHT, GAP, FLOOR, MARGIN = 128, 34, 14, 74, 20
INK = {"sessions": "#8a6d3b", "engine": "#2d6a4f", "tui": "#2b5c8a"}


def rooms() -> dict[str, set[str]]:
    """Every room (`engine/advisor`, `sessions/store`) and the rooms that it imports."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: dict[str, set[str]] = {}

    def room(module: str) -> str | None:
        parts = module.split(".")
        return "/".join(parts[1:3]) if len(parts) > 2 else None

    for module in graph.modules:
        mine = room(module)
        if mine is None:
            continue
        imported = {room(other) for other in graph.find_modules_directly_imported_by(module)}
        found.setdefault(mine, set()).update(o for o in imported if o not in (None, mine))
    return found


def floors(imports: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each room: one above the highest that it imports, within its storey."""
    floor: dict[str, int] = {}
    ground = 0
    for folder in FOLDERS:
        mine = {room for room in imports if room.startswith(f"{folder}/")}
        left = set(mine)
        while left:
            ready = {room for room in left if not imports[room] & left - {room}}
            if not ready:
                raise SystemExit(f"a circle: {', '.join(sorted(left))}")
            for room in ready:
                below = [floor[other] + 1 for other in imports[room] & mine]
                floor[room] = max([ground, *below])
            left -= ready
        ground = 1 + max(floor[room] for room in mine)
    return floor


def needed(imports: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows that are not made of others: the rest follows from them."""

    def reach(start: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        waiting = list(start)
        while waiting:
            room = waiting.pop()
            if room not in seen:
                seen.add(room)
                waiting += imports[room]
        return seen

    return sorted(
        (room, other)
        for room, others in imports.items()
        for other in others
        if other not in reach(o for o in others if o != other)
    )


def drawn(imports: Mapping[str, set[str]]) -> str:
    """The picture as SVG."""
    floor = floors(imports)
    height = max(floor.values())
    rows = {at: sorted(room for room in floor if floor[room] == at) for at in range(height + 1)}
    widest = max(len(row) for row in rows.values())
    whole = (2 * MARGIN + widest * (WIDTH + GAP) - GAP, 2 * MARGIN + height * FLOOR + HEIGHT)
    place = {}
    for at, row in rows.items():
        indent = (widest - len(row)) * (WIDTH + GAP) / 2
        for number, room in enumerate(row):
            x = MARGIN + indent + number * (WIDTH + GAP)
            place[room] = x, MARGIN + (height - at) * FLOOR
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole[0]:.0f} {whole[1]:.0f}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for room, other in needed(imports):
        (x, y), (a, b) = place[room], place[other]
        lines.append(
            f'<path d="M{x + WIDTH / 2:.0f} {y + HEIGHT} C{x + WIDTH / 2:.0f} {y + HEIGHT + 24}, '
            f'{a + WIDTH / 2:.0f} {b - 24:.0f}, {a + WIDTH / 2:.0f} {b:.0f}" fill="none" '
            'stroke="#999999" stroke-width="1"/>'
        )
    for room, (x, y) in sorted(place.items()):
        lines.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="4" '
            f'fill="#ffffff" stroke="{INK[room.split("/")[0]]}" stroke-width="1.5"/>'
            f'<text x="{x + WIDTH / 2:.0f}" y="{y + HEIGHT / 2 + 4:.0f}" text-anchor="middle">'
            f"{escape(room)}</text>"
        )
    return "\n".join([*lines, "</svg>", ""])


def main() -> int:
    """Write it, or hold the one that there is against the code."""
    picture = drawn(rooms())
    if "--check" in sys.argv[1:]:
        if PICTURE.read_text(encoding="utf-8") == picture:
            return 0
        print(f"{PICTURE}: the rooms have changed. Run python docs/picture.py.", file=sys.stderr)
        return 1
    PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
