// Storage of replies in IndexedDB.

const STORE = 'replies';
/** The number of newest replies that stay without being marked to keep. */
const MAX_LOOSE = 20;

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open('ualm', 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function run(mode, work) {
  const store = (await database()).transaction(STORE, mode).objectStore(STORE);
  const request = work(store);
  return new Promise((resolve, reject) => {
    store.transaction.oncomplete = () => resolve(request.result);
    store.transaction.onabort = () => reject(store.transaction.error);
  });
}

/** Returns all stored replies, oldest first. */
export async function storedReplies() {
  const replies = await run('readonly', (store) => store.getAll());
  return replies.sort((a, b) => a.begun - b.begun);
}

export function storeReply(reply) {
  return run('readwrite', (store) => store.put(reply));
}

export function forgetReply(id) {
  return run('readwrite', (store) => store.delete(id));
}

/** Deletes the oldest replies that are not marked to keep; returns their ids. */
export async function forgetOld() {
  const loose = (await storedReplies()).filter(({ kept }) => !kept);
  const old = loose.slice(0, Math.max(0, loose.length - MAX_LOOSE)).map(({ id }) => id);
  await Promise.all(old.map(forgetReply));
  return old;
}
