// Looking at faces: every cell of the confusion matrix opens its images, and two configurations are held against each other.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { below, files, launch, number, visit } from './browser.js';

const browser = await launch();
after(() => browser.close());
const { study } = await files(browser);

const OTHER = 'mobilenet_v2-frozen';
const matrix = page => page.getByRole('region', { name: 'Confusion matrix with faces' });
const cell = (page, label, answer) => matrix(page).getByRole('button', { name: `true ${label}, predicted ${answer}: ` });
const configuration = page => page.getByRole('combobox', { name: 'Configuration' });
/** Share and images of every cell, as its button is called. */
const cells = async page => Object.fromEntries((await matrix(page).getByRole('button').allTextContents()).map(text => {
  const [, label, answer, share, images] = text.match(/^true (.+), predicted (.+): (\d+) %, ([\d,]+) images?$/);
  return [`${label} as ${answer}`, [Number(share), number(images)]];
}));
const more = box => box.getByRole('button', { name: /^Show more, / });
/** The faces of the list in `box`, each with its name and the lines below it. */
const shown = box => box.getByRole('listitem').evaluateAll(all => all.map(it => ({
    image: it.querySelector('[role=img]')?.ariaLabel ?? null,
    lines: it.innerText.split('\n').map(line => line.trim()).filter(line => line),
  })));
/** How many faces the list in `box` has, with those that its button would show. */
const count = async box => {
  // A box that was just opened is filled a moment later.
  await box.getByRole('listitem').first().waitFor({ state: 'attached' });
  const left = await more(box).isVisible() ? number((await more(box).innerText()).match(/([\d,]+) are left/)[1]) : 0;
  return await box.getByRole('listitem').count() + left;
};
/** The box that a cell of this heading has opened. */
const opened = (page, heading) => page.locator('div').filter({ has: page.getByRole('heading', { name: heading, exact: true }) }).last()
  .locator('xpath=..');
const focused = page => page.evaluate(() => document.activeElement.innerText);
/** How many levels a PNG's middle has, and how much colour. */
const looks = (page, png) => page.evaluate(async png => {
  const image = Object.assign(new Image(), { src: 'data:image/png;base64,' + png });
  await image.decode();
  const { width, height } = image;
  const canvas = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d');
  canvas.drawImage(image, 0, 0);
  const { data } = canvas.getImageData(width / 4, height / 4, width / 2, height / 2);
  const [red, , blue] = [0, 1, 2].map(channel => [...data].filter((_, at) => at % 4 === channel));
  return [Math.max(...red) - Math.min(...red), Math.max(...red.map((it, at) => Math.abs(it - blue[at])))];
}, png);
/** Holds the first and the last of `pictures` to being drawn, and not alike. */
const drawn = async pictures => {
  const all = await pictures.all();
  const shots = [];
  for (const picture of [...all.slice(0, 3), ...all.slice(-3)]) {
    const box = await picture.boundingBox();
    assert.ok(box && box.width >= 24 && box.height >= 24, `a face is ${box?.width} px wide`);
    const png = (await picture.screenshot()).toString('base64');
    const [levels, colour] = await looks(picture.page(), png);
    // Made-up faces are gray; what Chromium draws in place of a broken picture is not.
    assert.ok(levels > 10 && colour < 10, `a face has ${levels} levels and a colour of ${colour}`);
    shots.push(png);
  }
  assert.equal(new Set(shots).size, shots.length, 'faces look the same');
};

describe('a cell of the confusion matrix', () => {
  const ways = { 'a click': button => button.click(), Enter: button => button.press('Enter') };
  for (const [way, press] of Object.entries(ways)) {
    test(`opens its faces by ${way}, the hardest first`, () => visit(browser, study, {}, async page => {
      const button = cell(page, 'angry', 'sad');
      const [, images] = (await cells(page))['angry as sad'];
      assert.ok(images > 60, 'more than are shown at once');
      await press(button);
      assert.equal(await button.getAttribute('aria-expanded'), 'true');
      assert.equal(await focused(page), 'angry, taken for sad');
      const box = opened(page, 'angry, taken for sad');
      assert.equal(await count(box), images);
      for (let at = 60; at < images; at += 60) await more(box).click();
      const all = await shown(box);
      assert.equal(all.length, images);
      assert.equal(new Set(all.map(it => it.image)).size, images, 'each once');
      for (const { image, lines } of all) {
        // The reader's line break in an id ends the line.
        assert.ok(image.startsWith(`image ${lines[0]}`), image);
        assert.ok(lines.some(it => /^angry 0\.\d\d$/.test(it)) && lines.some(it => /^sad 0\.\d\d$/.test(it)), lines.join(' / '));
      }
      const probabilities = all.map(it => Number(it.lines.find(line => line.startsWith('angry ')).slice(6)));
      assert.ok(new Set(probabilities).size > 2);
      assert.deepEqual(probabilities, [...probabilities].sort((a, b) => a - b));
      await drawn(box.getByRole('img', { name: /^image row / }));
    }));
  }

  test('closes by Escape, by its button and by itself, and the focus is back on it', () => visit(browser, study, {}, async page => {
    const button = cell(page, 'fear', 'surprise');
    const heading = page.getByRole('heading', { name: 'fear, taken for surprise' });
    const shut = {
      Escape: () => page.keyboard.press('Escape'),
      Close: () => page.getByRole('button', { name: 'Close' }).click(),
      'the cell': () => button.click(),
    };
    for (const [way, close] of Object.entries(shut)) {
      await button.press('Enter');
      await heading.waitFor();
      assert.match(page.url(), /cell=2-5/);
      await close();
      assert.equal(await heading.count(), 0, way);
      assert.ok(await button.evaluate(it => it === document.activeElement), `${way}: the focus is on ${await focused(page)}`);
      assert.equal(await button.getAttribute('aria-expanded'), 'false', way);
      assert.doesNotMatch(page.url(), /cell=/);
    }
  }));

  test('says of each configuration what its table of classes says', () => visit(browser, study, {}, async page => {
    const seen = new Set();
    for (const label of await configuration(page).getByRole('option').allTextContents()) {
      await configuration(page).selectOption({ label });
      const all = await cells(page);
      seen.add(JSON.stringify(all));
      await page.evaluate(() => document.querySelectorAll('#classes details').forEach(it => { it.open = true; }));
      const box = page.getByRole('region', { name: `Classes of ${label}`, exact: true });
      // A table has room for the best alone.
      if (!await box.count()) continue;
      for (const [name, recall] of Object.entries(await below(box, 'Recall'))) {
        const told = all[`${name} as ${name}`][0];
        assert.ok(Math.abs(told - number(recall)) <= 0.55, `${label}, ${name}: ${told} %, ${recall} %`);
      }
    }
    assert.ok(seen.size > 5, 'all configurations say the same');
  }));

  test('stays open for another configuration, whose faces are then shown, and a link shows the same', async () => {
    const look = async page => [await cells(page), await shown(opened(page, 'surprise, taken for sad'))];
    const [hash, seen] = await visit(browser, study, {}, async page => {
      await cell(page, 'surprise', 'sad').click();
      const before = await look(page);
      await configuration(page).selectOption({ label: OTHER });
      const now = await look(page);
      assert.notDeepEqual(now, before);
      assert.equal(now[1].length, now[0]['surprise as sad'][1]);
      return [new URL(page.url()).hash, now];
    });
    await visit(browser, study, { hash }, async page => {
      assert.deepEqual(await look(page), seen);
      assert.ok(await cell(page, 'surprise', 'sad').isVisible());
      assert.equal(await configuration(page).evaluate(it => it.selectedOptions[0].label), OTHER);
    });
  });

  test('is named among the commonest mistakes, which open it', () => visit(browser, study, {}, async page => {
    const mistakes = page.getByRole('button', { name: / taken for .+, [\d,]+ images?$/ });
    const texts = await mistakes.allTextContents();
    assert.equal(texts.length, 3);
    const all = await cells(page);
    for (const text of texts) {
      const [, label, answer, images] = text.match(/^(.+) taken for (.+), ([\d,]+) images?$/);
      assert.equal(all[`${label} as ${answer}`][1], number(images), text);
      await page.getByRole('button', { name: text }).click();
      assert.equal(await focused(page), `${label}, taken for ${answer}`);
    }
  }));
});

describe('two configurations', () => {
  const side = (page, name) => page.getByRole('group').filter({ hasText: `Only ${name} is right: ` });
  /** How many images the sides say that they alone get right. */
  const said = async page => {
    const texts = await page.locator('summary').filter({ hasText: /^Only .* is right: / }).allTextContents();
    return Object.fromEntries(texts.map(it => {
      const [, name, images] = it.match(/^Only (.+) is right: ([\d,]+) images?$/);
      return [name, number(images)];
    }));
  };
  /** What the table of all pairs says of these. */
  const pairs = async (page, [a, b]) => {
    await page.getByText('All pairs', { exact: true }).click();
    const box = page.getByRole('region', { name: 'Disagreements' });
    const [left, right] = [await below(box, b), await below(box, a)];
    await page.getByText('All pairs', { exact: true }).click();
    return { [a]: number(left[a]), [b]: number(right[b]) };
  };

  test('disagree about as many images as the table of all pairs says, and show them', async () => {
    const two = ['vgg16-frozen', OTHER];
    const [hash, counts] = await visit(browser, study, {}, async page => {
      const before = await said(page);
      assert.deepEqual(before, await pairs(page, Object.keys(before)));
      await page.getByRole('combobox', { name: 'Between' }).selectOption({ label: two[0] });
      await page.getByRole('combobox', { name: 'and', exact: true }).selectOption({ label: two[1] });
      const counts = await said(page);
      assert.deepEqual(Object.keys(counts), two);
      assert.deepEqual(counts, await pairs(page, two));
      const summary = page.locator('summary').filter({ hasText: `Only ${two[1]} is right` });
      await summary.press('Enter');
      assert.equal(await count(side(page, two[1])), counts[two[1]]);
      const all = await shown(side(page, two[1]));
      assert.equal(all.length, 60);
      assert.equal(new Set(all.map(it => it.image)).size, all.length);
      assert.ok(all.every(it => it.image.startsWith(`image ${it.lines[0]}`)));
      await drawn(side(page, two[1]).getByRole('img', { name: /^image row / }));
      return [new URL(page.url()).hash, counts];
    });
    await visit(browser, study, { hash }, async page => {
      assert.deepEqual(await said(page), counts);
      assert.equal(await count(side(page, two[1])), counts[two[1]]);
      assert.equal(await side(page, two[0]).getByRole('img').count(), 0, 'only what was open');
    });
  });

  test('that are the same have nothing to disagree about', () => visit(browser, study, {}, async page => {
    await page.getByRole('combobox', { name: 'and', exact: true }).selectOption({ index: 0 });
    assert.deepEqual(await said(page), {});
    await page.getByText('Choose two configurations that are not the same.').waitFor();
  }));
});

describe('without JavaScript', () => {
  test('the hardest fifty and the doubtful labels are pictures', () => visit(browser, study, { javaScript: false }, async page => {
    for (const [heading, most] of [['The hardest fifty', 50], [/^Probably mislabelled/, 60]]) {
      const list = page.getByRole('heading', { name: heading }).locator('xpath=following-sibling::ol[1]');
      const pictures = list.getByRole('img', { name: /^image row / });
      const count = await pictures.count();
      assert.ok(count === 50 || (most === 60 && count > 5 && count <= most), `${count} faces`);
      assert.equal(await list.getByRole('listitem').count(), count, 'each has a picture');
      await drawn(pictures);
    }
  }));
});
