// Looking at faces: a cell of the confusion matrix opens its images, and two configurations are held against each other.
// The answers lie as bytes in #gallery-data; sheets of images become blobs when one of their images is first shown.
(() => {
  const source = document.getElementById('gallery-data');
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const bytes = text => Uint8Array.from(atob(text), it => it.charCodeAt(0));
  const truth = bytes(data.truth), sizes = bytes(data.sizes);
  const { classes, ids, panels } = data;
  // The answers of a configuration are decoded when it is first looked at.
  const seedsOf = panel => panel.seeds ??= panel.named.map((named, at) =>
    ({ named: bytes(named), sure: bytes(panel.sure[at]), right: bytes(panel.right[at]) }));
  const make = (tag, given = {}, ...children) => {
    const it = Object.assign(document.createElement(tag), given);
    it.append(...children);
    return it;
  };
  const count = n => n.toLocaleString('en');
  const images = n => n === 1 ? '1 image' : count(n) + ' images';
  const byId = id => document.getElementById('gallery-' + id);
  // More faces than this are shown by a button.
  const AT_ONCE = 60;

  // An element of SVG is copied from one that the page has, since a name for it would be an address.
  const parse = text => make('template', { innerHTML: '<svg>' + text + '</svg>' }).content.firstChild;
  const showSheet = at => {
    if (document.getElementById('sheet-' + at)) return;
    const [, , width, height] = data.sheets[at];
    const lazy = document.querySelector(`script[data-sheet="${at}"]`);
    const blob = new Blob([bytes(lazy.textContent)], { type: 'image/jpeg' });
    const image = parse('<image></image>').firstChild;
    const set = { id: 'sheet-' + at, width, height, href: URL.createObjectURL(blob) };
    for (const key in set) image.setAttribute(key, set[key]);
    byId('sheets').append(image);
  };
  const picture = place => {
    const at = data.sheets.findIndex(([from, to]) => from <= place && place < to);
    if (at < 0) return make('span', { className: 'face none', textContent: 'no picture' });
    showSheet(at);
    const within = place - data.sheets[at][0], [width, height] = data.cell;
    const corner = [within % data.columns * width, Math.floor(within / data.columns) * height];
    const face = parse(`<use href="#sheet-${at}"></use>`);
    face.setAttribute('class', 'face');
    face.setAttribute('viewBox', [...corner, sizes[2 * place], sizes[2 * place + 1]].join(' '));
    face.setAttribute('role', 'img');
    face.setAttribute('aria-label', 'image ' + ids[place]);
    return face;
  };
  const tile = (place, ...lines) => {
    const line = ([className, text, small]) => {
      const it = make('span', { className, textContent: text });
      if (small !== undefined) it.append(' ', make('small', { textContent: small.toFixed(2) }));
      return it;
    };
    const id = make('span', { className: 'id', textContent: ids[place] });
    const votes = data.votes[place] ? [['votes', data.votes[place]]] : [];
    return make('li', {}, picture(place), id, ...[...lines, ...votes].map(line));
  };
  const faces = (list, tileOf) => {
    const box = make('ol', { className: 'faces' });
    const more = make('button', { type: 'button', className: 'more' });
    let shown = 0;
    const show = () => {
      const next = list.slice(shown, shown + AT_ONCE).map(tileOf);
      box.append(...next);
      shown += next.length;
      more.textContent = `Show more, ${count(list.length - shown)} are left`;
      more.hidden = shown === list.length;
    };
    more.addEventListener('click', show);
    show();
    return [box, more];
  };
  // What the seeds of a configuration say of an image, as far as they say anything.
  const mean = list => list.reduce((sum, it) => sum + it, 0) / list.length;
  const said = (panel, place) => seedsOf(panel).filter(it => it.sure[place]);
  const truthOf = (panel, place) => mean(said(panel, place).map(it => it.right[place])) / 255;
  const loss = (panel, place) =>
    mean(said(panel, place).map(it => -Math.log(Math.max(it.right[place], .25) / 255)));
  const isRight = (panel, place) => {
    const all = said(panel, place);
    return all.length ? 2 * all.filter(it => it.named[place] === truth[place]).length > all.length : null;
  };
  const hardestFirst = (list, panel) => {
    const by = new Map(list.map(it => [it, loss(panel, it)]));
    return list.sort((a, b) => by.get(b) - by.get(a) || a - b);
  };
  const select = (label, chosen, choose) => {
    const box = make('select');
    panels.forEach((it, at) => box.append(make('option', { value: at, textContent: it.label })));
    box.value = chosen;
    box.addEventListener('change', () => choose(Number(box.value)));
    return [make('label', {}, label + ' ', box), box];
  };
  const panelOf = (name, otherwise) => {
    const at = panels.findIndex(it => it.label === view.get(name));
    return at < 0 ? otherwise : at;
  };

  // The confusion matrix, whose cells are buttons where there are faces to open.
  const hasPictures = data.sheets.length > 0;
  const opened = byId('cell'), matrix = byId('confusion');
  let model = 0, opener = null;
  const buttonOf = cell => matrix.querySelector(`button[data-cell="${cell}"]`);
  const draw = () => {
    // With many classes there is no table.
    if (!matrix) return;
    const panel = panels[model];
    matrix.querySelector('caption').replaceChildren(make('span', { className: panel.swatch }), make('bdi', { textContent: panel.label }));
    [...matrix.querySelector('tbody').rows].forEach((row, label) => {
      const sum = panel.cells[label].reduce((all, it) => all + it[0], 0);
      [...row.cells].slice(1).forEach((cell, named) => {
        const [answers, behind] = panel.cells[label][named];
        const share = answers / Math.max(sum, 1);
        cell.style.background = `color-mix(in srgb,var(--heat) ${Math.round(34 * share)}%,transparent)`;
        cell.replaceChildren();
        if (!answers) return;
        const percent = Math.round(100 * share) + ' %';
        if (!hasPictures) return cell.append(percent, make('small', { textContent: count(behind) }));
        const unseen = textContent => make('span', { className: 'unseen', textContent });
        const button = make('button', { type: 'button' },
          unseen(`true ${classes[label]}, predicted ${classes[named]}: `), percent, unseen(', '),
          make('small', { textContent: count(behind) }), unseen(behind === 1 ? ' image' : ' images'));
        button.dataset.cell = label + '-' + named;
        button.setAttribute('aria-expanded', 'false');
        button.setAttribute('aria-controls', opened.id);
        button.addEventListener('click', () => view.get('cell') === button.dataset.cell ? close() : open(button.dataset.cell, true));
        cell.append(button);
      });
    });
    common();
  };
  // The three mistakes with the most answers.
  const common = () => {
    const wrong = panels[model].cells.flatMap((row, label) => row.map(([answers, behind], named) =>
      ({ label, named, answers, behind }))).filter(it => it.label !== it.named && it.answers);
    wrong.sort((a, b) => b.answers - a.answers);
    const words = it => `${classes[it.label]} taken for ${classes[it.named]}, ${images(it.behind)}`;
    if (!hasPictures) {
      byId('common').textContent = `Commonest mistakes: ${wrong.slice(0, 3).map(words).join('; ') || 'none'}.`;
      return;
    }
    const buttons = wrong.slice(0, 3).map(it => {
      const button = make('button', { type: 'button', className: 'close', textContent: words(it) });
      button.addEventListener('click', () => open(it.label + '-' + it.named, true));
      return button;
    });
    byId('common').replaceChildren('Commonest mistakes: ', ...buttons.flatMap(it => [it, ' ']));
  };
  const mark = cell => {
    for (const it of matrix.querySelectorAll('button')) {
      it.setAttribute('aria-expanded', String(it.dataset.cell === cell));
    }
  };
  const open = (cell, byHand) => {
    const [label, named] = cell.split('-').map(Number), panel = panels[model];
    if (!buttonOf(cell)) return close();
    const here = ids.map((_, at) => at).filter(at => truth[at] === label
      && seedsOf(panel).some(it => it.sure[at] && it.named[at] === named));
    hardestFirst(here, panel);
    const all = panel.cells[label][named][1], several = panel.named.length > 1;
    const words = label === named ? `${classes[label]}, rightly named` : `${classes[label]}, taken for ${classes[named]}`;
    const title = make('h4', { tabIndex: -1, textContent: words });
    const shut = make('button', { type: 'button', className: 'close', textContent: 'Close' });
    shut.addEventListener('click', close);
    const note = here.length < all ? `${count(here.length)} of ${images(all)} are on this page` : images(all);
    const tileOf = place => {
      const those = said(panel, place).filter(it => it.named[place] === named);
      const lines = [['label', classes[label], truthOf(panel, place)]];
      if (label !== named) lines.push(['answer', classes[named], mean(those.map(it => it.sure[place])) / 255]);
      if (several) lines.push(['by', `by ${those.length} of ${said(panel, place).length} seeds`]);
      return tile(place, ...lines);
    };
    opened.replaceChildren(make('div', { className: 'top' }, title, shut),
      make('p', { className: 'note' }, make('bdi', { textContent: panel.label }), `: ${note}, the highest loss first. Below each: id, label and answer with their probabilities${several ? ', that of the label as the mean of all seeds, that of the answer as the mean of the seeds that give it' : ''}.`),
      ...faces(here, tileOf));
    opened.hidden = false;
    mark(cell);
    if (byHand) {
      opener = cell;
      view.set('cell', cell);
      title.focus();
    }
  };
  function close() {
    if (opened.hidden) return;
    const back = opened.contains(document.activeElement) || document.activeElement === document.body;
    opened.hidden = true;
    opened.replaceChildren();
    mark(null);
    view.set('cell', null);
    if (back && opener) buttonOf(opener)?.focus();
  }
  const isHere = it => it === document.body || opened.contains(it) || matrix.contains(it);
  document.addEventListener('keydown', it => {
    if (it.key === 'Escape' && opened && !opened.hidden && isHere(document.activeElement)) close();
  });
  const chooser = byId('models');
  let box;
  const choose = at => {
    model = at;
    view.set('faces', at ? panels[at].label : null);
    draw();
    if (view.get('cell')) open(view.get('cell'), false);
  };
  if (matrix && panels.length > 1) {
    const [label, made] = select('Configuration', 0, choose);
    box = made;
    chooser.append(label);
    chooser.hidden = false;
  }
  for (const it of document.querySelectorAll('#gallery .with-script')) it.hidden = false;

  // Two configurations.
  const pair = byId('pair'), sides = byId('sides');
  let chosen = [0, data.rival], boxes = [];
  const compare = () => {
    const [first, second] = chosen.map(it => panels[it]);
    const side = (mine, other, number) => {
      const list = ids.map((_, at) => at).filter(at => isRight(mine, at) === true && isRight(other, at) === false);
      const all = data.only[panels.indexOf(mine)][panels.indexOf(other)];
      const note = list.length < all ? `${count(list.length)} of ${images(all)} are on this page` : images(all);
      const summary = make('summary', {}, make('span', { className: mine.swatch }),
        `Only ${mine.label} is right: ${note}`);
      const details = make('details', {}, summary);
      // Faces are drawn when they are asked for.
      details.addEventListener('toggle', () => {
        view.set('side' + number, details.open ? 'open' : null);
        if (!details.open || details.children.length > 1) return;
        hardestFirst(list, other);
        const tileOf = place => {
          const wrong = said(other, place).filter(it => it.named[place] !== truth[place]);
          const worst = wrong.reduce((most, it) => it.sure[place] > most.sure[place] ? it : most);
          return tile(place, ['label', classes[truth[place]], truthOf(mine, place)],
            ['answer', `the other: ${classes[worst.named[place]]}`, mean(wrong.map(it => it.sure[place])) / 255]);
        };
        details.append(...faces(list, tileOf));
      });
      details.open = view.get('side' + number) === 'open';
      return details;
    };
    if (first === second) {
      sides.replaceChildren(make('p', { className: 'note', textContent: 'Choose two configurations that are not the same.' }));
    } else {
      sides.replaceChildren(side(first, second, 1), side(second, first, 2));
    }
    sides.hidden = false;
  };
  if (pair) {
    ['first', 'second'].forEach((name, at) => {
      const [label, made] = select(at ? 'and' : 'Between', chosen[at], to => {
        chosen[at] = to;
        view.set(name, to === [0, data.rival][at] ? null : panels[to].label);
        compare();
      });
      boxes.push(made);
      pair.append(label);
    });
    pair.hidden = false;
  }

  // What the hash asks for.
  const show = () => {
    model = panelOf('faces', 0);
    if (box) box.value = model;
    draw();
    const cell = view.get('cell');
    if (matrix && cell) open(cell, false); else if (matrix && !opened.hidden) close();
    if (!pair) return;
    chosen = [panelOf('first', 0), panelOf('second', data.rival)];
    boxes.forEach((it, at) => { it.value = chosen[at]; });
    compare();
  };
  view.whenChanged(show);
  show();
  // A link that was made before the reader went to a section leads to what it opens.
  const asked = ['cell', 'side1', 'side2'].some(it => view.get(it));
  if (asked && location.hash.startsWith('#?')) document.getElementById('gallery').scrollIntoView();
})();
