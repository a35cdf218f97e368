// Test support: a server, a browser, and actions on the page.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = process.env.UALM_PROGRAM ?? `${ROOT}target/release/ualm`;
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** Browser flags: no background network requests, and a fake microphone that beeps. */
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
];
/** The time limit for a reply in milliseconds, generous for busy machines. */
export const TIMEOUT = Number(process.env.UALM_PAGE_TIMEOUT ?? 120_000);

/** The reason why the tests cannot run here, or false. */
export const missing = existsSync(CHROMIUM) ? false : `no Chromium at ${CHROMIUM}: install it, or name it in CHROMIUM`;

/** Starts a server with the default package, or uses the one at UALM_PAGE. */
export async function serve() {
  if (process.env.UALM_PAGE) return { address: process.env.UALM_PAGE, stop() {} };
  const server = spawn(PROGRAM, ['serve', '--listen', '127.0.0.1:0'], { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] });
  const gone = new Promise((_, reject) => {
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`${PROGRAM} serve ended with ${code}`)));
  });
  const lines = createInterface(server.stderr);
  const told = new Promise((resolve) => {
    lines.on('line', (line) => {
      const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? [];
      if (address) resolve(address);
    });
  });
  gone.catch(() => {});
  return { address: await Promise.race([told, gone]), stop: () => server.kill() };
}

export function browser() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** Provides a server and a browser for a suite; `open` opens a page. */
export function hosted() {
  let server;
  let visitor;
  before(async () => {
    server = await serve();
    visitor = await browser();
  });
  after(async () => {
    await visitor?.close();
    server?.stop();
  });
  return { open: (options) => open(visitor, server.address, options) };
}

/**
 * Opens a page as a new user, with `options` for Playwright's context. `complaints` has its logged errors and its requests
 * to other hosts.
 */
export async function open(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, permissions: ['microphone'], ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`${error.stack}`));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  page.on('request', (request) => { if (!/^(blob:)?https?:\/\/(127\.0\.0\.1|localhost):|^data:/.test(request.url())) complaints.push(request.url()); });
  await page.goto(address);
  await page.locator('#model', { hasText: 'ualm-small-world' }).waitFor();
  return { context, page, complaints };
}

/** Fills in the form with a mode, `prompt` and `settings` by field name, submits it, and returns the newest reply. */
export async function wish(page, mode, prompt, settings = {}) {
  await page.getByRole('radio', { name: mode }).check();
  if (prompt !== null) await page.locator('#prompt').fill(prompt);
  await page.locator('#settings').evaluate((details) => { details.open = true; });
  for (const [name, value] of Object.entries(settings)) await set(page.locator(`#composer [name=${name}]`), value);
  await page.locator('#composer [type=submit]').click();
  return newest(page);
}

async function set(field, value) {
  if (typeof value === 'boolean') await field.setChecked(value);
  else if (await field.evaluate(({ tagName }) => tagName === 'SELECT')) await field.selectOption(value);
  else await field.fill(String(value));
}

/** Returns the newest reply at this time; later replies do not replace it. */
export async function newest(page) {
  const id = await page.getByRole('article').first().getAttribute('aria-labelledby');
  return page.locator(`article[aria-labelledby="${id}"]`);
}

/** Waits until `reply` is complete, and checks its `state`. */
export async function reached(reply, state) {
  await reply.and(reply.page().locator(':not([data-state="running"])')).waitFor({ timeout: TIMEOUT });
  assert.equal(await reply.getAttribute('data-state'), state, await reply.innerText());
}

/** Returns the segment `name` of `reply`. */
export function segment(reply, name) {
  return reply.getByRole('listitem').filter({ has: reply.page().getByRole('heading', { name, exact: true }) });
}

/** Starts to record playback: the label of the button, the position in seconds, and the state of the reply. */
export async function notePlaying(page) {
  await page.evaluate(() => {
    globalThis.played = [];
    new MutationObserver((changes) => {
      for (const { target, oldValue } of changes) {
        if (oldValue === 'true' || !target.matches('.play[aria-pressed=true]')) continue;
        const place = Number(target.parentElement.querySelector('input').value);
        globalThis.played.push({ label: target.ariaLabel, place, state: target.closest('article')?.dataset.state });
      }
    }).observe(document.body, { subtree: true, attributeFilter: ['aria-pressed'], attributeOldValue: true });
  });
}

/** Returns the recorded playback. */
export function played(page) {
  return page.evaluate(() => globalThis.played);
}

/** Returns the bytes of a segment's download. */
export async function downloaded(segment) {
  const [download] = await Promise.all([
    segment.page().waitForEvent('download'),
    segment.getByRole('link', { name: 'Download' }).click(),
  ]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

/** Waits until the picture `part` of a sound has more than `count` colours. */
export async function drawn(sound, part, count = 20) {
  const picture = await sound.locator(`[data-part=${part}]`).elementHandle();
  await sound.page().waitForFunction(([canvas, count]) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size > count;
  }, [picture, count]);
}

/** Slows down storage, as on a busy disk. */
export async function slowDown(page) {
  await page.evaluate(() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function slowPut(value) {
      const until = performance.now() + 700;
      // a transaction stays open while it has pending requests
      const goOn = () => { if (performance.now() < until) this.get('nothing').onsuccess = goOn; };
      goOn();
      return put.call(this, value);
    };
  });
}

/** Drops a file onto the page. */
export async function drop(page, name, bytes) {
  const transfer = await page.evaluateHandle(({ name, bytes }) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name));
    return transfer;
  }, { name, bytes: [...bytes] });
  await page.dispatchEvent('#input', 'drop', { dataTransfer: transfer });
}

/** Returns a WAV file with one second of a tone. */
export function tone() {
  const samples = Int16Array.from({ length: 16_000 }, (_, n) => 8000 * Math.sin((2 * Math.PI * 440 * n) / 16_000));
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write('WAVEfmt ', 8);
  [[16, 4], [1, 2], [1, 2], [16_000, 4], [32_000, 4], [2, 2], [16, 2]].reduce((at, [value, size]) => header.writeUIntLE(value, at, size), 16);
  header.write('data', 36);
  header.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([header, Buffer.from(samples.buffer)]);
}

/** Fails if the page has complaints. */
export function assertContent(complaints) {
  assert.deepEqual(complaints, []);
}
