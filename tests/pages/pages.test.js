// The report as its readers meet it: on a screen and on a phone, by mouse and by keyboard, without JavaScript, on paper.
//
// What stands on a page is found by its role and its name, as a screen reader finds it.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { files, launch, LOOKS, PHONE, violations, visit } from './browser.js';

const browser = await launch();
after(() => browser.close());
const pages = await files(browser);

const all = page => page.getByRole('region', { name: 'All runs' });
/** The text of a column of the table of all runs, without rows that are filtered out. */
const column = (page, at) => all(page).locator('tbody tr:visible').evaluateAll(
  (rows, at) => rows.map(it => it.cells[at].dataset.v ?? it.cells[at].textContent.trim()), at);
const openRuns = page => page.getByText(/runs, each with its page/).click();

describe('a table', () => {
  const EPOCHS = 6;
  const sorted = values => {
    const numbers = values.filter(it => it !== '' && it !== '–').map(Number);
    return [numbers, [...numbers].sort((a, b) => b - a)];
  };
  const ways = {
    'a click': button => button.click(),
    Enter: async button => { await button.focus(); await button.press('Enter'); },
    Space: async button => { await button.focus(); await button.press('Space'); },
  };
  for (const [way, press] of Object.entries(ways)) {
    test(`is sorted by ${way}, and says so`, () => visit(browser, pages.study, {}, async page => {
      await openRuns(page);
      const head = all(page).getByRole('columnheader', { name: 'Epochs' });
      const button = head.getByRole('button', { name: 'Epochs' });
      const before = await column(page, EPOCHS);
      await press(button);
      assert.equal(await head.getAttribute('aria-sort'), 'descending');
      const [values, most] = sorted(await column(page, EPOCHS));
      assert.deepEqual(values, most);
      assert.equal(values.length, 22);
      assert.notDeepEqual(before.map(Number), most, 'it was in this order before');
      await page.getByRole('status').filter({ hasText: 'Sorted by Epochs, descending' }).waitFor({ state: 'attached' });
      await press(button);
      assert.equal(await head.getAttribute('aria-sort'), 'ascending');
      assert.deepEqual(sorted(await column(page, EPOCHS))[0], [...most].reverse());
      assert.equal(await all(page).locator('[aria-sort]').count(), 1);
    }));
  }

  test('puts what has no value last, whichever way it is sorted', () => visit(browser, pages.study, {}, async page => {
    await openRuns(page);
    const button = all(page).getByRole('button', { name: 'Test (PrivateTest) accuracy' });
    for (let time = 0; time < 2; time += 1) {
      await button.click();
      const values = await column(page, 4);
      const first = values.indexOf('–');
      assert.ok(first > 10, values.join());
      assert.ok(values.slice(first).every(it => it === '–'), values.join());
    }
  }));

  test('is filtered as one types, and a link to the view shows the same', async () => {
    const [hash, names] = await visit(browser, pages.study, {}, async page => {
      await openRuns(page);
      await page.getByRole('searchbox', { name: 'Filter rows: All runs' }).pressSequentially('resnet50 finished');
      await all(page).getByRole('button', { name: 'Macro-F1' }).press('Enter');
      const names = await column(page, 0);
      assert.equal(names.length, 2);
      assert.ok(names.every(it => it.includes('resnet50')), names.join());
      return [new URL(page.url()).hash, names];
    });
    assert.match(hash, /all-runs\.filter=resnet50\+finished/);
    await visit(browser, pages.study, { hash }, async page => {
      await openRuns(page);
      assert.deepEqual(await column(page, 0), names);
      const head = all(page).getByRole('columnheader', { name: 'Macro-F1' });
      assert.equal(await head.getAttribute('aria-sort'), 'descending');
    });
  });
});

describe('by keyboard', () => {
  test('the first stop skips the navigation, and what has the focus can be seen', () => visit(browser, pages.study, {}, async page => {
    await page.keyboard.press('Tab');
    const skip = page.getByRole('link', { name: 'Skip to the content' });
    assert.ok(await skip.evaluate(it => it === document.activeElement && it.getBoundingClientRect().top >= 0));
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    const [inside, outline] = await page.evaluate(() => {
      const it = document.activeElement;
      return [document.querySelector('main').contains(it), getComputedStyle(it).outlineStyle];
    });
    assert.ok(inside, 'the next stop is not in the content');
    assert.notEqual(outline, 'none');
  }));

  test('every box that scrolls is reached and has a name', async () => {
    for (const file of [pages.study, pages.finished, pages.pair]) {
      await visit(browser, file, PHONE, async page => {
        const silent = await page.evaluate(() => [...document.querySelectorAll('main *')].filter(it => {
          const scrolls = it.scrollWidth > it.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(it).overflowX);
          return scrolls && it.checkVisibility() && (it.tabIndex < 0 || !it.ariaLabel);
        }).map(it => it.outerHTML.slice(0, 120)));
        assert.deepEqual(silent, [], file);
      });
    }
  });
});

describe('without JavaScript', () => {
  for (const name of ['study', 'finished', 'faces', 'failed', 'pair']) {
    test(`all tables and figures can be read, ${name}`, () => visit(browser, pages[name], { javaScript: false }, async page => {
      assert.ok(await page.getByRole('heading', { level: 1 }).isVisible());
      // What is folded opens without a script.
      const folded = page.locator('details:not([open]) > summary');
      while (await folded.count()) await folded.first().click();
      const [tables, figures] = await page.evaluate(() => {
        const silent = (all, see) => [...document.querySelectorAll(all)].filter(it => !see(it)).map(it => it.outerHTML.slice(0, 120));
        const large = it => it && it.getBoundingClientRect().width > 100 && it.getBoundingClientRect().height > 50;
        return [silent('table', it => it.checkVisibility()), silent('figure', it => large(it.querySelector('svg, img')))];
      });
      assert.deepEqual([...tables, ...figures], []);
      assert.ok(await page.locator('table').count() > 0);
      assert.equal(await page.getByRole('searchbox').count(), 0, 'nothing that does nothing');
    }));
  }

  test('each figure has its name and says what to see', () => visit(browser, pages.finished, { javaScript: false }, async page => {
    for (const name of ['Loss', 'Accuracy', 'Confusion matrix']) {
      const figure = page.getByRole('figure', { name, exact: true });
      const described = await figure.getAttribute('aria-describedby');
      assert.match(await page.locator(`[id="${described}"]`).innerText(), /\w+ \w+ \w+/);
    }
  }));
});

describe('on a phone', () => {
  test('nothing scrolls the page sideways', async () => {
    for (const file of Object.values(pages)) {
      await visit(browser, file, PHONE, async page => {
        // What is folded must have room, too.
        await page.evaluate(() => document.querySelectorAll('details').forEach(it => { it.open = true; }));
        const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
        assert.ok(width <= PHONE.width, `${file} is ${width} px wide`);
      });
    }
  });
});

describe('on a desk', () => {
  test('every column of the table of epochs can be seen', () => visit(browser, pages.finished, {}, async page => {
    const box = page.getByRole('region', { name: 'Every epoch in numbers' });
    assert.deepEqual(await box.getByRole('columnheader').allInnerTexts(), ['Stage', 'Epoch', 'Train loss', 'Train accuracy',
      'Validation loss', 'Validation accuracy', 'Learning rate', 'Time']);
    assert.ok(await box.evaluate(it => it.scrollWidth <= it.clientWidth), 'it is wider than its box');
  }));
});

describe('what a reader must not mistake', () => {
  test('the splits are called as the data set calls them', () => visit(browser, pages.finished, {}, async page => {
    const text = await page.locator('body').innerText();
    assert.match(text, /Test accuracy\s+[\d.]+ %\s+PrivateTest · 95 %/);
    assert.match(text, /Validation accuracy\s+[\d.]+ %\s+PublicTest · epoch/);
    assert.match(text, /train is Training, valid is PublicTest, test is PrivateTest/);
  }));

  test('an area under a curve is a fraction, and the page says when, where and with what it was made', () =>
    visit(browser, pages.finished, {}, async page => {
      const text = await page.locator('main').innerText();
      assert.match(text, /ROC AUC\s+0\.\d{3}\s/);
      assert.match(text, /began on 2025-11-24 .* on laptop, with Ferrite [\d.]+ \(commit c0ffee0\)\. Images: fer2013/);
    }));
});

describe('for everyone', () => {
  // What other pages have beside the parts of these, two looks show.
  const whole = [pages.study, pages.finished, pages.pair];
  const others = [pages.faces, pages.failed, pages.stopped, pages.live];
  for (const [at, look] of LOOKS.entries()) {
    test(`axe-core finds nothing, ${look.width} px, ${look.scheme}`, async () => {
      for (const file of [0, 3].includes(at) ? [...whole, ...others] : whole) {
        const found = await visit(browser, file, look, violations);
        assert.deepEqual(found, [], file);
      }
    });
  }
});

describe('a name', () => {
  test('is shown and not executed, whatever it holds', async () => {
    await visit(browser, pages.study, {}, async page => {
      const text = await page.locator('body').innerText();
      for (const name of ['<script>window.executed=1</script>', '"augmented" & \'مرحبا\'', '<img src=x onerror=window.executed=1>',
        '<b>bold</b> & "quoted"', 'neutral & <i>"calm"</i>']) {
        assert.ok(text.includes(name), name);
      }
    });
    for (const file of [pages.script, pages.stopped]) {
      await visit(browser, file, {}, async page => {
        assert.ok((await page.locator('body').innerText()).includes('window.executed=1>') || file === pages.script);
      });
    }
  });

  test('that runs from right to left turns nothing around it', () => visit(browser, pages.study, {}, async page => {
    const turned = await page.locator('main').evaluate(main => [...main.querySelectorAll('*')]
      .filter(it => [...it.childNodes].some(node => node.nodeType === 3 && node.data.includes('\u202e')))
      .filter(it => !it.closest('svg') && !/isolate/.test(getComputedStyle(it).unicodeBidi) && getComputedStyle(it).display === 'inline')
      .map(it => it.outerHTML.slice(0, 160)));
    assert.deepEqual(turned, []);
  }));
});

describe('on paper', () => {
  /** What is between the margins of A4 and Letter, upright and, for wide tables, on its side. */
  const WIDTHS = { auto: 700, wide: 960 };
  const printed = (file, look, width = WIDTHS.auto) => visit(browser, file, { scheme: 'dark', width }, async page => {
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    return look(page);
  });

  test('nothing is cut off', async () => {
    for (const file of [pages.study, pages.finished, pages.faces, pages.failed, pages.pair]) {
      for (const [sheet, width] of Object.entries(WIDTHS)) {
        const cut = await printed(file, page => page.evaluate(sheet => {
          const sheetOf = it => it && (getComputedStyle(it).page === 'auto' ? sheetOf(it.parentElement) : getComputedStyle(it).page);
          const here = it => (sheetOf(it) === 'wide') === (sheet === 'wide');
          const shown = [...document.querySelectorAll('main *')].filter(it => here(it) && it.checkVisibility()
            && !it.closest('svg, .unseen') && getComputedStyle(it).display !== 'none');
          const right = it => it.getBoundingClientRect().right - 1;
          const outside = shown.filter(it => right(it) > document.documentElement.clientWidth);
          // A table that is wider than its box, or may be higher, lies on what stands beside or below it.
          const over = shown.filter(it => it.matches('table') && (right(it) > it.parentElement.getBoundingClientRect().right
            || getComputedStyle(it.parentElement).maxHeight !== 'none'));
          return [...outside, ...over].slice(0, 5).map(it => it.outerHTML.slice(0, 140));
        }, sheet), width);
        assert.deepEqual(cut, [], `${file}, ${width} px`);
      }
    }
  });

  test('what is folded on the screen is open', async () => {
    const shut = page => page.evaluate(() => [...document.querySelectorAll('details:not([open]) > :not(summary, .filter)')]
      .filter(it => it.parentElement.checkVisibility() && !it.checkVisibility()).length);
    for (const file of [pages.study, pages.finished]) {
      assert.ok(await visit(browser, file, {}, shut) > 0, file);
      assert.equal(await printed(file, shut), 0, file);
    }
  });

  test('a browser without that style opens and shuts it, too', () => visit(browser, pages.study, {}, async page => {
    const open = () => page.evaluate(() => [...document.querySelectorAll('details:not(.numbers)')].map(it => it.open));
    const before = await open();
    await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
    assert.ok((await open()).every(it => it));
    await page.evaluate(() => dispatchEvent(new Event('afterprint')));
    assert.deepEqual(await open(), before);
  }));

  test('a dark screen prints dark letters on white', async () => {
    const [ink, ground] = await printed(pages.study, page => page.evaluate(() => {
      const it = getComputedStyle(document.body);
      return [it.color, it.backgroundColor];
    }));
    assert.equal(ground, 'rgb(255, 255, 255)');
    assert.match(ink, /rgb\((\d{1,2}, ){2}\d{1,2}\)/);
  });
});
