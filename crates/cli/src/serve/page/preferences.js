// The user's preferences, in localStorage if available.

/** Returns the preference `name`, or `otherwise`. */
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
    // Storage is disabled.
  }
}
