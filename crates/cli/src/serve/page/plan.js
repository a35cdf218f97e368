// Rich captions: plans with timed events.

/** Returns a plan as text for the model: `Keywords: …. Layout: …. Description: …`. */
export function planText({ keywords, layout, description }) {
  const events = layout.map(({ start, end, what }) => `${start.toFixed(1)}-${end.toFixed(1)} ${what}`);
  return `Keywords: ${keywords.join(', ')}. Layout: ${events.join('; ')}. Description: ${description}`;
}

/** Returns the end of the last event; 0 without events. */
export function planSeconds({ layout }) {
  return Math.max(0, ...layout.map(({ end }) => end));
}

/** Splits a list at commas. */
export function keywordsOf(text) {
  return text.split(',').map((word) => word.trim()).filter((word) => word !== '');
}
