// The view of a reply.

import { SegmentView } from './segment-view.js';
import { SoundView } from './sound-view.js';
import { announce, copy } from './template.js';
import { modeName, stateName, titleOf } from './words.js';

/** Shows `reply`. `actions` are those of SegmentView, and stop, keep, reuse, forget and retry. */
export class ReplyView {
  #actions;
  #parts = copy('reply');
  #views = new Map();

  constructor(reply, actions) {
    this.reply = reply;
    this.#actions = actions;
    this.element = this.#parts.element;
    const { mode, title } = this.#parts;
    mode.textContent = modeName(reply.wish);
    title.textContent = titleOf(reply.wish);
    title.id = `title-${reply.id}`;
    this.element.setAttribute('aria-labelledby', title.id);
    for (const name of ['stop', 'keep', 'reuse', 'forget', 'retry']) {
      this.#parts[name].addEventListener('click', actions[name]);
    }
    reply.segments.forEach((segment) => this.#show(segment));
    reply.addEventListener('segment', ({ detail }) => this.#show(detail));
    reply.addEventListener('restart', () => this.#restart());
    reply.addEventListener('change', () => {
      this.update();
      announce(`${titleOf(reply.wish)}: ${stateName(reply)}`);
    });
    this.update();
  }

  /** Shows the recording that the reply is about. */
  showInput(sound) {
    this.#parts.input.replaceChildren(new SoundView(sound, 'the recording').element);
  }

  get segments() {
    return [...this.#views.values()];
  }

  update() {
    const { reply } = this;
    const { state, stop, keep, forget, error, message, retry } = this.#parts;
    state.textContent = [stateName(reply), ...reply.warnings].filter(Boolean).join(' ');
    this.element.dataset.state = reply.state;
    stop.hidden = reply.state !== 'running';
    keep.hidden = forget.hidden = retry.hidden = reply.state === 'running';
    keep.setAttribute('aria-pressed', reply.kept);
    keep.textContent = reply.kept ? 'Kept' : 'Keep';
    error.hidden = reply.error === null;
    message.textContent = reply.error ?? '';
    this.segments.forEach((view) => view.update());
  }

  /** Removes segments that the reply no longer has. */
  #restart() {
    for (const [segment, view] of this.#views) {
      if (this.reply.segments.includes(segment)) continue;
      view.element.remove();
      this.#views.delete(segment);
    }
  }

  #show(segment) {
    const view = this.#views.get(segment);
    if (view) {
      view.update();
    } else {
      const made = new SegmentView(this.reply, segment, this.#actions);
      this.#views.set(segment, made);
      this.#parts.chain.append(made.element);
      if (this.reply.state === 'running') this.#begin(made);
    }
    this.#parts.state.textContent = stateName(this.reply);
  }

  #begin(view) {
    this.#actions.begun(view);
    announce(stateName(this.reply));
  }
}
