#!/usr/bin/python3
"""Writes C that embeds files: tools/embed.py OUTPUT.c FOLDER

Every file below FOLDER becomes a row of embedded_files[] (src/server/embedded.h), its bytes by .incbin, so
that compiling costs nothing. A digest of them stands beside it, so that a compiler cache sees a change. Paths are relative to FOLDER; order is sorted.
"""
import hashlib
import os
import sys


def main():
    output, folder = sys.argv[1:]
    paths = sorted(os.path.relpath(os.path.join(at, name), folder)
                   for at, _, names in os.walk(folder) for name in names
                   if not name.endswith(".pyc"))
    lines = ["/*", " * Made by tools/embed.py; not to be edited.", " */",
             '#include "server/embedded.h"', ""]
    for i, path in enumerate(paths):
        full = os.path.abspath(os.path.join(folder, path))
        with open(full, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        lines += [f"extern const unsigned char embedded_{i}[], embedded_{i}_end[];",
                  f'__asm__(".section .rodata\\n.global embedded_{i}, embedded_{i}_end\\n"',
                  f'\t"/* {digest} */\\n"',
                  f'\t"embedded_{i}:\\n.incbin \\"{full}\\"\\nembedded_{i}_end:\\n.byte 0\\n.previous\\n");']
    lines += ["", "const struct embedded_file embedded_files[] = {"]
    lines += [f'\t{{"{path}", embedded_{i}, embedded_{i}_end}},' for i, path in enumerate(paths)]
    lines += ["\t{0},", "};", ""]
    with open(output, "w", encoding="ascii") as f:
        f.write("\n".join(lines))


if __name__ == "__main__":
    main()
