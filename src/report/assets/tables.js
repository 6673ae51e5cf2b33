// Tables sort by a button in the head of each column, and long ones get a filter. What was asked of a table with an id stands
// in the view of the page. Without this all is readable too.
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  const place = table.closest('.scroll') ?? table;
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const said = Object.assign(document.createElement('p'), { className: 'unseen', role: 'status' });
  const remember = (what, value) => { if (table.id) view.set(table.id + '.' + what, value); };
  const remembered = what => (table.id && view.get(table.id + '.' + what)) || '';

  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const empty = it => it === '' || it === '–';
  // What has no value stands last, whichever way.
  const order = (column, up) => (a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const less = isNaN(x) || isNaN(y) ? x.localeCompare(y, 'en', { numeric: true }) : x - y;
    return up ? less : -less;
  };
  const sort = (column, up) => {
    heads.forEach(it => it.removeAttribute('aria-sort'));
    if (column === null) return body.append(...rows);
    heads[column].setAttribute('aria-sort', up ? 'ascending' : 'descending');
    body.append(...[...rows].sort(order(column, up)));
    said.textContent = 'Sorted by ' + heads[column].textContent + (up ? ', ascending' : ', descending');
  };
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'sort' });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') === 'descending';
      sort(column, up);
      remember('sort', column + (up ? 'a' : 'd'));
    });
  });

  const input = Object.assign(document.createElement('input'), {
    type: 'search', placeholder: 'Filter rows', className: 'filter', ariaLabel: 'Filter rows: ' + (place.ariaLabel ?? 'table'),
  });
  const filter = text => {
    const words = text.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const all = row.textContent.toLowerCase();
      row.hidden = !words.every(it => all.includes(it));
    }
    if (text) said.textContent = rows.filter(it => !it.hidden).length + ' of ' + rows.length + ' rows';
  };
  input.addEventListener('input', () => {
    filter(input.value);
    remember('filter', input.value);
  });
  if (rows.length > 5) place.before(input);
  place.before(said);

  const show = () => {
    const [, column, way] = remembered('sort').match(/^(\d+)([ad])$/) ?? [];
    if (column === undefined || heads[column]) sort(column === undefined ? null : +column, way === 'a');
    input.value = remembered('filter');
    filter(input.value);
  };
  if (remembered('sort') || remembered('filter')) show();
  view.whenChanged(show);
}

// A box that has nothing to scroll is no stop of the Tab key.
const boxes = new ResizeObserver(all => {
  for (const { target: it } of all) {
    it.tabIndex = it.scrollWidth > it.clientWidth || it.scrollHeight > it.clientHeight ? 0 : -1;
  }
});
document.querySelectorAll('[role=region][tabindex]').forEach(it => boxes.observe(it));
