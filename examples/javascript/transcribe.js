// Transcribes speech, as a whole and streamed: node transcribe.js digits.wav

import { createReadStream } from 'node:fs';
import { client, model } from './client.js';

const file = process.argv[2] ?? 'digits.wav';

const whole = await client.audio.transcriptions.create({ model, file: createReadStream(file) });
console.log(whole.text);

const events = await client.audio.transcriptions.create({ model, file: createReadStream(file), stream: true });
for await (const event of events) {
  if (event.type === 'transcript.text.delta') process.stdout.write(event.delta);
}
console.log();
