// Accessibility of the page: keyboard, phone and screen reader.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { afterEach, suite, test } from 'node:test';
import { assertContent, hosted, missing, newest, reached, segment, wish } from './support.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

suite('the page for everyone', { skip: missing }, () => {
  const { open } = hosted();
  let opened;

  afterEach(async () => {
    assertContent(opened.complaints);
    await opened.context.close();
  });

  test('works with the keyboard only', async () => {
    const { page } = opened = await open();
    const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
    const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim());
    const tabTo = async (name) => {
      for (let n = 0; n < 60; n++) {
        await press('Tab');
        if (name.test(await focused())) return;
      }
      assert.fail(`Tab never comes to ${name}`);
    };
    await press('Tab');
    assert.equal(await focused(), 'Skip to the replies');
    await tabTo(/^Dark$/);
    await press('Tab', 'ArrowRight');
    assert.ok(await page.getByRole('radio', { name: 'Reason' }).isChecked());
    await press('ArrowLeft', 'Tab');
    await page.keyboard.type('a dog barking');
    await press('Control+Enter');
    const reply = await newest(page);
    await reached(reply, 'done');
    await reply.getByRole('button', { name: 'Play Sound' }).waitFor();
    await tabTo(/^Play Sound$/);
    await press('Tab');
    assert.equal(await focused(), 'Position in Sound');
    await press('Home', 'ArrowRight', 'Space');
    await page.waitForFunction(() => Number(document.activeElement.value) > 0.1);
    await tabTo(/^Regenerate from here$/);
    await press('Enter', 'Tab');
    await press('Control+a');
    await page.keyboard.type('5');
    await press('Enter');
    const again = await newest(page);
    await reached(again, 'done');
    assert.match(await segment(again, 'Sound').textContent(), /seed 5/);
  });

  test('fits a phone', async () => {
    const { page } = opened = await open({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    const assertFits = async () => {
      const { needed, there } = await page.evaluate(() => ({ needed: document.documentElement.scrollWidth, there: innerWidth }));
      assert.ok(needed <= there, `the page is ${needed} wide, the phone ${there}`);
    };
    for (const mode of await page.getByRole('radio').all()) {
      await mode.check();
      await assertFits();
    }
    const reply = await wish(page, 'Reason', 'a dog, then rain', { seed: 1, way: 'reflect', seconds: 3 });
    await reached(reply, 'done');
    await segment(reply, 'Plan').getByRole('button', { name: 'Edit the plan' }).tap();
    await segment(reply, 'Draft').getByRole('button', { name: 'Compare' }).tap();
    await segment(reply, 'Final').getByRole('button', { name: 'Compare' }).tap();
    await assertFits();
    const small = await page.getByRole('button').evaluateAll((buttons) => buttons
      .filter((button) => button.offsetParent && button.offsetHeight < 32).map((button) => button.outerHTML));
    assert.deepEqual(small, []);
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`axe finds no violations in the theme ${colorScheme}`, async () => {
      const { page } = opened = await open({ colorScheme });
      const assertSound = async () => {
        const { violations } = await page.evaluate(`${AXE}; axe.run()`);
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join('\n')}`), []);
      };
      await assertSound();
      const reply = await wish(page, 'Reason', 'a dog, then rain', { seed: 1, way: 'reflect', seconds: 3 });
      await reached(reply, 'done');
      await segment(reply, 'Draft').getByRole('button', { name: 'Compare' }).click();
      await segment(reply, 'Final').getByRole('button', { name: 'Compare' }).click();
      await assertSound();
      await segment(reply, 'Plan').getByRole('button', { name: 'Edit the plan' }).click();
      await page.getByRole('radio', { name: 'Ask' }).check();
      await page.locator('#composer [type=submit]').click();
      await assertSound();
    });
  }

  test('announces progress to a screen reader', async () => {
    const { page } = opened = await open();
    const reply = await wish(page, 'Generate', 'a dog', { seed: 1 });
    await reached(reply, 'done');
    assert.equal(await page.getByRole('status').count(), 1);
    assert.equal(await page.getByRole('status').textContent(), 'a dog: Done, seed 1');
  });
});
