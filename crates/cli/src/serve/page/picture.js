// Pictures of a sound: its waveform above its spectrogram.

import { BANDS } from './spectrum.js';

/** The dynamic range in decibels. */
const RANGE = 70;
/** The colour map from quiet to loud, as in the program's spectrograms. */
const COLOURS = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
const PALETTE = Array.from({ length: 256 }, (_, level) => colour(level / 255));

/** Returns red, green, blue and opacity of a level from 0 to 1. */
function colour(share) {
  const scaled = share * (COLOURS.length - 1);
  const below = Math.min(Math.floor(scaled), COLOURS.length - 2);
  const parts = COLOURS[below].map((from, part) => from + (COLOURS[below + 1][part] - from) * (scaled - below));
  return [...parts, 255];
}

/** Draws the waveform of `spectrum` onto `canvas`, whose width is `seconds`, in its own text colour. */
export function drawWaveform(canvas, spectrum, seconds) {
  const { context, width, height } = fit(canvas);
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(canvas).color;
  context.fillRect(0, height / 2, width, 1);
  for (let x = 0; x < width; x++) {
    const [from, to] = columnsAt(x, width, seconds * spectrum.rate);
    const high = Math.max(0, ...spectrum.highs.slice(from, to));
    const low = Math.min(0, ...spectrum.lows.slice(from, to));
    context.fillRect(x, (height / 2) * (1 - high), 1, (height / 2) * (high - low));
  }
}

/** Draws the levels of `spectrum` onto `canvas`, whose width is `seconds`: low bands below, loud ones bright. */
export function drawSpectrogram(canvas, spectrum, seconds) {
  const { context, width, height } = fit(canvas);
  const pixels = new ImageData(width, BANDS);
  for (let x = 0; x < width; x++) {
    const [from, to] = columnsAt(x, width, seconds * spectrum.rate);
    for (let band = 0; band < BANDS; band++) {
      const share = Math.max(0, 1 + (loudest(spectrum.levels, from, to, band) - spectrum.loudest) / RANGE);
      pixels.data.set(PALETTE[Math.round(255 * share)], 4 * ((BANDS - 1 - band) * width + x));
    }
  }
  const flat = new OffscreenCanvas(width, BANDS);
  flat.getContext('2d').putImageData(pixels, 0, 0);
  context.drawImage(flat, 0, 0, width, height);
}

function loudest(levels, from, to, band) {
  let max = -Infinity;
  for (let column = from; column < to && column < levels.length; column++) max = Math.max(max, levels[column][band]);
  return max;
}

/** Returns the range of `count` columns for pixel `x`, of at least one column: first, and end. */
function columnsAt(x, width, count) {
  const column = (pixel) => Math.floor((pixel / width) * count);
  return [column(x), Math.max(column(x) + 1, column(x + 1))];
}

/** Resizes `canvas` to its pixels on the screen. */
function fit(canvas) {
  const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  const height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return { context: canvas.getContext('2d'), width, height };
}
