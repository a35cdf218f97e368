// Use of the page, in a real browser with a server of the default package.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import {
  assertContent, downloaded, drawn, drop, hosted, missing, newest, notePlaying, TIMEOUT, played, reached, segment, slowDown, tone, wish,
} from './support.js';

suite('the page', { skip: missing }, () => {
  const { open } = hosted();
  let context;
  let page;
  let complaints;

  beforeEach(async () => ({ context, page, complaints } = await open()));
  afterEach(async () => {
    assertContent(complaints);
    await context.close();
  });

  test('generates a sound, plays it while it is made, and draws it', async () => {
    await notePlaying(page);
    const reply = await wish(page, 'Generate', 'rain', { seed: 1 });
    await reached(reply, 'done');
    assert.deepEqual(await played(page), [{ label: 'Pause Sound', place: 0, state: 'running' }]);
    const sound = segment(reply, 'Sound');
    assert.match(await sound.textContent(), /\d\.\d s · seed 1/);
    await drawn(sound, 'waveform', 1);
    await drawn(sound, 'spectrogram');
    const place = sound.getByRole('slider');
    await sound.getByRole('button', { name: 'Pause Sound' }).or(sound.getByRole('button', { name: 'Play Sound' })).waitFor();
    await page.waitForFunction((place) => Number(place.value) > 0.3, await place.elementHandle());
  });

  test('pauses, seeks, and plays to the end', async () => {
    const reply = await wish(page, 'Generate', 'a bird', { seed: 2, autoplay: false });
    await reached(reply, 'done');
    const sound = segment(reply, 'Sound');
    const place = sound.getByRole('slider');
    assert.equal(await place.inputValue(), '0');
    await sound.getByRole('button', { name: 'Play Sound' }).click();
    await page.waitForFunction((place) => Number(place.value) > 0.1, await place.elementHandle());
    await sound.getByRole('button', { name: 'Pause Sound' }).click();
    const paused = await place.inputValue();
    await wait(300);
    assert.equal(await place.inputValue(), paused);
    await place.fill(await place.evaluate(({ max }) => String(Math.floor((Number(max) - 0.3) * 100) / 100)));
    await sound.getByRole('button', { name: 'Play Sound' }).click();
    await sound.getByRole('button', { name: 'Play Sound' }).waitFor({ timeout: 5000 });
    assert.equal(await place.inputValue(), await place.evaluate(({ max }) => max));
  });

  test('downloads a sound with its record, and reproduces its samples with the seed', async () => {
    const reply = await wish(page, 'Generate', 'sea waves', { seed: 3 });
    await reached(reply, 'done');
    const first = await downloaded(segment(reply, 'Sound'));
    assert.equal(first.name, 'sea-waves-sound-3.wav');
    assert.ok(first.bytes.includes('ualm-record'));

    const again = async (seed) => {
      await segment(reply, 'Sound').getByText('Regenerate from here').click();
      await segment(reply, 'Sound').getByLabel('Seed').fill(String(seed));
      await segment(reply, 'Sound').getByRole('button', { name: 'Make again' }).click();
      const made = await newest(page);
      await reached(made, 'done');
      return (await downloaded(segment(made, 'Sound'))).bytes;
    };
    const samples = (bytes) => bytes.subarray(44, bytes.lastIndexOf('ualm-record') - 64).toString('base64');
    assert.equal(samples(await again(3)), samples(first.bytes));
    assert.ok(samples(await again(4)) !== samples(first.bytes));
  });

  test('asks about a dropped file', async () => {
    await drop(page, 'tone.wav', tone());
    assert.ok(await page.getByRole('radio', { name: 'Ask' }).isChecked());
    await page.locator('#chosen').getByRole('slider').waitFor();
    const reply = await wish(page, 'Ask', 'What sound is this?');
    await reached(reply, 'done');
    assert.match(await segment(reply, 'Answer').locator('.words').textContent(), /\w/);
    assert.ok(await reply.getByRole('button', { name: 'Play the recording' }).isVisible());
  });

  test('asks about a sound that it made', async () => {
    const made = await wish(page, 'Generate', 'a siren', { seed: 1 });
    await reached(made, 'done');
    await segment(made, 'Sound').getByRole('button', { name: 'Ask about it' }).click();
    await page.locator('#composer [type=submit]').click();
    const reply = await newest(page);
    await reached(reply, 'done');
    assert.match(await segment(reply, 'Answer').locator('.words').textContent(), /\w/);
  });

  test('speaks, and transcribes a recording from the microphone', async () => {
    const spoken = await wish(page, 'Speak', 'seven three', { seed: 1 });
    await reached(spoken, 'done');
    await drawn(segment(spoken, 'Speech'), 'spectrogram');

    await page.getByRole('radio', { name: 'Transcribe' }).check();
    await page.getByRole('button', { name: 'Record' }).click();
    await page.getByRole('button', { name: 'Stop recording, 1 s' }).click();
    await page.locator('#chosen', { hasText: 'recording.wav' }).getByRole('slider').waitFor();
    const reply = await wish(page, 'Transcribe', null);
    await reached(reply, 'done');
    assert.equal(await segment(reply, 'Transcript').count(), 1);
  });

  test('runs a chain of reflection, edits its plan, and resumes at its draft', async () => {
    const reply = await wish(page, 'Reason', 'a dog, then rain', { seed: 1, way: 'reflect', seconds: 3 });
    await reached(reply, 'done');
    assert.deepEqual(await reply.getByRole('heading', { level: 4 }).allTextContents(), ['Plan', 'Draft', 'Critique', 'Final']);
    const plan = segment(reply, 'Plan');
    assert.ok(await plan.getByRole('list', { name: 'Keywords' }).getByRole('listitem').count() >= 1);
    assert.match(await segment(reply, 'Critique').locator('.words').textContent(), /\w/);

    await plan.getByRole('button', { name: 'Edit the plan' }).click();
    await plan.getByLabel('Keywords').fill('rain');
    await plan.getByLabel('sound').first().fill('rain');
    while (await plan.getByRole('button', { name: 'Remove' }).count() > 1) await plan.getByRole('button', { name: 'Remove' }).last().click();
    await plan.getByLabel('Description').fill('It rains.');
    await plan.getByRole('button', { name: 'Make this plan' }).click();
    const edited = await newest(page);
    await reached(edited, 'done');
    const chips = segment(edited, 'Plan').getByRole('list', { name: 'Keywords' });
    assert.deepEqual(await chips.getByRole('listitem').allTextContents(), ['rain']);
    assert.match(await segment(edited, 'Plan').textContent(), /It rains\./);
    await drawn(segment(edited, 'Final'), 'spectrogram');

    await segment(reply, 'Draft').getByText('Regenerate from here').click();
    await segment(reply, 'Draft').getByLabel('Seed').fill('7');
    await segment(reply, 'Draft').getByRole('button', { name: 'Make again' }).click();
    const other = await newest(page);
    await reached(other, 'done');
    assert.deepEqual(await other.getByRole('heading', { level: 4 }).allTextContents(), ['Plan', 'Draft', 'Critique', 'Final']);
    assert.match(await segment(other, 'Draft').textContent(), /seed 7/);
    assert.equal(await segment(other, 'Plan').locator('.plan').innerText(), await plan.locator('.plan').innerText());
  });

  test('asks a question in a dialogue', async () => {
    const reply = await wish(page, 'Reason', 'a dog', { seed: 1, way: 'dialogue' });
    await reached(reply, 'done');
    await reply.getByLabel('Your answer').fill('twice');
    await reply.getByRole('button', { name: 'Answer' }).click();
    await segment(reply, 'Final').getByRole('link', { name: 'Download' }).waitFor({ timeout: TIMEOUT });
    assert.deepEqual(await reply.getByRole('heading', { level: 4 }).allTextContents(), ['Question', 'Answer', 'Plan', 'Final']);
  });

  test('generates from a plan of the user', async () => {
    await page.getByRole('radio', { name: 'Reason' }).check();
    await page.getByText('Write the plan yourself').click();
    const plan = page.locator('#own-plan');
    await plan.getByLabel('Keywords').fill('siren');
    await plan.getByRole('button', { name: 'Add a sound' }).click();
    await plan.getByLabel('sound').fill('siren');
    await plan.getByLabel('Description').fill('A siren.');
    const reply = await wish(page, 'Reason', 'a siren', { seed: 1, way: 'enrich' });
    await reached(reply, 'done');
    assert.match(await segment(reply, 'Plan').innerText(), /siren 0–1 s/);
    assert.equal(await segment(reply, 'Final').count(), 1);
  });

  test('compares two takes side by side', async () => {
    const reply = await wish(page, 'Generate', 'a dog', { seed: 1, takes: 2, best: true });
    await reached(reply, 'done');
    assert.match(await reply.textContent(), /heard as “.*”, \d+ %, the best/);
    await segment(reply, 'Sound, take 1').getByRole('button', { name: 'Compare' }).click();
    await segment(reply, 'Sound, take 2').getByRole('button', { name: 'Compare' }).click();
    const pair = page.getByRole('region', { name: 'Side by side' });
    const [first, second] = await pair.getByRole('slider').all();
    await first.fill('0.2');
    await notePlaying(page);
    await pair.getByRole('button', { name: /^Play A/ }).click();
    await pair.getByRole('button', { name: 'Play the other from here' }).click();
    const [one, other] = await played(page);
    assert.match(one.label, /^Pause A/);
    assert.match(other.label, /^Pause B/);
    const place = Number(await first.inputValue());
    const length = parseFloat((await pair.locator('.time').last().textContent()).split('/')[1]);
    assert.ok(place >= 0.2);
    assert.ok(Math.abs(other.place - (place < length ? place : 0)) < 0.1, `${other.place} of ${length} after ${place}`);
    assert.equal(await first.getAttribute('max'), await second.getAttribute('max'));
    await pair.getByRole('button', { name: 'Close' }).click();
    assert.ok(await pair.isHidden());
  });

  test('stops, keeps the partial reply, and is ready again', async () => {
    const reply = await wish(page, 'Reason', 'a dog, then rain', { seed: 1, way: 'reflect', rounds: 8 });
    await segment(reply, 'Draft').first().waitFor({ timeout: TIMEOUT });
    // by the keyboard: the button moves down while segments arrive
    await reply.getByRole('button', { name: 'Stop' }).press('Enter');
    await reached(reply, 'stopped');
    assert.ok(await reply.getByRole('heading', { level: 4 }).count() < 18);
    assert.match(await reply.textContent(), /Stopped\. The reply is incomplete\./);
    const next = await wish(page, 'Generate', 'a dog', { seed: 1 });
    await reached(next, 'done');
  });

  test('restores replies after a reload, and plays them', async () => {
    const reply = await wish(page, 'Reason', 'a dog', { seed: 1, way: 'enrich' });
    await reached(reply, 'done');
    await reply.getByRole('button', { name: 'Keep' }).click();
    const before = (await downloaded(segment(reply, 'Final'))).bytes;
    await page.reload();
    const restored = await newest(page);
    assert.equal(await page.locator('#prompt').inputValue(), 'a dog');
    assert.equal(await restored.getByRole('button', { name: 'Kept' }).getAttribute('aria-pressed'), 'true');
    assert.ok((await downloaded(segment(restored, 'Final'))).bytes.equals(before));
    await segment(restored, 'Final').getByRole('button', { name: 'Play Final' }).click();
    await page.waitForFunction((place) => Number(place.value) > 0.1, await segment(restored, 'Final').getByRole('slider').elementHandle());
    await segment(restored, 'Final').getByText('Regenerate from here').click();
    await segment(restored, 'Final').getByRole('button', { name: 'Make again' }).click();
    await reached(await newest(page), 'done');
    await restored.getByRole('button', { name: 'Delete' }).click();
    await restored.waitFor({ state: 'detached' });
    await page.reload();
    await newest(page);
    assert.equal(await page.getByRole('article').count(), 1);
  });

  test('restores finished segments if closed during generation, and marks the reply as incomplete', async () => {
    await slowDown(page);
    const reply = await wish(page, 'Reason', 'a dog, then rain', { seed: 1, way: 'reflect', rounds: 8 });
    await segment(reply, 'Critique').first().waitFor({ timeout: TIMEOUT });
    await page.reload();
    const left = await newest(page);
    await reached(left, 'left');
    assert.equal(await segment(left, 'Plan').count(), 1);
    assert.match(await segment(left, 'Draft').first().innerText(), /seed 1/);
    await drawn(segment(left, 'Draft').first(), 'spectrogram');
  });

  test('shows errors, and tries again', async () => {
    await page.locator('#composer [type=submit]').click();
    assert.match(await page.getByRole('alert').textContent(), /Enter a description or a text first/);
    await drop(page, 'notes.wav', Buffer.from('no sound at all'));
    const refused = await wish(page, 'Ask', '');
    await reached(refused, 'failed');
    assert.ok((await refused.getByRole('alert').textContent()).length > 20);
    complaints.length = 0; // The browser logs the 400.

    await page.route('**/v1/chat/completions', (route) => route.abort());
    const reply = await wish(page, 'Generate', 'a dog', { seed: 1 });
    await reached(reply, 'failed');
    assert.match(await reply.getByRole('alert').textContent(), /The server cannot be reached/);
    await page.unroute('**/v1/chat/completions');
    await reply.getByRole('button', { name: 'Try again' }).click();
    await reached(reply, 'done');
    assert.ok(await reply.getByRole('alert').isHidden());
    complaints.length = 0; // … and the aborted request.
  });

  test('asks for the key if the server requires one', async () => {
    await page.route('**/v1/chat/completions', (route) => {
      const wanted = route.request().headers().authorization === 'Bearer right';
      return wanted ? route.continue() : route.fulfill({ status: 401, json: { error: { message: 'a key is wanted' } } });
    });
    const reply = await wish(page, 'Generate', 'a dog', { seed: 1 });
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Key').fill('wrong');
    await dialog.getByRole('button', { name: 'Continue' }).click();
    await dialog.getByLabel('Key').fill('right');
    await dialog.getByRole('button', { name: 'Continue' }).click();
    await reached(reply, 'done');
    complaints.length = 0; // The browser logs each 401.
  });

  test('has a light and a dark theme, by the system and by choice', async () => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await ground();
    assert.notEqual(light, dark);
    await page.getByRole('button', { name: 'Dark' }).click();
    assert.equal(await ground(), light);
    await page.reload();
    assert.equal(await ground(), light);
  });
});
