// The form in which a person says what to make.

import { PlanEditor } from './plan-view.js';
import { remember, remembered } from './preferences.js';
import { makesSound } from './request.js';
import { SoundInput } from './sound-input.js';

const EXPLANATIONS = {
  generate: 'Words to sound.',
  reason: 'The model plans the sound in words, makes it, and may criticise and make it again.',
  speak: 'Words to speech.',
  ask: 'A question about a recording.',
  transcribe: 'Speech to words.',
};
const PROMPTS = { generate: 'Describe a sound', reason: 'Describe a sound', speak: 'What to say', ask: 'Question' };
const SUBMITS = { generate: 'Make', reason: 'Make', speak: 'Speak', ask: 'Ask', transcribe: 'Transcribe' };

/** Says "wish", with the wish (see request.js) as `detail`. */
export class Composer extends EventTarget {
  #form = document.getElementById('composer');
  #fields = this.#form.elements;
  #input = new SoundInput();
  #plan = new PlanEditor();
  #model = null;
  /** Whether nobody used the form in this browser before. */
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
    // A field in a closed part of the form can be wrong, too.
    this.#form.addEventListener('invalid', ({ target }) => target.closest('details')?.setAttribute('open', ''), true);
    this.#input.addEventListener('change', () => this.#takeSound());
    this.#input.addEventListener('refused', ({ detail }) => this.refuse(detail));
    this.#changed();
  }

  /** Whether sounds are played while they are made. */
  get autoplay() {
    return this.#fields.autoplay.checked;
  }

  /** Fits the form to what `model` can do. */
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

  /** Puts `wish` into the form. */
  use({ mode, prompt, sound, settings }) {
    this.#fill({ mode, prompt, ...settings });
    this.#input.take(sound);
    this.#changed();
    this.#form.scrollIntoView({ block: 'start' });
    this.#fields[mode === 'transcribe' ? 'record' : 'prompt'].focus();
  }

  /** Says why something cannot be done; with '' nothing any more. */
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

  /** Hides those of the parts of the form for which `isWanted` is false; what is hidden is not checked either. */
  #showOnly(parts, isWanted) {
    for (const part of this.#form.querySelectorAll(parts)) {
      part.hidden = !isWanted(part);
      for (const field of part.querySelectorAll('input, select, textarea')) field.disabled = part.hidden;
    }
  }

  /** What holds where nothing is given stands in the empty fields. */
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

  /** A recording is for asking about. */
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
    if (makesSound(mode) && prompt === '') return this.#miss(this.#fields.prompt, 'Write what it is to be first.');
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
