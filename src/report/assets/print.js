// What a screen shows when asked, paper shows at once, but for what it never shows; browsers that know how are told so by the
// styles, too.
let folded = [];
addEventListener('beforeprint', () => {
  folded = [...document.querySelectorAll('details:not([open], .numbers)')];
  folded.forEach(it => { it.open = true; });
});
addEventListener('afterprint', () => folded.forEach(it => { it.open = false; }));
