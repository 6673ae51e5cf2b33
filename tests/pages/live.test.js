// The page of a study that is still at work reads itself again, unless its reader is busy with it or has told it not to.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { files, launch, visit } from './browser.js';

const browser = await launch();
after(() => browser.close());
const { study, live } = await files(browser);

// The page's clock goes when it is told to.
const before = page => page.clock.install();
const STOP = 'Stop refreshing';
const START = 'Refresh by itself';
const button = (page, name) => page.getByRole('button', { name });
const mark = page => page.evaluate(() => { window.marked = true; });
/** Whether the page reads itself again within `seconds`; it is marked before. */
const reads = async (page, seconds) => {
  await mark(page);
  let loads = 0;
  const count = () => { loads += 1; };
  page.on('load', count);
  // The clock stops at the first reading, which ends the page that was told.
  await page.clock.runFor(seconds * 1000).catch(() => {});
  await page.waitForLoadState('load');
  const again = await page.waitForFunction(() => !window.marked, null, { timeout: 1000, polling: 50 }).then(() => true, () => false);
  // A new page has no mark before it has loaded.
  if (again && loads === 0) await page.waitForEvent('load', { timeout: 10_000 }).catch(() => {});
  page.off('load', count);
  assert.equal(loads > 0, again);
  return again;
};

describe('a page whose runs are at work', () => {
  test('says so, and reads itself again', () => visit(browser, live, { before }, async page => {
    await page.getByText('Some runs are still at work. This page reads itself again every 20 seconds.').waitFor();
    assert.ok(await button(page, STOP).isVisible());
    assert.equal(await reads(page, 15), false, 'too early');
    assert.equal(await reads(page, 6), true);
    assert.equal(await reads(page, 21), true, 'and again');
  }));

  test('stops and goes on by its button, by keyboard, and remembers it', () => visit(browser, live, { before }, async page => {
    await button(page, STOP).press('Enter');
    assert.equal(await reads(page, 60), false);
    await page.reload();
    assert.ok(await button(page, START).isVisible());
    assert.equal(await reads(page, 60), false, 'after it was read by hand');
    await button(page, START).press('Space');
    assert.ok(await button(page, STOP).isVisible());
    assert.equal(await reads(page, 21), true);
  }));

  test('waits while somebody chooses, and shows what was chosen again', () => visit(browser, live, { before }, async page => {
    const baseline = page.getByRole('combobox', { name: 'Baseline' });
    const chosen = await baseline.evaluate(it => [...it.options].find(option => !option.selected).label);
    await baseline.focus();
    await baseline.selectOption({ label: chosen });
    assert.equal(await reads(page, 60), false);
    await baseline.blur();
    assert.equal(await reads(page, 21), true);
    assert.equal(await baseline.evaluate(it => it.selectedOptions[0].label), chosen);
  }));

  test('is otherwise left alone, and so is one whose runs have ended', () => visit(browser, study, { before }, async page => {
    assert.equal(await button(page, STOP).count(), 0);
    assert.doesNotMatch(await page.getByRole('main').innerText(), /still at work|reads itself/);
    assert.equal(await reads(page, 120), false);
  }));
});
