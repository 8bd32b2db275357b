#!/usr/bin/python3
"""Draws where a program's processor time goes: `perf script` on standard input, an SVG on standard output.

    perf record -F 997 -g -p PID -- sleep 10; perf script | tools/flame.py "GetItem, one loop" >docs/getitem.svg

Each box is a function, as wide as its share of the samples, above the one that called it. Boxes narrower than a
thousandth are left out. Colours tell layers apart: the kernel, libraries, and the program's own folders.
"""
import html
import re
import sys

WIDTH, ROW, MARGIN, TEXT_MIN = 1200, 17, 12, 36
NARROWEST = 0.001
COLOURS = {"kernel": "#d9a05b", "library": "#c9c06a", "own": "#7fb3c8"}
FRAME = re.compile(r"^\s+[0-9a-f]+\s+(.*?)(?:\+0x[0-9a-f]+)?\s+\((.*)\)$")


class Node:
    def __init__(self, name, kind):
        self.name, self.kind, self.count, self.children = name, kind, 0, {}

    def child(self, name, kind):
        return self.children.setdefault(name, Node(name, kind))


def kind_of(place):
    if place.startswith("[") or place.endswith((".ko", "vmlinux")):
        return "kernel"
    return "library" if ".so" in place else "own"


def read(lines):
    """The tree of all samples, callers first."""
    root, stack = Node("all", "own"), []
    for line in list(lines) + [""]:
        found = FRAME.match(line)
        if found:
            stack.append((found.group(1), kind_of(found.group(2))))
        elif not line.strip() and stack:
            node = root
            node.count += 1
            for name, kind in reversed(stack):
                node = node.child(name, kind)
                node.count += 1
            stack = []
    return root


def depth_of(node, least):
    below = [depth_of(c, least) for c in node.children.values() if c.count >= least]
    return 1 + max(below, default=0)


def boxes(node, x, level, total, height, out):
    width = (WIDTH - 2 * MARGIN) * node.count / total
    y = height - MARGIN - (level + 1) * ROW
    share = 100 * node.count / total
    label = html.escape(node.name)
    out.append(f'<g><title>{label} ({share:.1f} %)</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
               f'height="{ROW - 1}" fill="{COLOURS[node.kind]}" rx="2"/>')
    if width > TEXT_MIN:
        fits = int((width - 6) / 6.6)
        text = node.name if len(node.name) <= fits else node.name[:max(fits - 2, 1)] + ".."
        out.append(f'<text x="{x + 3:.1f}" y="{y + 12}">{html.escape(text)}</text>')
    out.append("</g>")
    for child in sorted(node.children.values(), key=lambda c: c.name):
        if child.count >= total * NARROWEST:
            boxes(child, x, level + 1, total, height, out)
            x += (WIDTH - 2 * MARGIN) * child.count / total


def main():
    title = sys.argv[1] if len(sys.argv) > 1 else "samples"
    root = read(sys.stdin)
    if not root.count:
        sys.exit("no samples on standard input")
    height = (depth_of(root, root.count * NARROWEST) + 3) * ROW + 2 * MARGIN
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
           f'font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
           f'<text x="{MARGIN}" y="{MARGIN + 6}" font-size="13">{html.escape(title)}: {root.count} samples; '
           f'kernel, libraries, own code</text>']
    x = WIDTH - 260
    for kind, colour in COLOURS.items():
        out.append(f'<rect x="{x}" y="{MARGIN - 5}" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{x + 16}" y="{MARGIN + 5}">{kind}</text>')
        x += 84
    boxes(root, MARGIN, 0, root.count, height, out)
    print("\n".join(out) + "\n</svg>")


if __name__ == "__main__":
    main()
