// The mel spectrum of a sound, possibly still growing.

/** Columns per second, except for long sounds. */
const USUAL_RATE = 100;
/** The maximum number of columns of a sound of known length. */
const MAX_COLUMNS = 3000;
/** The level of silence in decibels. */
const SILENCE = -20;
/** Mel bands from 0 Hz to half the sample rate. */
export const BANDS = 64;

const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const hertz = (mel) => 700 * (10 ** (mel / 2595) - 1);

/** The minimum and maximum sample and the level of each band in decibels, by column. */
export class Spectrum {
  #hop;
  #size;
  #window;
  #bands;
  lows = [];
  highs = [];
  levels = [];
  /** The highest level, at least this one for nearly silent sounds. */
  loudest = SILENCE;

  /** Creates the spectrum of a sound of `seconds`; 0 for a growing one. */
  constructor(sampleRate, seconds = 0) {
    this.#hop = Math.max(1, Math.round(Math.max(sampleRate / USUAL_RATE, (sampleRate * seconds) / MAX_COLUMNS)));
    /** Columns per second. */
    this.rate = sampleRate / this.#hop;
    this.#size = 2 ** Math.ceil(Math.log2(sampleRate / 25));
    this.#window = Float32Array.from({ length: this.#size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / this.#size));
    this.#bands = bandEdges(sampleRate, this.#size);
  }

  /** Adds the new columns of `samples`, the whole sound so far. */
  follow(samples, ended) {
    for (let at = this.levels.length * this.#hop; at < samples.length; at += this.#hop) {
      if (!ended && at + this.#size > samples.length) return;
      this.#add(samples, at);
    }
  }

  #add(samples, at) {
    let low = 0;
    let high = 0;
    for (const sample of samples.subarray(at, at + this.#hop)) {
      if (sample < low) low = sample;
      if (sample > high) high = sample;
    }
    this.lows.push(low);
    this.highs.push(high);
    const real = new Float32Array(this.#size);
    samples.subarray(at, at + this.#size).forEach((sample, n) => { real[n] = sample * this.#window[n]; });
    const power = powerSpectrum(real);
    const levels = Float32Array.from(this.#bands, ([from, to]) => {
      let max = 1e-12;
      for (let bin = from; bin < to; bin++) max = Math.max(max, power[bin]);
      return 10 * Math.log10(max);
    });
    for (const level of levels) this.loudest = Math.max(this.loudest, level);
    this.levels.push(levels);
  }
}

/** Returns the range of bins of each band, of at least one bin: first, and end. */
function bandEdges(sampleRate, size) {
  const max = mel(sampleRate / 2);
  const bin = (band) => Math.round((hertz((max * band) / BANDS) / sampleRate) * size);
  return Array.from({ length: BANDS }, (_, band) => [bin(band), Math.max(bin(band) + 1, bin(band + 1))]);
}

/** Returns the squared magnitudes of the first half of the Fourier transform of `real`, whose length is a power of two. */
export function powerSpectrum(real) {
  const size = real.length;
  const imaginary = new Float32Array(size);
  reverseBits(real);
  for (let half = 1; half < size; half *= 2) {
    for (let offset = 0; offset < half; offset++) {
      const cos = Math.cos((Math.PI * offset) / half);
      const sin = -Math.sin((Math.PI * offset) / half);
      for (let a = offset; a < size; a += 2 * half) {
        const b = a + half;
        const re = real[b] * cos - imaginary[b] * sin;
        const im = real[b] * sin + imaginary[b] * cos;
        real[b] = real[a] - re;
        imaginary[b] = imaginary[a] - im;
        real[a] += re;
        imaginary[a] += im;
      }
    }
  }
  return Float32Array.from({ length: size / 2 }, (_, bin) => real[bin] ** 2 + imaginary[bin] ** 2);
}

/** Permutes the values to bit-reversed order. */
function reverseBits(values) {
  for (let index = 1, reversed = 0; index < values.length; index++) {
    let bit = values.length >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed ^= bit;
    if (index < reversed) [values[index], values[reversed]] = [values[reversed], values[index]];
  }
}
