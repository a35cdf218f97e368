// Input of a recording: by drag and drop, from a file, or from the microphone.

import { decode, Recording } from './recorder.js';
import { SoundView } from './sound-view.js';
import { announce } from './template.js';

/** The part of the form for a recording. Dispatches "change" for a new recording, "refused" with a reason. */
export class SoundInput extends EventTarget {
  #element = document.getElementById('input');
  #record = document.getElementById('record');
  #recording = null;
  /** A File, or null. */
  file = null;

  constructor() {
    super();
    const chooser = document.getElementById('file');
    chooser.addEventListener('change', () => this.take(chooser.files[0] ?? null));
    this.#record.addEventListener('click', () => this.#toggleRecording());
    takeDrops(this.#element, (file) => this.take(file));
  }

  /** Sets `file`, and shows it if the browser can decode it. */
  async take(file) {
    this.file = file;
    const chosen = document.getElementById('chosen');
    chosen.replaceChildren();
    this.dispatchEvent(new Event('change'));
    if (!file) return;
    const name = Object.assign(document.createElement('p'), { textContent: file.name });
    chosen.append(name);
    announce(`${file.name} is chosen.`);
    const sound = await decode(file).catch(() => null);
    if (this.file !== file) return;
    if (sound) chosen.append(new SoundView(sound, file.name).element);
    else name.textContent += ' (this browser cannot show it; the server may read it still)';
  }

  async #toggleRecording() {
    try {
      if (this.#recording) {
        const recording = this.#recording;
        this.#showRecording(null);
        await this.take(await recording.stop());
      } else {
        this.#showRecording(await Recording.begin());
      }
    } catch (error) {
      this.dispatchEvent(new CustomEvent('refused', { detail: error.message }));
    }
  }

  #showRecording(recording) {
    this.#recording = recording;
    this.#record.setAttribute('aria-pressed', recording !== null);
    this.#record.textContent = 'Record';
    if (recording) this.#count();
  }

  /** Shows the length of the recording. */
  #count() {
    if (!this.#recording) return;
    this.#record.textContent = `Stop recording, ${this.#recording.seconds.toFixed(0)} s`;
    setTimeout(() => this.#count(), 250);
  }
}

/** Passes files that are dropped anywhere on the page to `take`; highlights `element` as the target. */
function takeDrops(element, take) {
  const hasFiles = ({ dataTransfer }) => dataTransfer.types.includes('Files');
  const mark = (is) => element.classList.toggle('over', is);
  document.addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) mark(false); });
  document.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    take(event.dataTransfer.files[0]);
  });
}
