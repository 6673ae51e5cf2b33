// The page of one run: its figures as numbers, and the card of its model.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { files, launch, number, visit } from './browser.js';

const browser = await launch();
after(() => browser.close());
const { study, finished, faces, address, pair } = await files(browser);

/** Opens the numbers below a figure by keyboard and returns the rows of their table. */
const numbers = async (page, name) => {
  const figure = page.getByRole('figure', { name, exact: true });
  const table = figure.getByRole('region', { name: `Numbers of ${name}` });
  assert.equal(await table.isVisible(), false);
  await figure.getByText('Numbers', { exact: true }).focus();
  await page.keyboard.press('Enter');
  assert.ok(await table.isVisible());
  return table.locator('tbody tr').evaluateAll(rows => rows.map(row => [...row.cells].map(it => it.textContent.trim())));
};
/** What a tile at the top says. */
const tile = (page, name) => page.locator('.tile').filter({ hasText: name }).locator('.value').innerText();

describe('the page of a run', () => {
  test('has ROC curves whose areas are those beside the names, and their mean on top', () => visit(browser, finished, {}, async page => {
    const curves = new Map();
    for (const [name, x, y] of await numbers(page, 'ROC curve of each class')) {
      curves.set(name, [...curves.get(name) ?? [], [Number(x), Number(y)]]);
    }
    assert.equal(curves.size, 8, 'seven classes and their mean');
    const areas = [];
    for (const [name, points] of curves) {
      const told = Number(name.match(/ (0\.\d{3})$/)[1]);
      const area = points.slice(1).reduce((sum, [x, y], at) => sum + (x - points[at][0]) * (y + points[at][1]) / 2, 0);
      assert.ok(Math.abs(area - told) < 0.002, `${name}: ${area}`);
      if (!name.startsWith('mean ')) areas.push(told);
    }
    const mean = areas.reduce((sum, it) => sum + it, 0) / areas.length;
    assert.ok(Math.abs(number(await tile(page, 'ROC AUC')) - mean) < 0.001, `${mean}`);
  }));

  test('has a reliability diagram whose error is the one on top', () => visit(browser, finished, {}, async page => {
    const bins = (await numbers(page, 'Reliability diagram')).map(it => it.slice(1).map(cell => parseFloat(cell)));
    assert.equal(bins.length, 10);
    const images = bins.reduce((sum, [images]) => sum + images, 0);
    assert.equal(images, 3589);
    const error = bins.filter(it => it[0]).reduce((sum, [images, sure, right]) => sum + images * Math.abs(sure - right), 0) / images;
    assert.ok(Math.abs(parseFloat(await tile(page, 'Calibration error')) - error) < 0.11, `${error} %`);
  }));

  test('opens the numbers of every figure by keyboard', async () => {
    for (const file of [finished, faces]) {
      await visit(browser, file, {}, async page => {
        const names = await page.getByRole('figure').locator('.top h3').allTextContents();
        assert.ok(names.length > 7, names.join());
        for (const name of names) assert.ok((await numbers(page, name)).length > 1, name);
      });
    }
  });

  test('has a model card, which lies beside it and says how to repeat the run', () => visit(browser, finished, {}, async page => {
    const card = page.locator('section').filter({ has: page.getByRole('heading', { level: 2, name: 'Model card' }) });
    const text = await card.innerText();
    for (const part of ['First weights', 'Their licence', 'Images', 'Not for', 'Repeat it', 'ferrite run ']) {
      assert.ok(text.includes(part), part);
    }
    const link = await card.getByRole('link', { name: 'MODEL.md' }).evaluate(it => it.href);
    assert.ok(existsSync(fileURLToPath(link)), link);
  }));
});

describe('a link', () => {
  test('to a file leads to it, whatever its name holds', async () => {
    for (const file of [study, finished, address, pair]) {
      const all = await visit(browser, file, {}, page => page.getByRole('link').evaluateAll(all => all.map(it => it.href)));
      const files = [...new Set(all.filter(it => it.startsWith('file:')).map(it => it.split('#')[0]))];
      assert.ok(files.length > 3, files.join());
      assert.deepEqual(files.filter(it => !existsSync(fileURLToPath(it))), [], file);
    }
  });

  test('to a run whose name an address cannot hold opens its page, and the way back is there', () => visit(browser, study, {}, async page => {
    await page.getByRole('region', { name: 'Leaderboard' }).getByRole('row').filter({ hasText: 'resnet50 #2 50 %?' })
      .getByRole('link', { name: '1', exact: true }).click();
    assert.equal(await page.getByRole('main').locator('.crumb').innerText(), 'resnet50 #2 50 %?');
    await page.getByRole('navigation').getByRole('link', { name: 'faces #1 100 %' }).click();
    await page.getByRole('heading', { level: 1, name: 'faces #1 100 %' }).waitFor();
  }));
});
