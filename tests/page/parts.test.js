// Modules of the page that need no server, in a browser.

import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { hosted, missing } from './support.js';

suite('the parts of the page', { skip: missing }, () => {
  const { open } = hosted();
  let page;

  before(async () => ({ page } = await open()));

  test('events of a stream are parsed however the stream is cut', async () => {
    const found = await page.evaluate(async () => {
      const { events } = await import('/page/sse.js');
      const bytes = new TextEncoder().encode(': waiting\n\ndata: {"a":"é"}\r\n\r\nevent: x\ndata: one\ndata: two\n\ndata: [DONE]\n\ndata: torn');
      const all = [];
      for (const size of [1, 2, 7, bytes.length]) {
        const body = new ReadableStream({
          start(controller) {
            for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
            controller.close();
          },
        });
        const got = [];
        for await (const data of events(body)) got.push(data);
        all.push(got);
      }
      return all;
    });
    for (const got of found) assert.deepEqual(got, ['{"a":"é"}', 'one\ntwo', '[DONE]']);
  });

  test('a tone is bright only in its band', async () => {
    const { band, loudest, quiet } = await page.evaluate(async () => {
      const { BANDS, Spectrum } = await import('/page/spectrum.js');
      const samples = Float32Array.from({ length: 16_000 }, (_, n) => Math.sin((2 * Math.PI * 1000 * n) / 16_000));
      const spectrum = new Spectrum(16_000);
      spectrum.follow(samples.subarray(0, 7000), false);
      spectrum.follow(samples, true);
      const levels = spectrum.levels[50];
      const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
      return { band: Math.round(levels.indexOf(Math.max(...levels)) - (BANDS * mel(1000)) / mel(8000)), loudest: spectrum.loudest, quiet: levels[5] };
    });
    assert.ok(Math.abs(band) <= 1, `${band} bands off`);
    assert.ok(loudest - quiet > 60);
  });

  test('silence is dark', async () => {
    const brightest = await page.evaluate(async () => {
      const { drawSpectrogram } = await import('/page/picture.js');
      const { Spectrum } = await import('/page/spectrum.js');
      const spectrum = new Spectrum(16_000, 1);
      spectrum.follow(new Float32Array(16_000), true);
      const canvas = document.querySelector('#empty').appendChild(document.createElement('canvas'));
      drawSpectrogram(canvas, spectrum, 1);
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.filter((_, n) => n % 4 !== 3).reduce((max, part) => Math.max(max, part), 0);
    });
    assert.ok(brightest < 10, `${brightest}`);
  });

  test('the transform is a Fourier transform', async () => {
    const [got, expected] = await page.evaluate(async () => {
      const { powerSpectrum } = await import('/page/spectrum.js');
      const signal = Float32Array.from({ length: 32 }, (_, n) => Math.sin(n * n));
      const slow = Array.from({ length: 16 }, (_, bin) => {
        const sum = (part) => signal.reduce((total, x, n) => total + x * part((2 * Math.PI * bin * n) / 32), 0);
        return sum(Math.cos) ** 2 + sum(Math.sin) ** 2;
      });
      return [[...powerSpectrum(signal.slice())], slow];
    });
    got.forEach((power, bin) => assert.ok(Math.abs(power - expected[bin]) < 1e-3));
  });

  test('WAV files survive a round trip', async () => {
    const [rate, worst, count] = await page.evaluate(async () => {
      const { readWav, wavOf } = await import('/page/wav.js');
      const samples = Float32Array.from({ length: 999 }, (_, n) => 1.1 * Math.sin(n));
      const sound = await readWav(wavOf(samples, 22_050));
      const wrong = sound.samples.map((sample, n) => Math.abs(sample - Math.max(-1, Math.min(1, samples[n]))));
      return [sound.sampleRate, Math.max(...wrong), sound.samples.length];
    });
    assert.deepEqual([rate, count], [22_050, 999]);
    assert.ok(worst < 1e-4);
  });

  test('plans have the text form of the model', async () => {
    const text = await page.evaluate(async () => {
      const { keywordsOf, planText } = await import('/page/plan.js');
      const layout = [{ start: 0, end: 1.5, what: 'dog bark' }, { start: 1.5, end: 3, what: 'bell' }];
      return planText({ keywords: keywordsOf(' dog bark,, bell '), layout, description: 'A dog barks, then a bell rings.' });
    });
    assert.equal(text, 'Keywords: dog bark, bell. Layout: 0.0-1.5 dog bark; 1.5-3.0 bell. Description: A dog barks, then a bell rings.');
  });

  test('the oldest replies that are not kept are deleted', async () => {
    const left = await page.evaluate(async () => {
      const { forgetOld, storedReplies, storeReply } = await import('/page/store.js');
      for (let n = 0; n < 25; n++) await storeReply({ id: `${n}`, begun: n, kept: n === 2 });
      await forgetOld();
      return (await storedReplies()).map(({ begun }) => begun);
    });
    assert.deepEqual(left, [2, ...Array.from({ length: 20 }, (_, n) => n + 5)]);
  });
});
