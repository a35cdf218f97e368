// Recordings from the microphone and from files.

import { Sound } from './sound.js';
import { wavOf } from './wav.js';

/** The sample rate for decoding files whose rate is unknown. */
const RATE = 48_000;

/** Starts a recording from the microphone; `stop` ends it and returns a WAV file. */
export class Recording {
  #recorder;
  #stream;
  #pieces = [];

  static async begin() {
    if (!navigator.mediaDevices) throw new Error('The browser allows the microphone only for pages on this machine or over HTTPS.');
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true }).catch((error) => {
      throw new Error(`The microphone cannot be used: ${error.message}. Allow it in the browser, or choose a file.`);
    });
    return new Recording(stream);
  }

  constructor(stream) {
    this.#stream = stream;
    this.#recorder = new MediaRecorder(stream);
    this.#recorder.ondataavailable = ({ data }) => this.#pieces.push(data);
    this.#recorder.start();
    this.begun = performance.now();
  }

  get seconds() {
    return (performance.now() - this.begun) / 1000;
  }

  async stop() {
    const stopped = new Promise((resolve) => { this.#recorder.onstop = resolve; });
    this.#recorder.stop();
    await stopped;
    this.#stream.getTracks().forEach((track) => track.stop());
    const sound = await decode(new Blob(this.#pieces, { type: this.#recorder.mimeType }));
    return new File([wavOf(sound.samples, sound.sampleRate)], 'recording.wav', { type: 'audio/wav' });
  }
}

/** Decodes a file in any format that the browser supports, mixed to mono. */
export async function decode(file) {
  const bytes = await file.arrayBuffer();
  const context = new OfflineAudioContext(1, 1, wavRate(bytes) ?? RATE);
  const buffer = await context.decodeAudioData(bytes).catch(() => {
    throw new Error(`The browser cannot decode ${file.name ?? 'the recording'}.`);
  });
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
  const samples = channels[0].map((_, n) => channels.reduce((sum, channel) => sum + channel[n], 0) / channels.length);
  return Sound.of(samples, buffer.sampleRate);
}

/** Returns the sample rate of a WAV file with the usual header, if the browser can decode at this rate. */
function wavRate(bytes) {
  if (bytes.byteLength < 44) return null;
  const view = new DataView(bytes);
  const rate = view.getUint32(24, true);
  const isWav = view.getUint32(0) === 0x52494646 && view.getUint32(12) === 0x666d7420;
  return isWav && rate >= 8000 && rate <= 96_000 ? rate : null;
}
