// The page behind a proxy as in docs/server.md: with TLS and a path prefix.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { assertContent, browser, downloaded, missing, open, reached, segment, serve, wish } from './support.js';

const PREFIX = '/sounds';
const lacking = missing || (spawnSync('openssl', ['version']).error && 'no openssl, which makes the certificate');

suite('the page behind a proxy', { skip: lacking }, () => {
  let server;
  let proxy;
  let visitor;

  before(async () => {
    server = await serve();
    proxy = await proxyTo(server.address);
    visitor = await browser();
  });
  after(async () => {
    await visitor?.close();
    proxy?.closeAllConnections();
    proxy?.close();
    server?.stop();
  });

  test('generates a streamed sound, and requests nothing outside its path', async () => {
    const address = `https://localhost:${proxy.address().port}${PREFIX}/`;
    const { context, page, complaints } = await open(visitor, address, { ignoreHTTPSErrors: true });
    const reply = await wish(page, 'Generate', 'rain', { seed: 1 });
    await reached(reply, 'done');
    const { bytes } = await downloaded(segment(reply, 'Sound'));
    assert.equal(bytes.subarray(0, 4).toString(), 'RIFF');
    assert.deepEqual(proxy.astray, []);
    assertContent(complaints);
    await context.close();
  });
});

/** Starts a proxy with TLS, which passes requests below PREFIX to the server at `address`; `astray` has all other requests. */
async function proxyTo(address) {
  const { hostname, port } = new URL(address);
  const proxy = createServer(certificate(), (asked, answer) => {
    if (!asked.url.startsWith(`${PREFIX}/`)) {
      proxy.astray.push(asked.url);
      answer.writeHead(404).end();
      return;
    }
    const path = asked.url.slice(PREFIX.length);
    // Host is passed on unchanged, since the server compares it with the page's origin
    const passed = request({ hostname, port, path, method: asked.method, headers: asked.headers }, (told) => {
      answer.writeHead(told.statusCode, told.headers);
      told.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    asked.pipe(passed);
  });
  proxy.astray = [];
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  return proxy;
}

/** Creates a key and a certificate for localhost. */
function certificate() {
  const folder = mkdtempSync(join(tmpdir(), 'ualm-proxy-'));
  const [keyout, out] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', keyout, '-out', out, ...subject], { stdio: 'ignore' });
  try {
    return { key: readFileSync(keyout), cert: readFileSync(out) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
