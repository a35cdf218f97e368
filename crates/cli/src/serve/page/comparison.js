// Two sounds side by side.

import { SoundView } from './sound-view.js';
import { announce, parts } from './template.js';

/** The part of the page that compares two sounds; a third one takes the place of the first. */
export class Comparison {
  #element = document.getElementById('comparison');
  #parts = parts(this.#element);
  #chosen = [];
  #shown = [];
  /** The last of those shown that was played. */
  #heard = null;

  constructor() {
    this.#parts.switch.addEventListener('click', () => this.#switch());
    this.#parts.close.addEventListener('click', () => this.#choose([]));
  }

  /** Takes the sound of `view`, a SegmentView of the reply called `title`, in or out. */
  toggle(view, title) {
    const others = this.#chosen.filter((chosen) => chosen.view !== view);
    const isNew = others.length === this.#chosen.length;
    this.#choose(isNew ? [...others.slice(-1), { view, title }] : others);
    if (this.#chosen.length === 1) announce('Choose another sound to compare it with.');
  }

  /** Lets the sounds go that no reply has any more. */
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
    this.#shown = this.#element.hidden ? [] : chosen.map((one, place) => shown(one, 'AB'[place], seconds));
    for (const one of this.#shown) one.sound.player.addEventListener('change', () => this.#note(one));
    this.#parts.pair.replaceChildren(...this.#shown.map(({ element }) => element));
    if (this.#element.hidden) return;
    this.#element.scrollIntoView({ block: 'nearest' });
    this.#parts.switch.focus();
  }

  /** Goes on in the other sound from where the one is that is, or was last, heard. */
  #switch() {
    const [from, to] = this.#heard === this.#shown[0] ? this.#shown : this.#shown.toReversed();
    to.sound.player.seek(from.sound.player.position);
    to.sound.player.play();
  }

  #note(one) {
    if (one.sound.player.playing) this.#heard = one;
  }
}

/** A sound on a line of `seconds`, with what it is above it. */
function shown({ view, title }, letter, seconds) {
  const name = `${letter}: ${title}, ${view.name}`;
  const element = document.createElement('figure');
  const caption = Object.assign(document.createElement('figcaption'), { textContent: name });
  const sound = new SoundView(view.segment.sound, name, seconds);
  element.append(caption, sound.element);
  return { element, sound };
}
