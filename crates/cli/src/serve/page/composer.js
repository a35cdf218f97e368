// The form for requests.

import { PlanEditor } from './plan-view.js';
import { remember, remembered } from './preferences.js';
import { makesSound } from './request.js';
import { SoundInput } from './sound-input.js';

const EXPLANATIONS = {
  generate: 'Sound from a description.',
  reason: 'The model plans the sound in words, makes it, and may criticise and revise it.',
  speak: 'Speech from text.',
  ask: 'A question about a recording.',
  transcribe: 'Text from speech.',
};
const PROMPTS = { generate: 'Describe a sound', reason: 'Describe a sound', speak: 'Text to speak', ask: 'Question' };
const SUBMITS = { generate: 'Make', reason: 'Make', speak: 'Speak', ask: 'Ask', transcribe: 'Transcribe' };

/** The form; dispatches "wish" with the request (see request.js) as `detail`. */
export class Composer extends EventTarget {
  #form = document.getElementById('composer');
  #fields = this.#form.elements;
  #input = new SoundInput();
  #plan = new PlanEditor();
  #model = null;
  /** True if the form was never used in this browser. */
  #isNew = remembered('form', null) === null;

  constructor() {
    super();
    document.getElementById('own-plan').append(this.#plan.element);
    this.#fill(remembered('form', {}));
    this.#form.addEventListener('input', () => this.#changed());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#fields.prompt.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    // A field in a closed part of the form can be invalid as well.
    this.#form.addEventListener('invalid', ({ target }) => target.closest('details')?.setAttribute('open', ''), true);
    this.#input.addEventListener('change', () => this.#takeSound());
    this.#input.addEventListener('refused', ({ detail }) => this.refuse(detail));
    this.#changed();
  }

  /** Returns whether sounds are played while they are made. */
  get autoplay() {
    return this.#fields.autoplay.checked;
  }

  /** Adapts the form to the abilities of `model`. */
  suit(model) {
    this.#model = model;
    const { limits, known_words: words, listens, modalities: made, reasoning } = model.ualm;
    const can = { generate: made.audio, reason: made.audio, speak: made.speech, ask: listens, transcribe: listens };
    for (const choice of this.#fields.mode) choice.disabled = !can[choice.value];
    this.#fields.takes.max = limits.takes;
    this.#fields.seconds.max = limits.output_seconds;
    if (reasoning && this.#isNew) this.#fields.way.value = reasoning.default;
    document.querySelector('#known ul').replaceChildren(...words.map((word) => this.#suggestion(word)));
    this.#changed();
  }

  /** Fills the form with `wish`. */
  use({ mode, prompt, sound, settings }) {
    this.#fill({ mode, prompt, ...settings });
    this.#input.take(sound);
    this.#changed();
    this.#form.scrollIntoView({ block: 'start' });
    this.#fields[mode === 'transcribe' ? 'record' : 'prompt'].focus();
  }

  /** Shows an error message; '' removes it. */
  refuse(reason) {
    const refusal = document.getElementById('refusal');
    refusal.textContent = reason;
    refusal.hidden = reason === '';
  }

  get #values() {
    const number = (name) => (this.#fields[name].value === '' ? null : this.#fields[name].valueAsNumber);
    const { mode, prompt, way, listen, best, autoplay } = this.#fields;
    const numbers = ['rounds', 'seed', 'takes', 'seconds', 'temperature', 'topK', 'guidance'];
    return {
      mode: mode.value, prompt: prompt.value.trim(), way: way.value,
      listen: listen.checked, best: best.checked, autoplay: autoplay.checked,
      ...Object.fromEntries(numbers.map((name) => [name, number(name)])),
    };
  }

  #fill(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.#fields[name];
      if (field?.type === 'checkbox') field.checked = value;
      else if (field) field.value = value ?? '';
    }
  }

  #changed() {
    const values = this.#values;
    const { mode, way } = values;
    remember('form', values);
    this.refuse('');
    this.#showOnly('[data-for]', (part) => part.dataset.for.split(' ').includes(mode));
    this.#showOnly('[data-way]', (part) => mode === 'reason' && part.dataset.way === way);
    this.#showOnly('#known', (part) => !part.hidden && this.#model?.ualm.known_words.length > 0);
    document.getElementById('explanation').textContent = EXPLANATIONS[mode];
    document.getElementById('prompt-label').textContent = PROMPTS[mode] ?? '';
    this.#fields.prompt.placeholder = (mode === 'ask' && this.#model?.ualm.prompts.ask) || '';
    this.#form.querySelector('[type=submit]').textContent = SUBMITS[mode];
    this.#showDefaults(mode);
  }

  /** Hides the parts of the form for which `isWanted` is false; hidden parts are not validated. */
  #showOnly(parts, isWanted) {
    for (const part of this.#form.querySelectorAll(parts)) {
      part.hidden = !isWanted(part);
      for (const field of part.querySelectorAll('input, select, textarea')) field.disabled = part.hidden;
    }
  }

  /** Shows the defaults as placeholders of empty fields. */
  #showDefaults(mode) {
    const made = { speak: 'speech', ask: 'text', transcribe: 'text' }[mode] ?? 'audio';
    const defaults = this.#model?.ualm.modalities[made];
    if (!defaults) return;
    this.#fields.temperature.placeholder = Number(defaults.temperature.toPrecision(4));
    this.#fields.topK.placeholder = defaults.top_k;
    this.#fields.guidance.placeholder = defaults.guidance;
    const stepsPerSecond = this.#model.ualm.steps_per_second[made];
    if (stepsPerSecond) this.#fields.seconds.placeholder = (defaults.max_steps / stepsPerSecond).toFixed(1);
  }

  /** Switches to asking when a recording was added. */
  #takeSound() {
    if (this.#input.file && makesSound(this.#values.mode)) this.#fields.mode.value = 'ask';
    this.#changed();
  }

  #suggestion(word) {
    const item = document.createElement('li');
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: word });
    button.addEventListener('click', () => {
      const { prompt } = this.#fields;
      prompt.value = prompt.value.trim() ? `${prompt.value.trim()}, ${word}` : word;
      this.#changed();
    });
    item.append(button);
    return item;
  }

  #submit() {
    const { mode, prompt, autoplay, ...settings } = this.#values;
    const sound = makesSound(mode) ? null : this.#input.file;
    if (makesSound(mode) && prompt === '') return this.#miss(this.#fields.prompt, 'Enter a description or a text first.');
    if (!makesSound(mode) && !sound) return this.#miss(this.#fields.record, 'Drop, choose or record a sound first.');
    const words = { ask: prompt || this.#model?.ualm.prompts.ask, transcribe: '' }[mode] ?? prompt;
    const plan = mode === 'reason' ? this.#plan.text : null;
    this.dispatchEvent(new CustomEvent('wish', { detail: { mode, prompt: words, sound, settings, plan } }));
  }

  #miss(field, reason) {
    this.refuse(reason);
    field.focus();
  }
}
