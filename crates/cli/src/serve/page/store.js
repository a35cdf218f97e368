// Replies that outlive the page, in IndexedDB.

const STORE = 'replies';
/** Of the replies that nobody asked to keep, so many stay: the newest. */
const MOST_LOOSE = 20;

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

/** All that is stored, the oldest first. */
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

/** Forgets the oldest of those that are not kept; gives their ids. */
export async function forgetOld() {
  const loose = (await storedReplies()).filter(({ kept }) => !kept);
  const old = loose.slice(0, Math.max(0, loose.length - MOST_LOOSE)).map(({ id }) => id);
  await Promise.all(old.map(forgetReply));
  return old;
}
