// Comparison of two sounds.

import { SoundView } from './sound-view.js';
import { announce, parts } from './template.js';

/** The part of the page that compares two sounds; a third one replaces the first. */
export class Comparison {
  #element = document.getElementById('comparison');
  #parts = parts(this.#element);
  #chosen = [];
  #shown = [];
  /** The sound that was played last. */
  #heard = null;

  constructor() {
    this.#parts.switch.addEventListener('click', () => this.#switch());
    this.#parts.close.addEventListener('click', () => this.#choose([]));
  }

  /** Adds or removes the sound of `view`, a SegmentView of the reply `title`. */
  toggle(view, title) {
    const others = this.#chosen.filter((chosen) => chosen.view !== view);
    const isNew = others.length === this.#chosen.length;
    this.#choose(isNew ? [...others.slice(-1), { view, title }] : others);
    if (this.#chosen.length === 1) announce('Choose another sound to compare it with.');
  }

  /** Removes sounds whose replies were deleted. */
  forget(views) {
    const left = this.#chosen.filter(({ view }) => !views.includes(view));
    if (left.length < this.#chosen.length) this.#choose(left);
  }

  #choose(chosen) {
    for (const { view } of this.#chosen) view.compared = false;
    for (const { sound } of this.#shown) sound.player.pause();
    for (const { view } of chosen) view.compared = true;
    this.#chosen = chosen;
    this.#element.hidden = chosen.length < 2;
    const seconds = Math.max(...chosen.map(({ view }) => view.segment.sound.seconds));
    this.#shown = this.#element.hidden ? [] : chosen.map((one, index) => shown(one, 'AB'[index], seconds));
    for (const one of this.#shown) one.sound.player.addEventListener('change', () => this.#note(one));
    this.#parts.pair.replaceChildren(...this.#shown.map(({ element }) => element));
    if (this.#element.hidden) return;
    this.#element.scrollIntoView({ block: 'nearest' });
    this.#parts.switch.focus();
  }

  /** Continues in the other sound at the current position. */
  #switch() {
    const [from, to] = this.#heard === this.#shown[0] ? this.#shown : this.#shown.toReversed();
    to.sound.player.seek(from.sound.player.position);
    to.sound.player.play();
  }

  #note(one) {
    if (one.sound.player.playing) this.#heard = one;
  }
}

/** Shows a sound under its title, on a time axis of `seconds`. */
function shown({ view, title }, letter, seconds) {
  const name = `${letter}: ${title}, ${view.name}`;
  const element = document.createElement('figure');
  const caption = Object.assign(document.createElement('figcaption'), { textContent: name });
  const sound = new SoundView(view.segment.sound, name, seconds);
  element.append(caption, sound.element);
  return { element, sound };
}
