// Playing a sound, also while it is still being made.

/** Seconds from planning a piece to hearing it. */
const LEAD = 0.05;
/** Seconds that must be there before a sound that still grows begins, or goes on after it ran dry. */
const CUSHION = 0.25;

/** One for each sample rate, so that the pieces of a sound join without resampling between them. */
const contexts = new Map();
/** The player that is heard; there is one at a time. */
let heard = null;

function contextFor(sampleRate) {
  if (!contexts.has(sampleRate)) contexts.set(sampleRate, new AudioContext({ sampleRate }));
  return contexts.get(sampleRate);
}

/** Plays a Sound. Says "change" when it starts, stops or is moved. */
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

  /** Seconds from the sound's beginning. */
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

  /** Goes to `seconds`, and on playing from there if it was. */
  seek(seconds) {
    const playing = this.#playing;
    this.pause();
    this.#position = Math.max(0, Math.min(seconds, this.#sound.seconds));
    if (playing) this.play();
    else this.dispatchEvent(new Event('change'));
  }

  /** Hands what is there and not planned yet to the audio hardware. */
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
