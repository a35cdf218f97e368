// A sound, possibly still growing.

/** Mono samples from -1 to 1. Dispatches "grow" for more samples, and "end" after the last ones. */
export class Sound extends EventTarget {
  #samples = new Float32Array(1 << 15);
  #length = 0;

  constructor(sampleRate) {
    super();
    this.sampleRate = sampleRate;
    this.ended = false;
  }

  /** Creates a complete sound. */
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
