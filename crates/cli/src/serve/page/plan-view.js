// Display and editing of a rich caption.

import { keywordsOf, planSeconds, planText } from './plan.js';
import { copy, items } from './template.js';

/** Shows `plan`: its keywords, its events on a time axis, its description. */
export function planView(plan) {
  const { element, keywords, layout, description } = copy('plan');
  const seconds = planSeconds(plan) || 1;
  keywords.append(...items(plan.keywords));
  layout.append(...items(plan.layout.map(({ start, end, what }) => `${what} ${start}–${end} s`)));
  plan.layout.forEach(({ start, end }, n) => {
    layout.children[n].style.setProperty('--start', start / seconds);
    layout.children[n].style.setProperty('--length', (end - start) / seconds);
  });
  description.textContent = plan.description;
  return element;
}

/** An editor with fields for all parts of a plan. */
export class PlanEditor {
  #parts = copy('plan-editor');

  constructor(plan = { keywords: [], layout: [], description: '' }) {
    const { keywords, description, add } = this.#parts;
    this.element = this.#parts.element;
    keywords.value = plan.keywords.join(', ');
    description.value = plan.description;
    plan.layout.forEach((event) => this.#add(event));
    add.addEventListener('click', () => {
      const end = planSeconds(this.plan);
      this.#add({ start: end, end: end + 1, what: '' }).focus();
    });
  }

  get plan() {
    const { keywords, layout, description } = this.#parts;
    const value = (item, part) => item.querySelector(`[data-part=${part}]`).value;
    const events = [...layout.children].map((item) => ({
      start: Number(value(item, 'start')),
      end: Number(value(item, 'end')),
      what: value(item, 'what').trim(),
    }));
    return { keywords: keywordsOf(keywords.value), layout: events, description: description.value.trim() };
  }

  /** Returns the plan as text for the model; null if it is empty. */
  get text() {
    const { keywords, layout, description } = this.plan;
    return keywords.length + layout.length + description.length > 0 ? planText(this.plan) : null;
  }

  /** Adds a row for `event`; returns its text field. */
  #add(event) {
    const { element, start, end, what, remove } = copy('plan-event');
    Object.assign(start, { value: event.start });
    Object.assign(end, { value: event.end });
    what.value = event.what;
    const check = () => end.setCustomValidity(Number(end.value) < Number(start.value) ? 'The end is before the start.' : '');
    start.addEventListener('input', check);
    end.addEventListener('input', check);
    remove.addEventListener('click', () => {
      element.remove();
      this.#parts.add.focus();
    });
    this.#parts.layout.append(element);
    return what;
  }
}
