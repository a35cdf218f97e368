// The templates of index.html.

/** Instantiates the template `name`: returns its element, and its parts by their `data-part`. */
export function copy(name) {
  const element = document.getElementById(`${name}-template`).content.firstElementChild.cloneNode(true);
  return { element, ...parts(element) };
}

/** Returns the elements in `element` by their `data-part`. */
export function parts(element) {
  return Object.fromEntries([...element.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
}

/** Announces `text` to a screen reader. */
export function announce(text) {
  document.getElementById('status').textContent = text;
}

/** Returns list items with these texts. */
export function items(words) {
  return words.map((word) => {
    const item = document.createElement('li');
    item.textContent = word;
    return item;
  });
}
