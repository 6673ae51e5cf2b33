// Sends a picture to the server that this page comes from, and shows what its model says.
'use strict';

const part = id => document.getElementById(id);
const RECTANGLE = '#1a8cff';
/** No picture is drawn with more pixels a side than screens have. */
const MOST_DRAWN = 1600;
/** How long the webcam rests between two pictures, in milliseconds. */
const REST = 60;

let model = null;
/** Ends what is asked now, because something newer is. */
let current = new AbortController();
let camera = null;

const percent = share => `${(100 * share).toFixed(1)} %`;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function say(text) {
  part('status').textContent = text;
}

function complain(message, help) {
  part('message').textContent = message;
  part('help').textContent = help;
  part('error').hidden = message === '';
}

/** What the server answers; an error has `help`, and `again`, the seconds after which it may be asked again. */
async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw Object.assign(new Error('The server does not answer'), { help: 'See whether it still runs, and load this page again.' });
  }
  const told = await response.json();
  if (response.ok) return told;
  const again = Number(response.headers.get('Retry-After')) || null;
  throw Object.assign(new Error(told.error.message), { help: told.error.help, again });
}

/** What the model says of the bytes of a picture. */
function asked(blob, signal) {
  const { largest_bytes: most } = model.limits;
  if (blob.size > most) {
    const help = 'Choose a smaller one, or let the server begin with a larger --largest.';
    throw Object.assign(new Error(`The picture has more than ${most / 2 ** 20} MiB`), { help });
  }
  const type = blob.type.startsWith('image/') ? blob.type : 'application/octet-stream';
  return answered('predict', { method: 'POST', headers: { 'Content-Type': type }, body: blob, signal });
}

/** Draws `image`, if the browser can show it, with the places of faces. */
function draw(image, guesses) {
  part('frame').hidden = image === null;
  if (image === null) return;
  const scale = Math.min(1, MOST_DRAWN / Math.max(image.width, image.height));
  const canvas = part('picture');
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const size = Math.max(12, Math.round(canvas.width / 42));
  context.lineWidth = Math.max(2, size / 6);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = 'middle';
  guesses.forEach((guess, at) => {
    if (!guess.bounds) return;
    const [left, top, width, height] = ['left', 'top', 'width', 'height'].map(it => guess.bounds[it] * scale);
    context.strokeStyle = RECTANGLE;
    context.strokeRect(left, top, width, height);
    const text = `${guesses.length > 1 ? `${at + 1} ` : ''}${guess.prediction}`;
    const [wide, high] = [context.measureText(text).width + size * 0.7, size * 1.45];
    const x = Math.max(0, Math.min(left - context.lineWidth / 2, canvas.width - wide));
    const y = top >= high ? top - high : Math.min(top + height, canvas.height - high);
    context.fillStyle = RECTANGLE;
    context.fillRect(x, y, wide, high);
    context.fillStyle = '#00101f';
    context.fillText(text, x + size * 0.35, y + high / 2);
  });
}

/** A small picture of the face at `bounds`. */
function cutOut(image, { left, top, width, height }) {
  const canvas = element('canvas');
  canvas.width = canvas.height = 144;
  canvas.setAttribute('aria-hidden', 'true');
  const side = Math.max(width, height);
  const [x, y] = [left + (width - side) / 2, top + (height - side) / 2];
  canvas.getContext('2d').drawImage(image, x, y, side, side, 0, 0, 144, 144);
  return canvas;
}

/** What is said of a face, or of a whole picture: a bar for each class, the most probable first. */
function card(image, guess, name) {
  const made = element('section', 'face');
  if (image !== null && guess.bounds) made.append(cutOut(image, guess.bounds));
  const heading = element('h3', '', name ? `${name}: ${guess.prediction}` : guess.prediction);
  heading.append(element('small', '', percent(guess.probabilities[guess.prediction])));
  const bars = element('ul', 'bars');
  const classes = model.classes.map(it => [it, guess.probabilities[it]]).sort((a, b) => b[1] - a[1]);
  for (const [name, share] of classes) {
    const row = element('li', name === guess.prediction ? 'said' : '');
    const bar = element('span', 'bar');
    const inner = element('i');
    inner.style.width = `${100 * share}%`;
    bar.append(inner);
    bar.setAttribute('aria-hidden', 'true');
    row.append(element('span', 'class', name), bar, element('span', 'percent', percent(share)));
    bars.append(row);
  }
  made.append(heading, bars);
  if (guess.runs) made.append(element('p', 'note', `${guess.agree} of ${guess.runs.length} runs say so alone.`));
  return made;
}

function show(image, told) {
  const guesses = told.faces ?? [told];
  draw(image, guesses);
  const names = guesses.map((_, at) => (told.faces ? `Face ${at + 1}` : ''));
  const cards = guesses.map((guess, at) => card(image, guess, names[at]));
  if (cards.length === 0) cards.push(element('p', 'note', 'No face was found in this picture.'));
  part('faces').replaceChildren(...cards);
  part('json').textContent = JSON.stringify(told, null, 2);
  part('answer').hidden = false;
  const unseen = image === null ? ' The browser cannot show a picture of this format.' : '';
  const count = guesses.length === 1 ? '1 face was found' : `${guesses.length} faces were found`;
  say((told.faces ? `${count}.` : `The model says ${told.prediction}.`) + unseen);
}

/** Nothing of an earlier picture is left beside a refusal. */
function refuse(error) {
  if (error.name === 'AbortError') return;
  part('answer').hidden = true;
  part('frame').hidden = true;
  say('');
  complain(error.message, error.help ?? '');
}

function supersede() {
  current.abort();
  current = new AbortController();
  complain('', '');
  return current.signal;
}

/** Asks about a picture that somebody chose. */
async function ask(blob) {
  endWebcam();
  const signal = supersede();
  say('The picture is sent …');
  try {
    const [told, image] = await Promise.all([asked(blob, signal), createImageBitmap(blob).catch(() => null)]);
    if (!signal.aborted) show(image, told);
  } catch (error) {
    if (!signal.aborted) refuse(error);
  }
}

function endWebcam() {
  if (camera === null) return;
  camera.getTracks().forEach(it => it.stop());
  camera = null;
  part('webcam').setAttribute('aria-pressed', 'false');
}

const pause = milliseconds => new Promise(resolve => { setTimeout(resolve, milliseconds); });

/** Asks about one picture of the webcam after the other, until somebody ends it. */
async function beginWebcam() {
  const signal = supersede();
  say('The webcam is asked for …');
  let opened;
  try {
    opened = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
  } catch (error) {
    const help = 'Allow this page to use it, and see whether another program does.';
    return refuse(Object.assign(new Error(`The webcam cannot be used: ${error.message}`), { help }));
  }
  if (signal.aborted) return opened.getTracks().forEach(it => it.stop());
  camera = opened;
  part('webcam').setAttribute('aria-pressed', 'true');
  const video = element('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = opened;
  const canvas = element('canvas');
  try {
    await video.play();
    while (camera === opened) {
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext('2d').drawImage(video, 0, 0);
      const blob = await new Promise(resolve => { canvas.toBlob(resolve, 'image/png'); });
      try {
        const told = await asked(blob, signal);
        if (camera !== opened) return;
        complain('', '');
        show(canvas, told);
      } catch (error) {
        if (!error.again) throw error;
        complain(error.message, error.help);
        await pause(1000 * error.again);
      }
      await pause(REST);
    }
  } catch (error) {
    if (camera === opened) {
      endWebcam();
      refuse(error);
    }
  }
}

function listen() {
  part('file').addEventListener('change', event => {
    const [file] = event.target.files;
    if (file) ask(file);
    // The same file may be chosen again.
    event.target.value = '';
  });
  part('webcam').addEventListener('click', () => {
    if (camera === null) return beginWebcam();
    endWebcam();
    supersede();
    say('The webcam is off.');
  });
  document.addEventListener('paste', event => {
    const file = [...event.clipboardData.files].find(it => it.type.startsWith('image/'));
    if (file) ask(file);
    else complain('What was pasted is no picture', 'Copy a picture, not its address or a text.');
  });
  const box = part('ask');
  document.addEventListener('dragover', event => {
    event.preventDefault();
    box.classList.add('over');
  });
  document.addEventListener('dragleave', event => {
    if (event.relatedTarget === null) box.classList.remove('over');
  });
  document.addEventListener('drop', event => {
    event.preventDefault();
    box.classList.remove('over');
    const [file] = event.dataTransfer.files;
    if (file) ask(file);
    else complain('What was dropped is no file', 'Save the picture first, and drop its file.');
  });
  if (!navigator.mediaDevices) {
    part('webcam').disabled = true;
    part('hint').append(' Browsers give the webcam to pages of this machine alone (localhost) and to pages over HTTPS.');
  }
}

async function begin() {
  try {
    model = await answered('model', {});
  } catch (error) {
    return refuse(error);
  }
  const names = model.runs.map(it => it.run).join(' + ');
  part('run').textContent = names;
  document.title = `${names} · Ferrite`;
  const right = model.runs.filter(it => it.judged)
    .map(({ judged }) => `${percent(judged.accuracy)} of ${judged.images} ${judged.split} images`);
  const alone = model.runs.length > 1 ? 'Alone, the runs are right about' : 'It is right about';
  const judged = right.length > 0 ? ` ${alone} ${right.join(', ')}.` : '';
  const looks = model.finds_faces ? 'Finds faces and tells' : 'Tells of the whole picture';
  part('about').textContent = `${looks}: ${model.classes.join(', ')}.${judged}`;
  listen();
}

begin();
