#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""chart RESULT.json OUT.svg: the figures of `./dev bench --json RESULT.json` that reproduce the paper's Table 1, as bars on a logarithmic axis."""
import json
import math
import sys

ROWS = (("exec", "1 docker exec, tool in the image"), ("rebuild", "2 rebuild, replace, docker exec"), ("recap", "3 RECap"),
        ("recap_build", "4 RECap, image built first"), ("docker_run", "docker run in its namespaces"), ("ctr_exec", "ctr task exec"),
        ("runc_exec", "runc exec"), ("nsenter", "nsenter, tool in the image"))
LEFT, RIGHT, BAR, GAP, TOP = 250, 90, 16, 10, 56
WIDTH = 820


def svg(table):
    rows = [(words, table[key + "_ms"], key.startswith("recap")) for key, words in ROWS if key + "_ms" in table]
    low = 10 ** math.floor(math.log10(min(value for _, value, _ in rows)))
    high = 10 ** math.ceil(math.log10(max(value for _, value, _ in rows)))
    scale = (WIDTH - LEFT - RIGHT) / math.log10(high / low)
    height = TOP + len(rows) * (BAR + GAP) + 30

    def x(value):
        return LEFT + math.log10(value / low) * scale

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           '<text x="12" y="22" font-size="15" fill="#222">tcpdump of one packet in a running container of Docker\'s: ms from asking to the result</text>',
           f'<text x="12" y="40" fill="#666">medians of {table["rounds"]} rounds ({table["slow_rounds"]} of rows 2 and 4), all taking turns; logarithmic axis</text>']
    tick = low
    while tick <= high:
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{height - 24}" stroke="#ddd"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle" fill="#666">{tick:g}</text>')
        tick *= 10
    for number, (words, value, ours) in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end" fill="#222">{words}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{x(value) - LEFT:.1f}" height="{BAR}" fill="{"#1b7f5c" if ours else "#8a98a8"}"/>')
        out.append(f'<text x="{x(value) + 6:.1f}" y="{y + 13}" fill="#222">{value:,.1f}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) != 3:
        raise SystemExit("usage: chart RESULT.json OUT.svg")
    with open(sys.argv[1], encoding="utf-8") as stream:
        table = json.load(stream)["table1"]
    with open(sys.argv[2], "w", encoding="utf-8") as stream:
        stream.write(svg(table))


if __name__ == "__main__":
    main()
