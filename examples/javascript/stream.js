// Streams a plan and a sound, as raw 16-bit samples at 24 kHz: node stream.js sound.pcm

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { client, model } from './client.js';

const file = createWriteStream(process.argv[2] ?? 'sound.pcm');

const chunks = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'a dog, then rain' }],
  modalities: ['text', 'audio'],
  audio: { voice: 'default', format: 'pcm16' },
  seed: 1,
  stream: true,
});
for await (const { choices } of chunks) {
  const delta = choices[0]?.delta ?? {};
  if (delta.segment?.stage) console.log(`\n-- ${delta.segment.stage}`);
  if (delta.content) process.stdout.write(delta.content);
  // A chain with drafts has several sounds, one per segment; all of them are appended to this file.
  if (delta.audio?.data && !file.write(Buffer.from(delta.audio.data, 'base64'))) await once(file, 'drain');
}
file.end();
await once(file, 'finish');
console.log(`\n${file.bytesWritten / 48000} s of sound`);
