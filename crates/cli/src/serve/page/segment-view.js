// The view of a segment: a plan, a sound, a critique, a question, an answer.

import { PlanEditor, planView } from './plan-view.js';
import { planSeconds } from './plan.js';
import { SoundView } from './sound-view.js';
import { copy, items } from './template.js';
import { segmentFacts, segmentName } from './words.js';

/**
 * Shows `segment` of `reply`. `actions` are the user's actions: compare(view), ask(file), again(segment, seed),
 * remake(segment, plan) and answer(segment, words).
 */
export class SegmentView {
  #reply;
  #actions;
  #parts = copy('segment');
  /** The SoundView of a sound. */
  sound = null;

  constructor(reply, segment, actions) {
    this.#reply = reply;
    this.#actions = actions;
    this.segment = segment;
    this.element = this.#parts.element;
    this.element.dataset.stage = segment.stage ?? segment.modality;
    this.name = segmentName(segment, reply.wish);
    this.#parts.name.textContent = this.name;
    this.#listen();
    this.update();
  }

  /** Updates the view. */
  update() {
    const { segment } = this;
    const { content, facts, doubts } = this.#parts;
    facts.textContent = segmentFacts(segment, this.#reply.ranking);
    doubts.replaceChildren(...items(segment.doubts ?? []));
    if (segment.sound && segment.sound !== this.sound?.sound) this.#showSound();
    if (segment.modality === 'text' && !this.#isWrittenIn) this.#showText(content);
    this.#showActions();
  }

  /** Returns whether the user may be editing a plan or an answer in it. */
  get #isWrittenIn() {
    return this.#parts.content.querySelector('form') !== null;
  }

  #showText(content) {
    const { segment } = this;
    if (segment.plan) {
      content.replaceChildren(planView(segment.plan));
    } else {
      const text = document.createElement('p');
      text.className = 'words';
      text.textContent = segment.text;
      content.replaceChildren(text);
    }
    if (this.#asks()) content.append(this.#answerForm());
  }

  #showSound() {
    this.sound?.player.pause();
    const plan = this.#reply.segments.findLast(({ plan }) => plan)?.plan;
    this.sound = new SoundView(this.segment.sound, this.name, plan ? planSeconds(plan) : 0);
    this.#parts.content.replaceChildren(this.sound.element);
  }

  /** Returns whether this is a question that awaits its answer. */
  #asks() {
    const isLast = this.#reply.segments.at(-1) === this.segment;
    return this.segment.stage === 'question' && isLast && this.#goesOn;
  }

  /** Returns whether the segment can be regenerated. */
  get #goesOn() {
    return Boolean(this.segment.end && this.#reply.recordOf(this.segment));
  }

  #answerForm() {
    const { element, answer } = copy('answer');
    element.addEventListener('submit', (event) => {
      event.preventDefault();
      element.remove();
      this.#actions.answer(this.segment, answer.value);
    });
    return element;
  }

  #showActions() {
    const { segment } = this;
    const { download, compare, ask, edit, again } = this.#parts;
    [download, compare, ask].forEach((part) => { part.hidden = !segment.file; });
    edit.hidden = !(this.#goesOn && segment.stage === 'plan') || this.#isWrittenIn;
    again.hidden = !this.#goesOn;
    if (segment.file && !download.href) {
      download.href = URL.createObjectURL(segment.file);
      download.download = fileName(this.#reply.wish.prompt, this.name, segment.seed);
    }
  }

  #listen() {
    const { compare, ask, edit, again } = this.#parts;
    const form = this.#parts['again-form'];
    compare.addEventListener('click', () => this.#actions.compare(this));
    ask.addEventListener('click', () => this.#actions.ask(this.segment.file));
    edit.addEventListener('click', () => this.#edit());
    again.addEventListener('toggle', () => { form.seed.value ||= Math.floor(Math.random() * 1e6); });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      again.open = false;
      this.#actions.again(this.segment, form.seed.valueAsNumber);
    });
  }

  /** Sets whether the segment is being compared. */
  set compared(is) {
    this.#parts.compare.setAttribute('aria-pressed', is);
  }

  #edit() {
    const { element, editor: container, cancel } = copy('plan-form');
    const editor = this.segment.plan ? new PlanEditor(this.segment.plan) : freeEditor(this.segment.text);
    container.append(editor.element);
    element.addEventListener('submit', (event) => {
      event.preventDefault();
      close();
      this.#actions.remake(this.segment, editor.text);
    });
    const close = () => {
      element.remove();
      this.update();
      this.#parts.edit.focus();
    };
    cancel.addEventListener('click', close);
    this.#parts.content.replaceChildren(element);
    this.#showActions();
    element.querySelector('input, textarea').focus();
  }
}

/** An editor for a plan in free text. */
function freeEditor(text) {
  const element = Object.assign(document.createElement('textarea'), { value: text, rows: 4, required: true });
  element.setAttribute('aria-label', 'Plan');
  return { element, get text() { return element.value; } };
}

function fileName(prompt, name, seed) {
  const words = `${prompt} ${name} ${seed ?? ''}`.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return `${words.join('-').slice(0, 80)}.wav`;
}
