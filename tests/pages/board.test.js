// The table that the study's page begins with: another configuration becomes the baseline that all are held against.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { below, files, launch, number, visit } from './browser.js';

const browser = await launch();
after(() => browser.close());
const { study } = await files(browser);

const HEAD = 'Difference from baseline';
const ESTIMATE = /^[+−]?\d+\.\d\s+[+−]?\d+\.\d to [+−]?\d+\.\d$/;
const board = page => page.getByRole('region', { name: 'Leaderboard' });
const choice = page => page.getByRole('combobox', { name: 'Baseline' });
const differences = page => below(board(page), HEAD);
const changes = page => below(page.getByRole('region', { name: 'What differs' }), 'Settings that are not those of the baseline');
/** The baseline that the sentences above the two tables name. */
const named = async page => {
  const told = await page.getByText(/The baseline is|otherwise than the baseline/).getByRole('strong').allTextContents();
  assert.equal(told.length, 2);
  assert.equal(told[0], told[1]);
  return told[0];
};
/** All that is told against a baseline. */
const told = async page => ({
  baseline: await named(page), differences: await differences(page), changes: await changes(page),
});
/** `+1.2` and `−0.3 to +2.7` as they are read the other way round. */
const turned = text => {
  const [mean, low, high] = text.split(/\s+(?:to\s+)?/).map(it => 0 - number(it));
  return [mean, high, low];
};
const numbers = text => text.split(/\s+(?:to\s+)?/).map(number);
/** What is set otherwise, each as setting, from, to. */
const settings = text => text.split('\n').flatMap(it => [...it.matchAll(/^(\S+) (.+) → (.+)$/g)])
  .map(([, name, from, to]) => [name, from, to]).sort();

const OTHERS = ['mobilenet_v2-frozen', 'resnet50 #2 50 %?'];

describe('another baseline', () => {
  for (const other of OTHERS) {
    test(`is ${other}: differences turn with it, and so does what differs`, () => visit(browser, study, {}, async page => {
      const before = await told(page);
      const first = before.baseline;
      assert.notEqual(first, other);
      assert.equal(before.differences[first], 'baseline');
      await choice(page).selectOption({ label: other });
      const now = await told(page);
      assert.equal(now.baseline, other);
      assert.deepEqual(Object.entries(now.differences).filter(it => it[1] === 'baseline').map(it => it[0]), [other]);
      const there = before.differences[other];
      assert.match(there, ESTIMATE);
      assert.deepEqual(numbers(now.differences[first]), turned(there));
      for (const [name, text] of Object.entries(now.differences)) {
        assert.ok(['baseline', '–'].includes(text) || ESTIMATE.test(text), `${name}: ${text}`);
      }
      assert.deepEqual(Object.entries(now.changes).filter(it => it[1] === 'baseline').map(it => it[0]), [other]);
      const [way, back] = [settings(before.changes[other]), settings(now.changes[first])];
      assert.ok(way.length > 0, before.changes[other]);
      assert.deepEqual(back, way.map(([name, from, to]) => [name, to, from]));
    }));
  }

  test('is at first the one that the page was written with, and told alike', async () => {
    const written = await visit(browser, study, { javaScript: false }, told);
    assert.deepEqual(await visit(browser, study, {}, told), written);
  });

  test('is the difference of the accuracies that stand beside it, where the seeds are the same', () =>
    visit(browser, study, {}, async page => {
      await choice(page).selectOption({ label: OTHERS[0] });
      const accuracies = await below(board(page), 'Test (PrivateTest) accuracy');
      const mean = text => Number(text.split(/\s/)[0]);
      const all = await differences(page);
      for (const name of ['vgg16-frozen', 'vgg16-finetune · lr 0.01', 'vgg16-finetune · lr 0.001']) {
        const difference = mean(accuracies[name]) - mean(accuracies[OTHERS[0]]);
        assert.ok(Math.abs(numbers(all[name])[0] - difference) < 0.11, `${name}: ${all[name]}, ${difference}`);
      }
    }));

  test('stands in a link, which shows the same, and the first one again leaves the link', async () => {
    const [hash, all, first] = await visit(browser, study, {}, async page => {
      const first = await told(page);
      await choice(page).selectOption({ label: OTHERS[1] });
      const { hash } = new URL(page.url());
      const all = await told(page);
      await choice(page).selectOption({ label: first.baseline });
      assert.doesNotMatch(page.url(), /baseline/);
      return [hash, all, first];
    });
    assert.equal(new URLSearchParams(hash.split('?')[1]).get('baseline'), OTHERS[1]);
    await visit(browser, study, { hash }, async page => {
      assert.deepEqual(await told(page), all);
      assert.equal(await choice(page).evaluate(it => it.selectedOptions[0].label), OTHERS[1]);
    });
    await visit(browser, study, { hash: '#?baseline=nobody' }, async page => assert.deepEqual(await told(page), first));
  });

  test('can be sorted by, as often as it changes', () => visit(browser, study, {}, async page => {
    const head = board(page).getByRole('columnheader', { name: HEAD });
    const values = async () => Object.values(await differences(page)).filter(it => it !== '–')
      .map(it => it === 'baseline' ? 0 : numbers(it)[0]);
    for (const other of OTHERS) {
      await choice(page).selectOption({ label: other });
      for (const [way, sign] of [['descending', -1], ['ascending', 1]]) {
        do await head.getByRole('button').click(); while (await head.getAttribute('aria-sort') !== way);
        const all = await values();
        assert.equal(await head.getAttribute('aria-sort'), way);
        assert.ok(all.length > 4 && new Set(all).size > 3, all.join());
        assert.deepEqual(all, [...all].sort((a, b) => sign * (a - b)), `${other}, ${way}`);
      }
    }
  }));

  test("is the one before on the browser's way back", () => visit(browser, study, {}, async page => {
    await choice(page).selectOption({ label: OTHERS[0] });
    const before = await told(page);
    await page.getByRole('navigation').getByRole('link', { name: 'What differs' }).click();
    assert.deepEqual(await told(page), before, 'a link within the page keeps the view');
    await choice(page).selectOption({ label: OTHERS[1] });
    const then = await told(page);
    assert.equal(then.baseline, OTHERS[1]);
    await page.goBack();
    assert.deepEqual(await told(page), before);
    await page.goForward();
    assert.deepEqual(await told(page), then);
  }));
});
