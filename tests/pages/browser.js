// Opens a page of the report as a reader would who has no network: from its file, in Debian's Chromium, and watches what it
// asks for and complains of.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

/** The folder of the studies whose pages are looked at. `make test-pages` makes and names it. */
const SAMPLE = process.env.FERRITE_SAMPLE;
assert.ok(SAMPLE, 'FERRITE_SAMPLE names no folder of studies: start the tests with `make test-pages`');

/** The runs of the study that is looked at, in a folder whose name an address cannot hold as it is. */
const RUNS = join(SAMPLE, 'faces #1 100 %', 'runs');

const DESKTOP = { width: 1280 };
export const PHONE = { width: 390 };

/** Both widths in both colour schemes. */
export const LOOKS = [DESKTOP, PHONE].flatMap(size => ['light', 'dark'].map(scheme => ({ ...size, scheme })));

/** Where Chromium is: as `CHROMIUM` says, or the first of its usual names on the PATH. */
function program() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch { /* the next name */ }
  }
  throw new Error('there is no Chromium: install it (`sudo apt-get install chromium`) or name it with CHROMIUM');
}

/** A browser for the tests of a file, with further `args`; it may reach nothing but files. */
export const launch = (args = []) => chromium.launch({
  executablePath: program(),
  args: ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', ...args],
});

/** The address of `file`, a path from the runs. */
const address = file => pathToFileURL(join(RUNS, file)).href;

/**
 * Opens `file`, a path from the runs, with `hash`, lets `look` use the page, and then holds against it every request but that
 * for files, every warning and error that it wrote, every exception, and every name that was executed. `before` gets the page
 * while it is empty.
 */
export async function visit(browser, file, given, look) {
  const { width = DESKTOP.width, scheme = 'light', javaScript = true, hash = '', before = () => {} } = given;
  const context = await browser.newContext({
    viewport: { width, height: 844 }, colorScheme: scheme, javaScriptEnabled: javaScript, offline: true,
  });
  const complaints = [];
  await context.route('**/*', route => {
    const url = route.request().url();
    if (/^(file|data|blob):/.test(url)) return route.continue();
    complaints.push(`it asks for ${url}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on('console', it => {
    if (['error', 'warning'].includes(it.type())) complaints.push(`it writes: ${it.text()}`);
  });
  page.on('pageerror', it => complaints.push(`it throws: ${it}`));
  const requests = [];
  page.on('request', it => requests.push(it.url()));
  await before(page);
  const url = address(file);
  await page.goto(url + hash);
  const others = requests.filter(it => it.split('#')[0] !== url && !/^(data|blob):/.test(it));
  complaints.push(...others.map(it => `it asks for ${it}`));
  const found = await look(page);
  if (javaScript) {
    const executed = await page.evaluate(() => window.executed);
    if (executed !== undefined) complaints.push('a name was executed');
  }
  await context.close();
  assert.deepEqual(complaints, [], file);
  return found;
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds on a page, a line each: rule, weight, and the first elements. */
export async function violations(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => window.axe.run(document, {
    resultTypes: ['violations'],
    // Off unless asked for: what is touched is 24 pixels wide and high, or has room around it.
    rules: { 'target-size': { enabled: true } },
  }));
  return found.violations.map(({ id, impact, nodes }) => {
    const where = nodes.slice(0, 3).map(it => {
      const data = it.any[0]?.data;
      return `${it.target.join(' ')} ${data?.contrastRatio ? `contrast ${data.contrastRatio}` : ''}`;
    });
    return `${id} (${impact}), ${nodes.length} times: ${where.join(' · ')}`;
  });
}

/**
 * How the names of some runs begin: finished with two stages, with faces, failed, stopped, called as a script, and called as
 * an address cannot hold it.
 */
const SOME = {
  finished: 'vgg16-finetune/lr=0.01-seed=0', faces: 'vgg16-frozen/', failed: 'xception/diverges/', stopped: 'xception/"',
  script: 'mobilenet_v2-noise ', address: 'resnet50 #2 50 %?',
};

/**
 * Files of pages by what they show: of runs, as the study's table of all runs leads to them, of two configurations side by
 * side, and of another study, whose runs are still at work.
 */
export const files = browser => visit(browser, 'index.html', { javaScript: false }, async page => {
  const hrefs = await page.locator('#runs a').evaluateAll(all => all.map(it => it.getAttribute('href')));
  const links = hrefs.map(decodeURIComponent);
  const found = Object.entries(SOME).map(([name, start]) => {
    const link = links.find(it => it.startsWith(start));
    assert.ok(link, `no run begins with ${start}: ${links}`);
    return [name, link];
  });
  const others = { pair: 'report/pair.html', live: '../../at work/runs/index.html' };
  return { study: 'index.html', ...Object.fromEntries(found), ...others };
});

/** What the table in `box` says below the heading `head`, by the heading of each row, as the reader sees it. */
export async function below(box, head) {
  const heads = (await box.getByRole('columnheader').allTextContents()).map(it => it.trim());
  const at = heads.indexOf(head);
  assert.ok(at >= 0, `there is no ${head}: ${heads.join(', ')}`);
  const rows = await box.locator('tbody tr').evaluateAll((rows, at) => rows.map(it => {
    const name = it.querySelector('.label bdi') ?? it.querySelector('.label span:not(.swatch)') ?? it.querySelector('th') ?? it.cells[0];
    return [name.innerText.trim(), it.cells[at].innerText.trim()];
  }), at);
  return Object.fromEntries(rows);
}

/** A number as the report writes it. */
export const number = text => Number(text.replace('−', '-').replaceAll(',', '').replace('+', ''));
