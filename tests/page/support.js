// A server, a browser, and a person's hands on the page.

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
/** Nothing of the browser's own asks the network; the microphone is one that beeps. */
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
];
/** Milliseconds that a reply may take, on a machine that does other things too. */
export const PATIENCE = Number(process.env.UALM_PATIENCE ?? 120_000);

/** Why the tests cannot run here, or false. */
export const missing = existsSync(CHROMIUM) ? false : `no Chromium at ${CHROMIUM}: install it, or name it in CHROMIUM`;

/** A server of the default package at an address of its own, or the one that UALM_PAGE names. */
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

/** A server and a browser for the tests of the suite that calls it; `open` opens a page. */
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
 * A page as a new person sees it, with `options` of Playwright's contexts. What it logs as an error and what it fetches
 * from elsewhere is in `complaints`.
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

/** Chooses what to do, writes `prompt`, and asks for it with `settings`, by their fields' names; gives the newest reply. */
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

/** The newest reply, as it is now: another one will not take its place. */
export async function newest(page) {
  const id = await page.getByRole('article').first().getAttribute('aria-labelledby');
  return page.locator(`article[aria-labelledby="${id}"]`);
}

/** Waits until `reply` is no longer being made, and is in `state`. */
export async function reached(reply, state) {
  await reply.and(reply.page().locator(':not([data-state="running"])')).waitFor({ timeout: PATIENCE });
  assert.equal(await reply.getAttribute('data-state'), state, await reply.innerText());
}

/** The segment of `reply` that is called `name`. */
export function segment(reply, name) {
  return reply.getByRole('listitem').filter({ has: reply.page().getByRole('heading', { name, exact: true }) });
}

/** Notes from now on what begins to play: the label of its button, its place in seconds, and the state of its reply. */
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

/** What has begun to play since. */
export function played(page) {
  return page.evaluate(() => globalThis.played);
}

/** The bytes that a segment's "Download" gives. */
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

/** Makes what is stored from now on take most of a second, as on a disk that is busy. */
export async function slowDown(page) {
  await page.evaluate(() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function slowPut(value) {
      const until = performance.now() + 700;
      // a transaction is open as long as it has something to do
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

/** A WAV file of one second of a tone. */
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

/** Fails if the page complained. */
export function assertContent(complaints) {
  assert.deepEqual(complaints, []);
}
