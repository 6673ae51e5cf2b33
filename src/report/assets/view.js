// What a reader has set on the page (order, filter, baseline, open faces) stands behind a question mark in the URL's hash,
// so that a view can be sent as a link: #leaderboard?sort=2d&baseline=frozen. A part of the page asks for its own values by name and
// sets them; nothing else is remembered.
const view = (() => {
  const parse = () => {
    const [place, query = ''] = location.hash.slice(1).split('?');
    return { place, values: new URLSearchParams(query) };
  };
  let { place, values } = parse();
  const write = () => {
    const query = values.toString();
    history.replaceState(null, '', '#' + place + (query && '?' + query));
  };
  const listeners = [];
  addEventListener('hashchange', () => {
    const next = parse();
    place = next.place;
    // A link to a section of this page says nothing of the view and keeps it; a link that was sent says all of it.
    if (location.hash.includes('?')) {
      values = next.values;
      listeners.forEach(it => it());
    } else {
      write();
    }
  });
  // The browser looks for an element called all of the hash.
  if (location.hash.includes('?') && place) document.getElementById(place)?.scrollIntoView();
  return {
    get: name => values.get(name),
    set(name, value) {
      if (value === null || value === '') values.delete(name); else values.set(name, value);
      write();
    },
    // `listener` is called when another view was asked for, as by the browser's way back.
    whenChanged: listener => listeners.push(listener),
  };
})();
