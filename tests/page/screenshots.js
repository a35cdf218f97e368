// Makes the screenshots in docs/page: light, dark, and on a phone.

import { browser, newest, open, reached, segment, serve, wish } from './support.js';

const FOLDER = new URL('../../docs/page/', import.meta.url).pathname;

const server = await serve();
const chromium = await browser();
try {
  await drawChain('light');
  await drawComparison('dark');
  await drawPhone();
} finally {
  await chromium.close();
  server.stop();
}

/** Shows a chain, with its plan, its draft and its critique. */
async function drawChain(colorScheme) {
  const { context, page } = await open(chromium, server.address, { viewport: { width: 1060, height: 860 }, colorScheme });
  const reply = await wish(page, 'Reason', 'a dog, then rain', { seed: 1, way: 'reflect', autoplay: false });
  await reached(reply, 'done');
  await draw(page, 'chain');
  await context.close();
}

/** Shows two takes side by side, the first one half played, and a question about a third. */
async function drawComparison(colorScheme) {
  const { context, page } = await open(chromium, server.address, { viewport: { width: 1060, height: 860 }, colorScheme });
  const reply = await wish(page, 'Generate', 'a siren', { seed: 1, takes: 2, best: true, autoplay: false });
  await reached(reply, 'done');
  for (const name of ['Sound, take 1', 'Sound, take 2']) await segment(reply, name).getByRole('button', { name: 'Compare' }).click();
  await page.locator('#comparison').getByRole('slider').first().fill('0.8');
  await draw(page, 'comparison');
  await context.close();
}

/** Shows an answer about a generated sound, on a phone. */
async function drawPhone() {
  const { context, page } = await open(chromium, server.address, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  const made = await wish(page, 'Generate', 'church bell', { seed: 1, autoplay: false });
  await reached(made, 'done');
  await segment(made, 'Sound').getByRole('button', { name: 'Ask about it' }).tap();
  await page.locator('#chosen').getByRole('slider').waitFor();
  await page.locator('#composer [type=submit]').tap();
  const reply = await newest(page);
  await reached(reply, 'done');
  await reply.evaluate((article) => article.scrollIntoView());
  await draw(page, 'phone');
  await context.close();
}

async function draw(page, name) {
  await page.waitForTimeout(500); // the pictures of the sounds are drawn with the next frame
  await page.screenshot({ path: `${FOLDER}${name}.png` });
}
