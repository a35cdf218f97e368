// The view of a sound: its picture and its player.

import { drawSpectrogram, drawWaveform } from './picture.js';
import { Player } from './player.js';
import { Spectrum } from './spectrum.js';
import { copy } from './template.js';

/** The initial width of the picture of a growing sound, in seconds. */
const FIRST_WIDTH = 2.5;

/** Shows `sound` with the name `name`, on a time axis of at least `seconds`. */
export class SoundView {
  #name;
  #seconds;
  #spectrum;
  #parts;
  #drawing = false;

  constructor(sound, name, seconds = 0) {
    this.sound = sound;
    this.#name = name;
    this.#seconds = seconds;
    this.#spectrum = new Spectrum(sound.sampleRate, sound.ended ? sound.seconds : 0);
    this.player = new Player(sound);
    this.#parts = copy('sound');
    this.element = this.#parts.element;
    this.#listen();
    this.#show();
  }

  #listen() {
    const { play, position, waveform } = this.#parts;
    play.addEventListener('click', () => (this.player.playing ? this.player.pause() : this.player.play()));
    position.addEventListener('input', () => this.player.seek(Number(position.value)));
    position.addEventListener('keydown', (event) => {
      if (event.key !== ' ') return;
      event.preventDefault();
      play.click();
    });
    this.player.addEventListener('change', () => this.#follow());
    this.sound.addEventListener('grow', () => this.#drawSoon());
    this.sound.addEventListener('end', () => this.#drawSoon());
    new ResizeObserver(() => this.#drawSoon()).observe(waveform);
  }

  /** Returns the width of the picture in seconds. */
  get #width() {
    const { ended, seconds } = this.sound;
    if (ended) return Math.max(seconds, this.#seconds) || 1;
    let width = Math.max(FIRST_WIDTH, this.#seconds);
    while (width < seconds) width *= 2;
    return width;
  }

  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#spectrum.follow(this.sound.samples, this.sound.ended);
      drawWaveform(this.#parts.waveform, this.#spectrum, this.#width);
      drawSpectrogram(this.#parts.spectrogram, this.#spectrum, this.#width);
      this.#show();
    });
  }

  /** Updates the position while the sound plays. */
  #follow() {
    this.#show();
    if (this.player.playing) requestAnimationFrame(() => this.#follow());
  }

  #show() {
    const { play, position, time } = this.#parts;
    const [now, all] = [this.player.position, this.sound.seconds];
    play.setAttribute('aria-pressed', this.player.playing);
    play.setAttribute('aria-label', `${this.player.playing ? 'Pause' : 'Play'} ${this.#name}`);
    position.max = this.#width;
    position.value = now;
    position.setAttribute('aria-label', `Position in ${this.#name}`);
    position.setAttribute('aria-valuetext', `${now.toFixed(1)} of ${all.toFixed(1)} seconds`);
    time.textContent = `${now.toFixed(1)} / ${all.toFixed(1)} s`;
  }
}
