// A reply: the request, and the segments from the server.

import { bytesOf } from './base64.js';
import { Sound } from './sound.js';
import { readWav, samplesOf, wavOf } from './wav.js';

/** Returns whether `segment` may be one of several takes. */
export function isTake({ modality, stage }) {
  return modality !== 'text' && stage !== 'draft';
}

/**
 * Dispatches "segment" (with the segment as `detail`) when a segment begins or changes, "restart" when all segments are
 * dropped, and "change" for everything else.
 */
export class Reply extends EventTarget {
  /** running, done, stopped, failed, or left: the page was closed during generation. */
  state = 'running';
  /** The record of each take, from which segments can be regenerated. */
  records = [];
  ranking = [];
  warnings = [];
  seed = null;
  error = null;
  kept = false;
  #store = async () => {};

  /** Creates a reply to `wish`, or resumes at `from`, a segment of another reply (see request.js), after its `segments`. */
  constructor(wish, from = null, segments = []) {
    super();
    this.begun = Date.now();
    this.id = `${this.begun}-${Math.random().toString(36).slice(2)}`;
    this.wish = wish;
    this.from = from;
    this.segments = segments;
    this.given = segments.length;
  }

  /**
   * Reads `chunks`, the server's response, to the end. `store` stores each finished segment before it is shown as finished
   * and before the next one begins, so that it is still there when the page is reopened.
   */
  async read(chunks, store) {
    this.#store = store;
    this.segments.length = this.given;
    this.error = null;
    this.dispatchEvent(new Event('restart'));
    this.#become('running');
    try {
      for await (const chunk of chunks) await this.#take(chunk);
      this.#become('done');
    } catch (error) {
      this.error = error.name === 'AbortError' ? null : error.message;
      this.#become(this.error === null ? 'stopped' : 'failed');
    }
    for (const segment of this.segments) this.#close(segment);
  }

  /** Returns a new reply that resumes at `segment` with a `change`, such as another seed or plan. */
  branch(segment, change) {
    const settings = isTake(segment) ? { ...this.wish.settings, takes: 1 } : this.wish.settings;
    const from = { record: this.recordOf(segment), segment: segment.number, ...change };
    const earlier = this.segments.filter(({ number, take }) => number < segment.number && [0, segment.take].includes(take));
    return new Reply({ ...this.wish, settings }, from, earlier);
  }

  /** Adds the answer `words` after `question`. */
  answer(question, words) {
    const number = question.number + 1;
    this.from = { record: this.recordOf(question), segment: number, answer: words };
    this.#add({ take: 0, number, stage: 'answer', modality: 'text', text: words });
    this.given = this.segments.length;
  }

  keep(is) {
    this.kept = is;
    this.dispatchEvent(new Event('change'));
  }

  /** Returns the record for `segment`. */
  recordOf(segment) {
    return this.records[segment.take] ?? this.records[0];
  }

  #add(segment) {
    this.segments.push(segment);
    this.#tell(segment);
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }

  #tell(segment) {
    this.dispatchEvent(new CustomEvent('segment', { detail: segment }));
  }

  async #take({ choices, ualm }) {
    for (const { index, delta } of choices) {
      if (delta.record) this.records[index] = delta.record;
      if (delta.segment) this.#grow(index, delta);
      for (const ended of delta.segments ?? []) await this.#end(index, ended);
    }
    if (ualm?.ranked) this.ranking.push(ualm.ranked);
    if (ualm?.ranking) this.ranking = ualm.ranking;
    if (ualm?.warnings) this.warnings = ualm.warnings;
    if (ualm?.incomplete) this.warnings.push(`The server stopped this reply early (${ualm.incomplete}).`);
    this.seed = ualm?.seed ?? this.seed;
    if (ualm) this.dispatchEvent(new Event('change'));
  }

  #grow(take, { segment: { number, stage, modality, sample_rate: sampleRate }, content, audio }) {
    let segment = this.#find(take, number);
    if (!segment) {
      segment = { take, number, stage, modality, text: '', sound: modality === 'text' ? null : new Sound(sampleRate) };
      this.#add(segment);
    }
    if (audio) return segment.sound.append(samplesOf(bytesOf(audio.data)));
    if (content) {
      segment.text += content;
      this.#tell(segment);
    }
  }

  async #end(take, { audio, text, ...ended }) {
    const segment = this.#find(take, ended.number);
    if (!segment) return;
    Object.assign(segment, ended);
    segment.sound?.end();
    if (audio) await this.#finishSound(segment, new Blob([bytesOf(audio.data)], { type: 'audio/wav' }));
    await this.#store();
    this.#tell(segment);
  }

  /** Replaces the streamed sound by the whole one, which differs if the package has an enhancer. */
  async #finishSound(segment, file) {
    const whole = await readWav(file);
    segment.file = file;
    if (whole.sampleRate !== segment.sound.sampleRate || whole.seconds !== segment.sound.seconds) segment.sound = whole;
  }

  /** Keeps the received part of a sound that was cut off. */
  #close(segment) {
    if (segment.end || segment.stage === 'answer') return;
    segment.end = 'cancelled';
    if (segment.sound?.seconds > 0) segment.file = wavOf(segment.sound.samples, segment.sound.sampleRate);
    segment.sound?.end();
    this.#tell(segment);
  }

  #find(take, number) {
    return this.segments.find((segment) => segment.take === take && segment.number === number);
  }

  /** Returns a copy for IndexedDB. */
  toStored() {
    const { id, begun, wish, from, given, state, records, ranking, warnings, seed, error, kept } = this;
    const segments = this.segments.map(({ sound, ...segment }) => segment);
    return { id, begun, wish, from, given, state, segments, records, ranking, warnings, seed, error, kept };
  }

  static async fromStored(stored) {
    const reply = Object.assign(new Reply(stored.wish), stored);
    if (reply.state === 'running') reply.state = 'left';
    for (const segment of reply.segments) {
      if (segment.stage !== 'answer') segment.end ??= 'cancelled';
      if (segment.file) segment.sound = await readWav(segment.file);
    }
    return reply;
  }
}
