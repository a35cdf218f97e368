// Tests of the JavaScript examples, against a server with the default package: `make test-node`.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = process.env.UALM_PROGRAM ?? `${ROOT}target/release/ualm`;
const KEY = 'a-key-of-this-test';
const folder = mkdtempSync(join(tmpdir(), 'ualm node é '));
let server;
let address;

before(async () => {
  const keys = join(folder, 'keys.txt');
  writeFileSync(keys, `${KEY}\n`);
  const flags = ['serve', '--listen', '127.0.0.1:0', '--api-keys', keys, '--model', `${ROOT}onnx/default`];
  server = spawn(PROGRAM, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = [];
  address = await new Promise((resolve, reject) => {
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${said.join('\n')}`)));
    createInterface(server.stderr).on('line', (line) => {
      said.push(line);
      const [found] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? [];
      if (found) resolve(found);
    });
  });
});

after(() => {
  server?.removeAllListeners('exit');
  server?.kill();
  rmSync(folder, { recursive: true });
});

/** Runs an example and returns its output. */
async function run(name, ...files) {
  const environment = { ...process.env, UALM_ADDRESS: address, UALM_KEY: KEY };
  const paths = files.map((file) => join(folder, file));
  const { stdout } = await promisify(execFile)(process.execPath, [`${ROOT}examples/javascript/${name}`, ...paths], { env: environment });
  return stdout;
}

/** Returns the length of a 16-bit mono WAV file in seconds. */
function seconds(name) {
  const wav = readFileSync(join(folder, name));
  assert.equal(wav.toString('latin1', 0, 4), 'RIFF');
  assert.equal(wav.readUInt16LE(22), 1);
  return (wav.length - 44) / 2 / wav.readUInt32LE(24);
}

test('speech and sound are generated and understood', async () => {
  await run('speak.js', 'digits.wav', 'dog.wav');
  assert.ok(seconds('digits.wav') > 0.3 && seconds('dog.wav') > 0.2);
  const [whole, streamed] = (await run('transcribe.js', 'digits.wav')).trim().split('\n');
  assert.equal(whole, 'seven three');
  assert.equal(streamed, whole);
  const [heard] = (await run('chat.js', 'dog.wav', 'answer.wav')).split('\n');
  assert.match(heard, /dog/);
  assert.ok(seconds('answer.wav') > 0.2);
});

test('text and sound are streamed', async () => {
  const said = await run('stream.js', 'sound.pcm');
  assert.match(said, /-- plan\n.*dog/s);
  const size = readFileSync(join(folder, 'sound.pcm')).length;
  assert.ok(size > 24000, `${size} bytes`);
  assert.ok(said.includes(`${size / 48000} s of sound`), said);
});

test('a wrong key is an authentication error', async () => {
  const environment = { ...process.env, UALM_ADDRESS: address, UALM_KEY: 'wrong' };
  const asked = promisify(execFile)(process.execPath, [`${ROOT}examples/javascript/speak.js`], { env: environment, cwd: folder });
  await assert.rejects(asked, (error) => /AuthenticationError.*401/s.test(error.stderr));
});
