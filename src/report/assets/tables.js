// Tables sort by a click on a column, and long ones get a filter. Without this all is readable too.
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    head.title = 'Sort by ' + head.textContent;
    const sort = () => {
      const up = head.getAttribute('aria-sort') === 'descending';
      for (const it of table.tHead.rows[0].cells) it.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
      const empty = it => it === '' || it === '–';
      const compare = (a, b) => {
        if (empty(a) || empty(b)) return empty(a) - empty(b);
        const order = isNaN(a) || isNaN(b) ? a.localeCompare(b, 'en', { numeric: true }) : a - b;
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', it => { if (it.key === 'Enter') sort(); });
  });
  if (body.rows.length > 5) {
    const input = Object.assign(document.createElement('input'), {
      type: 'search', placeholder: 'Filter rows', className: 'filter', ariaLabel: 'Filter rows',
    });
    input.addEventListener('input', () => {
      const words = input.value.toLowerCase().split(/\s+/);
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(it => text.includes(it));
      }
    });
    table.parentElement.before(input);
  }
}
