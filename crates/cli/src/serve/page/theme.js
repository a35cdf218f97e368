// Light or dark theme: the user's choice, else the system's. Not a module, so that it runs before the page is drawn.
'use strict';

(() => {
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);

  try {
    const chosen = localStorage.getItem('ualm.theme');
    if (chosen) root.dataset.theme = JSON.parse(chosen);
  } catch {
    // Without storage the system's choice applies.
  }

  addEventListener('DOMContentLoaded', () => {
    const button = document.getElementById('theme');
    const show = () => button.setAttribute('aria-pressed', isDark());
    button.addEventListener('click', () => {
      root.dataset.theme = isDark() ? 'light' : 'dark';
      localStorage.setItem('ualm.theme', JSON.stringify(root.dataset.theme));
      show();
    });
    system.addEventListener('change', show);
    show();
  });
})();
