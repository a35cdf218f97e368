"""Draws README's picture, docs/picture.svg: a sentence, the default package's sound for it, and the model's answer about that sound.
`make pictures` runs it with the exporter's Python; text and sound come from the program.
"""
import pathlib
import shlex
import subprocess
import sys
import tempfile
import wave
from xml.sax.saxutils import escape

import numpy

TARGET = pathlib.Path(__file__).resolve().parent.parent / "docs" / "picture.svg"
PROMPT = "a siren, then a dog barking three times, then applause"
SIZE = (880, 400)  # units of the picture
PLOT = (64, 66, 792, 216)  # left, top, width, height of the spectrogram
GRID = (220, 54)  # its cells
COLOURS = [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)]  # as the program's own pictures
LEVELS = 20
WINDOW = 1024


def ualm(program, *arguments):
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def mel(hertz):
    return 2595 * numpy.log10(1 + hertz / 700)


def levels(samples, rate):
    """Returns log-mel power as whole numbers 0..LEVELS, [bands from the highest, frames]."""
    columns, rows = GRID
    padded = numpy.pad(samples, WINDOW // 2)
    starts = numpy.linspace(0, len(samples) - 1, columns).astype(int)
    frames = numpy.stack([padded[start : start + WINDOW] for start in starts]) * numpy.hanning(WINDOW)
    power = numpy.abs(numpy.fft.rfft(frames)) ** 2
    edges = numpy.linspace(0, mel(rate / 2), rows + 2)
    bins = mel(numpy.fft.rfftfreq(WINDOW, 1 / rate))
    rising = (bins - edges[:-2, None]) / (edges[1] - edges[0])
    falling = (edges[2:, None] - bins) / (edges[1] - edges[0])
    filters = numpy.clip(numpy.minimum(rising, falling), 0, None)
    filters /= numpy.maximum(filters.sum(axis=1, keepdims=True), 1e-9)
    decibels = 10 * numpy.log10(filters @ power.T + 1e-6)
    scaled = numpy.clip((decibels - decibels.max() + 75) / 75, 0, 1)
    return (scaled * (LEVELS - 1)).round().astype(int)[::-1]


def colour(level):
    place = level / (LEVELS - 1) * (len(COLOURS) - 1)
    at = min(int(place), len(COLOURS) - 2)
    parts = [round(a + (b - a) * (place - at)) for a, b in zip(COLOURS[at], COLOURS[at + 1])]
    return "#" + "".join(f"{part:02x}" for part in parts)


def cells(grid):
    """Returns one path for each level, of runs of cells; the lowest level is the background."""
    paths = []
    for level in range(1, LEVELS):
        runs = []
        for y, row in enumerate(grid):
            edges = numpy.flatnonzero(numpy.diff(numpy.concatenate([[0], (row == level).astype(int), [0]])))
            runs += [f"M{start} {y}h{end - start}v1h-{end - start}z" for start, end in edges.reshape(-1, 2)]
        if runs:
            paths.append(f'<path fill="{colour(level)}" d="{"".join(runs)}"/>')
    left, top, width, height = PLOT
    moved = f'transform="translate({left} {top}) scale({width / GRID[0]:g} {height / GRID[1]:g})"'
    return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="{colour(0)}"/>\n<g {moved} shape-rendering="crispEdges">\n' + "\n".join(paths) + "\n</g>"


def axes(seconds, rate):
    left, top, width, height = PLOT
    marks = []
    for hertz in (0, 500, 1000, 2000, 4000, 8000):
        y = top + height * (1 - mel(hertz) / mel(rate / 2))
        marks.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{hertz / 1000:g}</text>')
    for second in range(int(seconds - 0.5) + 1):  # the last position is for the unit
        marks.append(f'<text x="{left + width * second / seconds:.1f}" y="{top + height + 18}" text-anchor="middle">{second}</text>')
    marks.append(f'<text x="{left + width}" y="{top + height + 18}" text-anchor="end">seconds</text>')
    marks.append(f'<text transform="translate(18 {top + height / 2}) rotate(-90)" text-anchor="middle">kilohertz</text>')
    return '<g font-family="sans-serif" font-size="13" fill="#555">\n' + "\n".join(marks) + "\n</g>"


def line(y, text, fill="#111"):
    return f'<text x="24" y="{y}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="15" fill="{fill}">{escape(text)}</text>'


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        sound = str(pathlib.Path(folder) / "scene.wav")
        ualm(program, "generate", PROMPT, "-o", sound, "--seed", "3", "--quiet")
        heard = ualm(program, "ask", sound)
        with wave.open(sound) as opened:
            rate = opened.getframerate()
            count = opened.getnframes()
            samples = numpy.frombuffer(opened.readframes(count), "<i2") / 32768
    width, height = SIZE
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{escape(PROMPT)}: the spectrogram of the sound, and the model's answer about it</title>",
        f'<rect width="{width}" height="{height}" rx="10" fill="#fff" stroke="#ddd"/>',
        line(36, f'$ ualm generate "{PROMPT}" -o scene.wav'),
        cells(levels(samples, rate)),
        axes(count / rate, rate),
        line(342, f"$ ualm ask {shlex.quote('scene.wav')}"),
        line(372, heard, "#a3392a"),
        "</svg>",
    ]
    TARGET.write_text("\n".join(drawn) + "\n", encoding="utf-8", newline="\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
