// The recording that is asked about: dropped, chosen, or recorded.

import { decode, Recording } from './recorder.js';
import { SoundView } from './sound-view.js';
import { announce } from './template.js';

/** The part of the form that takes a recording. Says "change" when there is another one, "refused" with a reason. */
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

  /** Takes `file`, and shows it if the browser can. */
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

  /** Says how long the recording is by now. */
  #count() {
    if (!this.#recording) return;
    this.#record.textContent = `Stop recording, ${this.#recording.seconds.toFixed(0)} s`;
    setTimeout(() => this.#count(), 250);
  }
}

/** Gives the files that are dropped anywhere on the page to `take`, and shows over `element` that they may be. */
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
