// Rich captions: plans that say what is heard, and when.

/** A plan as the model reads it: `Keywords: …. Layout: …. Description: …`. */
export function planText({ keywords, layout, description }) {
  const events = layout.map(({ start, end, what }) => `${start.toFixed(1)}-${end.toFixed(1)} ${what}`);
  return `Keywords: ${keywords.join(', ')}. Layout: ${events.join('; ')}. Description: ${description}`;
}

/** When its last event ends; 0 if it has none. */
export function planSeconds({ layout }) {
  return Math.max(0, ...layout.map(({ end }) => end));
}

/** Of a list with commas, what stands between them. */
export function keywordsOf(text) {
  return text.split(',').map((word) => word.trim()).filter((word) => word !== '');
}
