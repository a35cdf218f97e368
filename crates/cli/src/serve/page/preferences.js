// What the person chose, in localStorage; without one it is forgotten with the page.

/** What was remembered under `name`, or `otherwise`. */
export function remembered(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`ualm.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`ualm.${name}`, JSON.stringify(value));
  } catch {
    // A browser that stores nothing.
  }
}
