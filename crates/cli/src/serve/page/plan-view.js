// A rich caption to read and to edit.

import { keywordsOf, planSeconds, planText } from './plan.js';
import { copy, items } from './template.js';

/** Shows `plan`: its keywords, its events on a line of time, its description. */
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

/** Fields for every part of a plan. */
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

  /** The plan as the model reads it, null where nothing was written. */
  get text() {
    const { keywords, layout, description } = this.plan;
    return keywords.length + layout.length + description.length > 0 ? planText(this.plan) : null;
  }

  /** A row for `event`; gives the field for what is heard. */
  #add(event) {
    const { element, start, end, what, remove } = copy('plan-event');
    Object.assign(start, { value: event.start });
    Object.assign(end, { value: event.end });
    what.value = event.what;
    const check = () => end.setCustomValidity(Number(end.value) < Number(start.value) ? 'It ends before it begins.' : '');
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
