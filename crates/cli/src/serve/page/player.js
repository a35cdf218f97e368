// Playback of a sound, also while it is still growing.

/** The scheduling latency in seconds. */
const LEAD = 0.05;
/** Seconds to buffer before a growing sound starts, or continues after an underrun. */
const CUSHION = 0.25;

/** Audio contexts by sample rate, so that pieces of a sound join without resampling. */
const contexts = new Map();
/** The active player; only one plays at a time. */
let heard = null;

function contextFor(sampleRate) {
  if (!contexts.has(sampleRate)) contexts.set(sampleRate, new AudioContext({ sampleRate }));
  return contexts.get(sampleRate);
}

/** A player of a Sound. Dispatches "change" when it starts, stops or seeks. */
export class Player extends EventTarget {
  #sound;
  #position = 0;
  #playing = false;
  #pieces = [];
  #planned = 0;

  constructor(sound) {
    super();
    this.#sound = sound;
    sound.addEventListener('grow', () => this.#plan());
    sound.addEventListener('end', () => this.#plan());
  }

  get playing() {
    return this.#playing;
  }

  /** Returns the position in seconds. */
  get position() {
    const now = this.#playing ? contextFor(this.#sound.sampleRate).currentTime : 0;
    const piece = this.#pieces.findLast((piece) => piece.start <= now);
    return piece ? Math.min(piece.from + now - piece.start, piece.from + piece.seconds) : this.#position;
  }

  async play() {
    if (this.#playing) return;
    heard?.pause();
    heard = this;
    this.#playing = true;
    if (this.#sound.ended && this.#position >= this.#sound.seconds) this.#position = 0;
    this.#planned = Math.round(this.#position * this.#sound.sampleRate);
    this.dispatchEvent(new Event('change'));
    await contextFor(this.#sound.sampleRate).resume();
    this.#plan();
  }

  pause() {
    if (!this.#playing) return;
    this.#position = this.position;
    this.#playing = false;
    for (const { node } of this.#pieces) {
      node.onended = null;
      node.stop();
    }
    this.#pieces = [];
    this.dispatchEvent(new Event('change'));
  }

  /** Seeks to `seconds`; keeps playing if it was playing. */
  seek(seconds) {
    const playing = this.#playing;
    this.pause();
    this.#position = Math.max(0, Math.min(seconds, this.#sound.seconds));
    if (playing) this.play();
    else this.dispatchEvent(new Event('change'));
  }

  /** Schedules the samples that arrived since the last call. */
  #plan() {
    const { sampleRate, samples, ended } = this.#sound;
    const context = contextFor(sampleRate);
    if (!this.#playing || context.state !== 'running') return;
    const more = samples.subarray(this.#planned);
    const last = this.#pieces.at(-1);
    const dry = !last || last.over || last.start + last.seconds < context.currentTime;
    if (more.length === 0) {
      if (ended && dry) this.#finish();
      return;
    }
    if (dry && !ended && more.length < CUSHION * sampleRate) return;
    const buffer = context.createBuffer(1, more.length, sampleRate);
    buffer.copyToChannel(more, 0);
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(context.destination);
    const start = dry ? Math.ceil((context.currentTime + LEAD) * sampleRate) / sampleRate : last.start + last.seconds;
    node.start(start);
    const piece = { node, start, from: this.#planned / sampleRate, seconds: more.length / sampleRate, over: false };
    node.onended = () => {
      piece.over = true;
      this.#plan();
    };
    this.#pieces.push(piece);
    this.#planned += more.length;
  }

  #finish() {
    this.pause();
    this.#position = this.#sound.seconds;
    this.dispatchEvent(new Event('change'));
  }
}
