// A sound that may still be growing.

/** Mono samples from -1 to 1. Says "grow" when there are more, and "end" when there will be no more. */
export class Sound extends EventTarget {
  #samples = new Float32Array(1 << 15);
  #length = 0;

  constructor(sampleRate) {
    super();
    this.sampleRate = sampleRate;
    this.ended = false;
  }

  /** A whole sound. */
  static of(samples, sampleRate) {
    const sound = new Sound(sampleRate);
    sound.append(samples);
    sound.end();
    return sound;
  }

  get samples() {
    return this.#samples.subarray(0, this.#length);
  }

  get seconds() {
    return this.#length / this.sampleRate;
  }

  append(samples) {
    const length = this.#length + samples.length;
    if (length > this.#samples.length) {
      const larger = new Float32Array(Math.max(length, 2 * this.#samples.length));
      larger.set(this.samples);
      this.#samples = larger;
    }
    this.#samples.set(samples, this.#length);
    this.#length = length;
    this.dispatchEvent(new Event('grow'));
  }

  end() {
    if (this.ended) return;
    this.ended = true;
    this.dispatchEvent(new Event('end'));
  }
}
