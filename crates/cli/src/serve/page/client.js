// A client of the server's API (docs/server.md).

import { events } from './sse.js';

const KEY = 'ualm.key';

/** An error response of the server, or a network error. */
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

let model = null;

/** Returns the server's model and its properties. */
export async function loadedModel() {
  model ??= (await (await send('v1/models')).json()).data[0];
  return model;
}

/** Yields the chunks of the streamed response to `body`. */
export async function* chat(body, signal) {
  const headers = { 'content-type': 'application/json' };
  const response = await send('v1/chat/completions', { method: 'POST', headers, body: JSON.stringify(body), signal });
  for await (const data of events(response.body)) {
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(chunk.error.message, 500);
    yield chunk;
  }
  throw new ServerError('The connection was lost. Is the server still running?');
}

async function send(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
  const response = await fetch(path, { ...options, headers }).catch((error) => {
    if (error.name === 'AbortError') throw error;
    throw new ServerError('The server cannot be reached. Is it still running?');
  });
  if (response.status === 401 && await askForKey(key)) return send(path, options);
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const told = await response.json().catch(() => null);
  const message = told?.error?.message ?? `The server answered with status ${response.status}.`;
  const later = response.headers.get('retry-after');
  return new ServerError(later ? `${message} Try again in ${later} s.` : message, response.status);
}

/** Asks the user for a key other than `wrong`; returns false if none was given. */
async function askForKey(wrong) {
  const dialog = document.getElementById('key');
  const field = dialog.querySelector('input');
  if (!dialog.open) {
    field.value = wrong ?? '';
    dialog.returnValue = '';
    dialog.showModal();
  }
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  if (dialog.returnValue !== 'ok') return false;
  sessionStorage.setItem(KEY, field.value);
  return true;
}
