// The page of `ferrite serve`, as somebody with a picture or a webcam meets it: by file, drop, paste and camera, by mouse and by
// keyboard, in both colour schemes and on a phone. A small network is trained for it; the server is the real one.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { launch, LOOKS, violations } from './browser.js';

const { FERRITE, FERRITE_DETECTOR } = process.env;
assert.ok(FERRITE && FERRITE_DETECTOR, 'start the tests with `make test-pages`, which builds what they need');

const EXPERIMENT = `
[data]
source = { synthetic = { faces = 80 } }
image_size = 32
[[stages]]
name = "head"
epochs = 2
batch_size = 16
`;

const place = mkdtempSync(join(tmpdir(), 'ferrite-serve-'));
const environment = { ...process.env, FERRITE_CACHE: join(place, 'cache'), NO_COLOR: '1' };
const ferrite = (...words) => execFileSync(FERRITE, words, { cwd: place, env: environment, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
mkdirSync(join(place, 'experiments'));
mkdirSync(join(place, 'cache/weights'), { recursive: true });
cpSync(FERRITE_DETECTOR, join(place, 'cache/weights/face_detection_yunet_2023mar.onnx'));
writeFileSync(join(place, 'experiments/small.toml'), EXPERIMENT);
writeFileSync(join(place, 'experiments/other.toml'), EXPERIMENT.replace('= 32', '= 40'));
ferrite('sweep', '--threads', '1');
ferrite('data', 'draw', 'faces', '--each', '1', '--size', '200');
const face = join(place, 'faces/happy/000.png');

/** Starts a server with further `words`, and waits until it listens. */
async function serve(...words) {
  const started = spawn(FERRITE, ['serve', 'small', '--port', '0', '--device', 'cpu', ...words], { cwd: place, env: environment, stdio: ['ignore', 'pipe', 'ignore'] });
  const url = await new Promise((resolve, reject) => {
    createInterface(started.stdout).once('line', resolve);
    started.once('exit', code => reject(new Error(`it ended with ${code}`)));
  });
  const ended = new Promise(resolve => { started.once('exit', resolve); });
  return { url, end: () => { started.kill('SIGINT'); return ended; } };
}

/** A page of another origin, at an address of its own. */
async function stranger() {
  const pages = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Another</title>'));
  await new Promise(resolve => { pages.listen(0, '127.0.0.1', resolve); });
  return { origin: `http://127.0.0.1:${pages.address().port}`, end: () => pages.close() };
}

const [friend, other] = [await stranger(), await stranger()];
const server = await serve('--find-faces', '--largest', '1', '--allow-origin', friend.origin);
const whole = await serve();
const both = await serve('--with', 'other');
const camera = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
const browser = await launch(camera);
after(async () => {
  await browser.close();
  friend.end();
  other.end();
  assert.deepEqual([await server.end(), await whole.end(), await both.end()], [0, 0, 0], 'a server did not end in order');
  rmSync(place, { recursive: true });
});

/** Opens the page of a server, lets `look` use it, and holds against it whatever it asks of others or complains of. */
async function visit({ url } = server, { width = 1280, scheme = 'light', permissions = [], expected = [] } = {}, look) {
  const context = await browser.newContext({ viewport: { width, height: 844 }, colorScheme: scheme, permissions });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on('console', it => {
    if (['error', 'warning'].includes(it.type()) && !expected.some(known => it.text().includes(known))) complaints.push(`it writes: ${it.text()}`);
  });
  page.on('pageerror', it => complaints.push(`it throws: ${it}`));
  page.on('request', it => { if (!it.url().startsWith(url) && !/^(blob|data):/.test(it.url())) complaints.push(`it asks for ${it.url()}`); });
  await page.goto(url);
  await page.getByRole('heading', { level: 1, name: /^small\// }).waitFor();
  await look(page);
  await context.close();
  assert.deepEqual(complaints, []);
}

const status = page => page.getByRole('status');
const faces = page => page.getByRole('heading', { level: 3 });
/** A text without what lays it out. */
const plain = text => text.replace(/\s+/g, ' ').trim();
const choose = (page, files) => page.getByLabel('Choose a picture').setInputFiles(files);
const found = page => status(page).filter({ hasText: '1 face was found.' }).waitFor();
/** What `ferrite predict` says of the picture at `path`. */
const predicted = (path, ...words) => JSON.parse(ferrite('predict', 'small', path, '--json', '--device', 'cpu', ...words));
/** Gives the page what a person drops or pastes: an event with the files of `parts`, or with a text. */
const give = (page, kind, parts) => page.evaluate(([kind, parts]) => {
  const data = new DataTransfer();
  for (const { base64, name, type, text } of parts) {
    if (text) data.setData('text/plain', text);
    else data.items.add(new File([Uint8Array.from(atob(base64), it => it.charCodeAt(0))], name, { type }));
  }
  const event = kind === 'drop'
    ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
    : new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}, [kind, parts]);
const picture = { base64: readFileSync(face).toString('base64'), name: 'face.png', type: 'image/png' };

/** Holds what the page shows against what `predict` says. */
async function check(page) {
  const said = predicted(face, '--find-faces').faces;
  assert.equal(said.length, 1);
  const [{ prediction, probabilities, bounds }] = said;
  const percent = share => `${(100 * share).toFixed(1)} %`;
  assert.equal(plain(await faces(page).innerText()), `Face 1: ${prediction} ${percent(probabilities[prediction])}`);
  const rows = await page.getByRole('listitem').allInnerTexts();
  const expected = Object.entries(probabilities).sort((a, b) => b[1] - a[1]).map(([name, share]) => `${name} ${percent(share)}`);
  assert.deepEqual(rows.map(plain), expected);
  // The rectangle is drawn where the face is: its left edge, at half of its height, is blue.
  const edge = await page.locator('#picture').evaluate((canvas, { left, top, height }) =>
    [...canvas.getContext('2d').getImageData(Math.floor(left), Math.round(top + height / 2), 1, 1).data], bounds);
  assert.deepEqual(edge, [0x1a, 0x8c, 0xff, 255]);
}

describe('a picture is answered as `ferrite predict` does', () => {
  test('that is chosen', () => visit(server, {}, async page => {
    await choose(page, face);
    await found(page);
    await check(page);
  }));
  test('that is dropped', () => visit(server, {}, async page => {
    await give(page, 'drop', [picture]);
    await found(page);
    await check(page);
  }));
  test('that is pasted', () => visit(server, {}, async page => {
    await give(page, 'paste', [picture]);
    await found(page);
    await check(page);
  }));
  test('that several runs are asked about', () => visit(both, {}, async page => {
    await page.getByRole('heading', { level: 1, name: /^small\/seed-0-\w+ \+ other\/seed-0-\w+$/ }).waitFor();
    await page.getByText(/Alone, the runs are right about [\d.]+ % of \d+ test images, [\d.]+ % of \d+ test images\./).waitFor();
    await choose(page, face);
    const told = predicted(face, '--with', 'other');
    await page.getByText(`${told.agree} of 2 runs say so alone.`).waitFor();
    assert.deepEqual(JSON.parse(await page.locator('#json').textContent()).probabilities, told.probabilities);
    assert.deepEqual(await violations(page), []);
  }));

  test('by keyboard alone', () => visit(server, {}, async page => {
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'To the picture');
    await page.keyboard.press('Tab');
    const chooser = page.waitForEvent('filechooser');
    await page.keyboard.press('Space');
    await (await chooser).setFiles(face);
    await found(page);
    await check(page);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'webcam');
  }));
  test('as a whole, where no faces are looked for', () => visit(whole, {}, async page => {
    await choose(page, face);
    const { prediction } = predicted(face);
    await status(page).filter({ hasText: `The model says ${prediction}.` }).waitFor();
    assert.match(plain(await faces(page).innerText()), new RegExp(`^${prediction} `));
  }));
  test('though the browser cannot show it', () => visit(server, {}, async page => {
    const pgm = Buffer.concat([Buffer.from('P5 40 40 255\n'), Buffer.alloc(1600, 90)]);
    await choose(page, { name: 'gray.pgm', mimeType: 'image/x-portable-graymap', buffer: pgm });
    await status(page).filter({ hasText: '0 faces were found. The browser cannot show a picture of this format.' }).waitFor();
    await page.getByText('No face was found in this picture.').waitFor();
    assert.equal(await page.locator('#picture').isVisible(), false);
  }));
});

describe('a refusal is told with what to do, and leaves no earlier answer beside it', () => {
  const refused = (name, buffer, words, expected = []) => test(name, () => visit(server, { expected }, async page => {
    await choose(page, face);
    await found(page);
    await choose(page, { name: 'x.png', mimeType: 'image/png', buffer });
    await page.getByRole('alert').filter({ hasText: words }).waitFor();
    assert.equal(await faces(page).count(), 0);
    assert.equal(await page.locator('#picture').isVisible(), false);
    await choose(page, face);
    await found(page);
    assert.equal(await page.getByRole('alert').count(), 0);
  }));
  refused('of a damaged picture', readFileSync(face).subarray(0, 3000), /it is not whole.*send the whole file/s, ['422']);
  refused('of what is none', Buffer.from('<html>'), /it is no picture.*PNG, JPEG, WebP/s, ['415']);
  refused('of one that is too large, before it is sent', Buffer.alloc(2 ** 20 + 1), /more than 1 MiB.*--largest/s);

  test('of a text that is pasted or dropped', () => visit(server, {}, async page => {
    await give(page, 'paste', [{ text: 'hello' }]);
    await page.getByRole('alert').filter({ hasText: 'What was pasted is no picture' }).waitFor();
    await give(page, 'drop', [{ text: 'hello' }]);
    await page.getByRole('alert').filter({ hasText: 'What was dropped is no file' }).waitFor();
  }));
});

describe('the webcam', () => {
  test('is asked about again and again until it is switched off', () => visit(whole, { permissions: ['camera'] }, async page => {
    const button = page.getByRole('button', { name: 'Webcam' });
    let asked = 0;
    page.on('response', it => { if (it.url().endsWith('/predict') && it.status() === 200) asked += 1; });
    await button.press('Enter');
    await page.waitForFunction(() => document.querySelectorAll('.face').length === 1);
    assert.equal(await button.getAttribute('aria-pressed'), 'true');
    while (asked < 4) await page.waitForResponse(/predict$/);
    assert.ok(await page.locator('#picture').evaluate(it => it.width > 100 && it.height > 100));
    await button.press('Enter');
    await status(page).filter({ hasText: 'The webcam is off.' }).waitFor();
    assert.equal(await button.getAttribute('aria-pressed'), 'false');
    await page.waitForLoadState('networkidle');
    const before = asked;
    await page.waitForTimeout(500);
    assert.equal(asked, before);
  }));
  test('gives way to a picture that is chosen', () => visit(whole, { permissions: ['camera'] }, async page => {
    await page.getByRole('button', { name: 'Webcam' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.face').length === 1);
    await choose(page, face);
    await page.waitForFunction(() => document.getElementById('picture').width === 200);
    assert.equal(await page.getByRole('button', { name: 'Webcam' }).getAttribute('aria-pressed'), 'false');
  }));
});

describe('a page of another origin', () => {
  /** What the server answers to a page of `origin` that sends a picture, or what the browser makes of it. */
  async function asks(origin, url, bytes) {
    const page = await browser.newPage();
    await page.goto(origin);
    const told = await page.evaluate(async ([url, bytes]) => {
      const body = new Blob([new Uint8Array(bytes)], { type: 'image/png' });
      try {
        const answer = await fetch(`${url}predict`, { method: 'POST', body });
        return { status: answer.status, told: await answer.json() };
      } catch (error) {
        return { error: error.name };
      }
    }, [url, [...bytes]]);
    await page.close();
    return told;
  }

  test('is answered where its origin was named', async () => {
    const { status, told } = await asks(friend.origin, server.url, readFileSync(face));
    assert.deepEqual([status, told.faces], [200, predicted(face, '--find-faces').faces]);
    const refused = await asks(friend.origin, server.url, Buffer.from('no picture'));
    assert.equal(refused.status, 415);
    assert.match(refused.told.error.message, /it is no picture/);
  });

  test('is kept out otherwise', async () => {
    assert.deepEqual(await asks(other.origin, server.url, readFileSync(face)), { error: 'TypeError' });
    assert.deepEqual(await asks(friend.origin, whole.url, readFileSync(face)), { error: 'TypeError' });
  });
});

test('the example of the documentation asks as it says', () => {
  const guide = readFileSync(new URL('../../docs/serve.md', import.meta.url), 'utf8');
  const [, example] = guide.match(/```js\n(.*?)```/s);
  writeFileSync(join(place, 'example.mjs'), example.replace('http://127.0.0.1:8000/', server.url));
  const run = () => execFileSync(process.execPath, ['example.mjs'], { cwd: place, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  cpSync(face, join(place, 'photo.jpg'));
  const [{ prediction, probabilities }] = predicted(face, '--find-faces').faces;
  assert.ok(run().startsWith(`${prediction} ${probabilities[prediction]} {`));
  writeFileSync(join(place, 'photo.jpg'), 'no picture');
  assert.throws(run, /Error: the picture cannot be used: it is no picture/);
});

describe('the page', () => {
  for (const { width, scheme } of LOOKS) {
    test(`is readable and fits: ${width} pixels, ${scheme}`, () => visit(server, { width, scheme }, async page => {
      const fits = async () => {
        assert.deepEqual(await violations(page), []);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it is wider than the screen');
      };
      await fits();
      await choose(page, face);
      await found(page);
      await fits();
      const folder = process.env.FERRITE_SCREENSHOTS;
      if (folder) await page.screenshot({ path: join(folder, `serve-${width}-${scheme}.png`), fullPage: true });
    }));
  }

  test('says when the server is gone', () => visit(server, { expected: ['ERR_FAILED'] }, async page => {
    await page.route('**/predict', it => it.abort());
    await choose(page, face);
    await page.getByRole('alert').filter({ hasText: 'The server does not answer' }).waitFor();
  }));
});
