// The page of two configurations side by side, held against the page of their study.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { below, files, launch, number, visit } from './browser.js';

const browser = await launch();
after(() => browser.close());
const { study, pair } = await files(browser);

const A = 'mobilenet_v2-frozen';
const B = 'mobilenet_v2-noise <script>window.executed=1</script>';
const box = (page, name) => page.getByRole('region', { name, exact: true });
const ways = [['Right under B, wrong under A', 'B alone'], ['Right under A, wrong under B', 'A alone']];

/** What the study says of the two: the difference of their accuracies, and the F1 of every class under each. */
const known = visit(browser, study, {}, async page => {
  await page.getByRole('combobox', { name: 'Baseline' }).selectOption({ label: A });
  const difference = (await below(box(page, 'Leaderboard'), 'Difference from baseline'))[B];
  await page.evaluate(() => document.querySelectorAll('#classes details').forEach(it => { it.open = true; }));
  const f1 = await Promise.all([A, B].map(it => below(box(page, `Classes of ${it}`), 'F1')));
  return { difference, f1 };
});

describe('two configurations side by side', () => {
  test('have their names, a sentence of what comes of it, and the difference that the study tells', () =>
    visit(browser, pair, {}, async page => {
      await page.getByRole('heading', { level: 1, name: `${A} and ${B}` }).waitFor();
      const { difference } = await known;
      const [mean, low, high] = difference.split(/\s+(?:to\s+)?/);
      const sentence = await page.getByRole('main').getByText(/^No difference is shown: /).first().innerText();
      assert.ok(sentence.includes(`95 % interval of B − A: ${low} to ${high}`), `${sentence} ${difference}`);
      assert.ok(sentence.includes(`is ahead of`) && sentence.includes(`by ${mean.slice(1)} points`), `${sentence} ${difference}`);
      const scores = box(page, 'Scores of both');
      const [told, interval] = [await below(scores, 'B − A'), await below(scores, '95 % interval')];
      assert.equal(told['Accuracy %'], mean);
      assert.equal(interval['Accuracy %'], `${low} to ${high}`);
      assert.ok(await scores.getByText('not shown').isVisible());
    }));

  test('differ in the setting that was changed, and in no other', () => visit(browser, pair, {}, async page => {
    const rows = await box(page, 'Settings that differ').getByRole('row').allInnerTexts();
    assert.deepEqual(rows.slice(1).map(it => it.split('\t').map(cell => cell.trim())),
      [['noise.features', 'not set', '0.1', 'noise on the features']]);
  }));

  test('have the scores of every class that the study tells, the largest change first', () => visit(browser, pair, {}, async page => {
    const table = box(page, 'Scores of every class');
    const { f1 } = await known;
    for (const [at, head] of ['F1 A', 'F1 B'].entries()) {
      const told = await below(table, head);
      assert.equal(Object.keys(told).length, 7);
      for (const [name, value] of Object.entries(told)) assert.equal(value, f1[at][name], `${head}, ${name}`);
    }
    const changes = Object.values(await below(table, 'F1 B − A')).map(it => Math.abs(number(it.split(/\s/)[0])));
    assert.deepEqual(changes, [...changes].sort((a, b) => b - a));
    await table.getByRole('button', { name: 'recall A' }).click();
    const recalls = Object.values(await below(table, 'recall A')).map(number);
    assert.deepEqual(recalls, [...recalls].sort((a, b) => b - a));
  }));

  test('have the images that changed side, as many as are counted', () => visit(browser, pair, {}, async page => {
    const seen = [];
    for (const [title, column] of ways) {
      const heading = page.getByRole('heading', { name: new RegExp(`^${title}`) });
      const count = number((await heading.innerText()).match(/([\d,]+) images$/)[1]);
      assert.equal(count, number((await below(box(page, 'Images by who is right'), column))['most seeds']));
      const faces = heading.locator('xpath=following-sibling::ol[1]').getByRole('listitem');
      assert.equal(await faces.count(), Math.min(count, 24));
      const pictures = await heading.locator('xpath=following-sibling::ol[1]').getByRole('img', { name: /^image row / }).all();
      assert.equal(pictures.length, Math.min(count, 24));
      const shots = await Promise.all(pictures.slice(0, 5).map(it => it.screenshot()));
      assert.equal(new Set(shots.map(it => it.toString('base64'))).size, 5, 'pictures are drawn and are not alike');
      await heading.locator('xpath=following-sibling::details[1]').getByText('The same as a table').press('Enter');
      const rows = await box(page, title).getByRole('rowheader').allInnerTexts();
      assert.deepEqual(rows, await faces.locator('.id').allInnerTexts());
      seen.push(...rows);
    }
    assert.equal(new Set(seen).size, seen.length, 'an image is on one side');
  }));

  test('lead to their runs and back to the study', () => visit(browser, pair, {}, async page => {
    const links = await page.getByRole('link', { name: 'seed 0' }).all();
    assert.equal(links.length, 2);
    await links[1].click();
    assert.equal(await page.getByRole('main').locator('.crumb').innerText(), B);
    await page.goBack();
    await page.getByRole('navigation').getByRole('link', { name: 'faces #1 100 %' }).click();
    await page.getByRole('heading', { level: 1, name: 'faces #1 100 %' }).waitFor();
  }));
});
