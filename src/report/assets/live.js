// While runs are at work the page is written anew from time to time, and an open one reads itself again. It waits while
// somebody types, chooses or looks at something that is open, and stops for good where its button is pressed.
(() => {
  const note = document.querySelector('[data-live]');
  if (!note) return;
  const SECONDS = 20;
  const KEY = 'ferrite-live-paused';
  const stored = name => { try { return sessionStorage.getItem(name); } catch { return null; } };
  let paused = stored(KEY) === 'yes';
  const button = Object.assign(document.createElement('button'), { type: 'button', className: 'quiet' });
  const tell = () => { button.textContent = paused ? 'Refresh by itself' : 'Stop refreshing'; };
  button.addEventListener('click', () => {
    paused = !paused;
    try { sessionStorage.setItem(KEY, paused ? 'yes' : 'no'); } catch { /* it holds for this view then */ }
    tell();
  });
  tell();
  // A sweep that was killed leaves a page that says for ever that it is at work; its age tells.
  const OLD = 15;
  const written = new Date(document.lastModified), age = document.createElement('span');
  const tellAge = () => {
    const minutes = Math.floor((Date.now() - written) / 60000);
    age.textContent = ' It was written at ' + written.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    if (minutes < OLD) return age.append('. ');
    const command = Object.assign(document.createElement('code'), { textContent: 'ferrite status' });
    const ago = minutes < 120 ? minutes + ' minutes' : Math.floor(minutes / 60) + ' hours';
    age.append(', ' + ago + ' ago: unless an epoch takes as long, the sweep may have ended, which ', command, ' tells. ');
  };
  tellAge();
  note.append(' This page reads itself again every ' + SECONDS + ' seconds.', age, button);
  const isBusy = () => document.hidden || document.querySelector('dialog[open]') ||
    document.activeElement?.matches('input, select, textarea') || String(getSelection()) !== '';
  setInterval(() => { tellAge(); if (!paused && !isBusy()) location.reload(); }, SECONDS * 1000);
})();
