// The templates of index.html.

/** A new copy of the template `name`: its element, and those in it by their `data-part`. */
export function copy(name) {
  const element = document.getElementById(`${name}-template`).content.firstElementChild.cloneNode(true);
  return { element, ...parts(element) };
}

/** The elements in `element` by their `data-part`. */
export function parts(element) {
  return Object.fromEntries([...element.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
}

/** Says `text` to a screen reader. */
export function announce(text) {
  document.getElementById('status').textContent = text;
}

/** List items with these words. */
export function items(words) {
  return words.map((word) => {
    const item = document.createElement('li');
    item.textContent = word;
    return item;
  });
}
