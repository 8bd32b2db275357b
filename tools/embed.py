#!/usr/bin/python3
"""Writes C that embeds files: tools/embed.py OUTPUT.c FOLDER ...

Every file below a FOLDER becomes a row of embedded_files[] (src/server/embedded.h), its bytes by .incbin, so
that compiling costs nothing. Paths are relative to their FOLDER; order is sorted. What is compiled is left
out: what is made of it is in another FOLDER.
"""
import hashlib
import os
import sys


def main():
    output, *folders = sys.argv[1:]
    paths = sorted((os.path.relpath(os.path.join(at, name), folder), folder)
                   for folder in folders for at, _, names in os.walk(folder) for name in names
                   if not name.endswith((".pyc", ".c", ".h", ".java")))
    lines = ["/*", " * Made by tools/embed.py; not to be edited.", " */",
             '#include "server/embedded.h"', ""]
    for i, (path, folder) in enumerate(paths):
        full = os.path.abspath(os.path.join(folder, path))
        with open(full, "rb") as f:  # so that a cache of compilations sees what .incbin reads
            digest = hashlib.sha256(f.read()).hexdigest()
        lines += [f"extern const unsigned char embedded_{i}[], embedded_{i}_end[];",
                  f'__asm__("# {digest}\\n.section .rodata\\n.global embedded_{i}, embedded_{i}_end\\n"',
                  f'\t"embedded_{i}:\\n.incbin \\"{full}\\"\\nembedded_{i}_end:\\n.byte 0\\n.previous\\n");']
    lines += ["", "const struct embedded_file embedded_files[] = {"]
    lines += [f'\t{{"{path}", embedded_{i}, embedded_{i}_end}},' for i, (path, _) in enumerate(paths)]
    lines += ["\t{0},", "};", ""]
    with open(output, "w", encoding="ascii") as f:
        f.write("\n".join(lines))


if __name__ == "__main__":
    main()
