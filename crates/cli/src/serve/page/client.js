// The server's interface (docs/server.md).

import { events } from './sse.js';

const KEY = 'ualm.key';

/** An error that the server told, or that kept it from being heard. */
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

let model = null;

/** The model that is loaded, with what the page wants to know of it. */
export async function loadedModel() {
  model ??= (await (await send('v1/models')).json()).data[0];
  return model;
}

/** The chunks of the streamed answer to `body`, up to the end. */
export async function* chat(body, signal) {
  const headers = { 'content-type': 'application/json' };
  const response = await send('v1/chat/completions', { method: 'POST', headers, body: JSON.stringify(body), signal });
  for await (const data of events(response.body)) {
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(chunk.error.message, 500);
    yield chunk;
  }
  throw new ServerError('The connection broke off. Is the server still running?');
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

/** Lets the person type a key other than `wrong`; false if there is none. */
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
