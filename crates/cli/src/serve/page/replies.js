// The replies on the page: generating, storing and continuing them.

import { chat, loadedModel } from './client.js';
import { decode } from './recorder.js';
import { Reply } from './reply.js';
import { ReplyView } from './reply-view.js';
import { requestOf } from './request.js';
import { forgetOld, forgetReply, storedReplies, storeReply } from './store.js';
import { titleOf } from './words.js';

/** The list of replies, newest first. `composer` receives requests to reuse, `comparison` sounds to compare. */
export class Replies {
  #composer;
  #comparison;
  #list = document.getElementById('replies');
  #views = new Map();
  /** Abort controllers of the running replies. */
  #stops = new Map();

  constructor(composer, comparison) {
    this.#composer = composer;
    this.#comparison = comparison;
  }

  /** Shows the stored replies. */
  async restore() {
    const stored = await storedReplies().catch(() => []);
    for (const reply of await Promise.all(stored.map(Reply.fromStored))) this.#show(reply);
  }

  /** Requests `reply` from the server, and shows it while it is generated. */
  start(reply) {
    this.#show(reply).element.scrollIntoView({ block: 'nearest' });
    return this.#make(reply);
  }

  async #make(reply) {
    const stop = new AbortController();
    this.#stops.set(reply.id, stop);
    this.#store(reply);
    await reply.read(answerTo(reply, stop.signal), () => this.#store(reply));
    this.#stops.delete(reply.id);
    await this.#store(reply);
  }

  #show(reply) {
    const view = new ReplyView(reply, this.#actions(reply));
    this.#views.set(reply.id, view);
    this.#list.prepend(view.element);
    this.#showEmptiness();
    if (reply.wish.sound) decode(reply.wish.sound).then((sound) => view.showInput(sound), () => {});
    return view;
  }

  /** Returns the user's actions on `reply` and its segments. */
  #actions(reply) {
    return {
      begun: (view) => this.#begun(reply, view),
      stop: () => this.#stops.get(reply.id)?.abort(),
      keep: () => this.#keep(reply),
      reuse: () => this.#composer.use(reply.wish),
      forget: () => this.#forget(reply),
      retry: () => this.#make(reply),
      compare: (view) => this.#comparison.toggle(view, titleOf(reply.wish)),
      ask: (file) => this.#askAbout(file),
      again: (segment, seed) => this.start(reply.branch(segment, { seed })),
      remake: (segment, plan) => this.start(reply.branch(segment, { plan })),
      answer: (segment, words) => this.#answer(reply, segment, words),
    };
  }

  /** Plays the sound of a segment that has begun, unless another one is being generated. */
  #begun(reply, { segment, sound }) {
    const others = reply.segments.filter((other) => other.sound && other !== segment);
    if (sound && this.#composer.autoplay && others.every((other) => other.sound.ended)) sound.player.play();
  }

  #answer(reply, segment, words) {
    reply.answer(segment, words);
    this.#make(reply);
  }

  #askAbout(file) {
    const sound = new File([file], 'made.wav', { type: file.type });
    this.#composer.use({ mode: 'ask', prompt: '', sound, settings: {} });
  }

  #keep(reply) {
    reply.keep(!reply.kept);
    navigator.storage?.persist?.();
    this.#store(reply);
  }

  async #forget(reply) {
    await forgetReply(reply.id).catch(() => {});
    this.#remove(reply.id);
  }

  #remove(id) {
    const view = this.#views.get(id);
    if (!view) return;
    this.#comparison.forget(view.segments);
    for (const { sound } of view.segments) sound?.player.pause();
    view.element.remove();
    this.#views.delete(id);
    this.#showEmptiness();
  }

  #showEmptiness() {
    document.getElementById('empty').hidden = this.#views.size > 0;
  }

  /** Stores `reply`; without storage it lasts as long as the page. */
  async #store(reply) {
    try {
      await storeReply(reply.toStored());
      for (const id of await forgetOld()) this.#remove(id);
    } catch (error) {
      this.#composer.refuse(`This browser cannot store replies (${error.message}). Download the sounds that you want to keep.`);
    }
  }
}

async function* answerTo(reply, signal) {
  yield* chat(await requestOf(reply, await loadedModel()), signal);
}
