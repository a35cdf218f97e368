// Conversion between samples and bytes.

import { Sound } from './sound.js';

const HEADER = 44;

/** Encodes `samples` from -1 to 1 as a 16-bit mono WAV file. */
export function wavOf(samples, sampleRate) {
  const bytes = new DataView(new ArrayBuffer(HEADER + 2 * samples.length));
  const word = (at, text) => [...text].forEach((letter, n) => bytes.setUint8(at + n, letter.charCodeAt(0)));
  word(0, 'RIFF');
  bytes.setUint32(4, bytes.byteLength - 8, true);
  word(8, 'WAVEfmt ');
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true);
  bytes.setUint32(24, sampleRate, true);
  bytes.setUint32(28, 2 * sampleRate, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  word(36, 'data');
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, n) => bytes.setInt16(HEADER + 2 * n, Math.max(-1, Math.min(1, sample)) * 32767, true));
  return new Blob([bytes], { type: 'audio/wav' });
}

/** Decodes `file`, a 16-bit mono WAV file as written by the server and by `wavOf`. */
export async function readWav(file) {
  const bytes = new DataView(await file.arrayBuffer());
  const name = (at) => String.fromCharCode(...new Uint8Array(bytes.buffer, at, 4));
  let sampleRate = 0;
  for (let at = 12; at + 8 <= bytes.byteLength;) {
    const length = bytes.getUint32(at + 4, true);
    if (name(at) === 'fmt ') sampleRate = bytes.getUint32(at + 12, true);
    if (name(at) === 'data') return Sound.of(samplesOf(new Uint8Array(bytes.buffer, at + 8, length)), sampleRate);
    at += 8 + length + (length % 2);
  }
  throw new Error('The WAV file has no samples.');
}

/** Converts 16-bit little-endian samples, as streamed by the server, to the range -1 to 1. */
export function samplesOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength >> 1 }, (_, n) => view.getInt16(2 * n, true) / 32768);
}
