// Another configuration can be the baseline: the board's differences and "What differs" are told against it. The first
// baseline is in the page as it was written.
(() => {
  const source = document.getElementById('board-data');
  const table = document.querySelector('table.board');
  if (!source || !table) return;
  const data = JSON.parse(source.textContent);
  if (data.baseline === null || data.configurations.length < 2) return;
  const minus = text => text.replace('-', '−');
  const points = value => {
    const text = (value * 100).toFixed(1);
    return /^-?0\.0$/.test(text) ? '0.0' : minus(value > 0 ? '+' + text : text);
  };
  const element = (name, className, text) =>
    Object.assign(document.createElement(name), { className, textContent: text });
  const choice = element('select', 'baseline-choice', '');
  for (const it of data.configurations) choice.append(new Option(it.label, it.at));
  const label = element('label', 'control', 'Baseline ');
  label.append(choice);
  table.closest('.scroll').before(label);

  const tell = (baseline, from) => {
    for (const it of document.querySelectorAll('strong.baseline')) it.textContent = baseline.label;
    for (const row of table.tBodies[0].rows) {
      const cell = row.querySelector('.delta');
      const to = data.configurations.findIndex(it => it.at === +row.dataset.at);
      cell.replaceChildren();
      delete cell.dataset.v;
      row.classList.toggle('is-baseline', to === from);
      if (to === from) {
        cell.dataset.v = 0;
        cell.append(element('span', 'none', 'baseline'));
        continue;
      }
      const known = data.beside[from]?.[to];
      const other = data.configurations[to];
      if (known) {
        const [mean, low, high] = known;
        cell.dataset.v = mean;
        cell.append(points(mean), element('div', 'interval', points(low) + ' to ' + points(high)));
      } else if (from >= data.beside.length || to >= data.beside.length) {
        const mean = (other?.accuracy ?? NaN) - (baseline.accuracy ?? NaN);
        if (isFinite(mean)) {
          cell.dataset.v = mean;
          cell.append(points(mean), element('div', 'interval', 'of the means'));
        }
      }
      if (!cell.hasChildNodes()) cell.append(element('span', 'none', '–'));
    }
  };

  const stages = it => {
    const at = data.keys.findIndex(key => key.key === 'stages');
    return at < 0 ? null : (it.values[at] ?? '').split(', ');
  };
  // A setting of a stage that one of the two does not have is told by the stages alone.
  const isAlone = (key, lists) => {
    const stage = key.startsWith('stages.') && key.split('.')[1];
    return stage && lists.some(it => it && !it.includes(stage));
  };
  const changes = (from, to) => {
    const lists = [stages(from), stages(to)];
    const groups = new Map();
    data.keys.forEach(({ key, name, technique }, at) => {
      if (from.values[at] === to.values[at] || isAlone(key, lists)) return;
      if (!groups.has(technique)) groups.set(technique, []);
      groups.get(technique).push([name, from.values[at] ?? 'not set', to.values[at] ?? 'not set']);
    });
    return groups;
  };
  const list = document.querySelector('table.differences');
  const compare = baseline => {
    for (const row of list?.tBodies[0].rows ?? []) {
      const it = data.configurations.find(it => it.at === +row.dataset.at);
      const cell = row.cells[1];
      cell.replaceChildren();
      if (it === baseline) cell.append(element('span', 'none', 'baseline'));
      for (const [technique, all] of it === baseline ? [] : changes(baseline, it)) {
        const group = element('div', 'change-group', '');
        group.append(element('span', 'technique', technique));
        for (const [name, before, after] of all) {
          const change = element('span', 'change', '');
          change.append(element('code', '', name), ` ${before} → `, element('strong', '', after));
          group.append(change);
        }
        cell.append(group);
      }
    }
  };

  const show = () => {
    const asked = data.configurations.findIndex(it => it.label === view.get('baseline'));
    const from = asked < 0 ? data.configurations.findIndex(it => it.at === data.baseline) : asked;
    choice.value = data.configurations[from].at;
    tell(data.configurations[from], from);
    compare(data.configurations[from]);
  };
  choice.addEventListener('change', () => {
    const chosen = data.configurations.find(it => it.at === +choice.value);
    view.set('baseline', chosen.at === data.baseline ? null : chosen.label);
    show();
  });
  view.whenChanged(show);
  show();
})();
