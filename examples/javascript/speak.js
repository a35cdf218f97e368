// Writes speech from text, and sound from a description: node speak.js digits.wav dog.wav

import { writeFile } from 'node:fs/promises';
import { client, model } from './client.js';

const [speech = 'digits.wav', sound = 'dog.wav'] = process.argv.slice(2);

const digits = await client.audio.speech.create({ model, input: 'seven three', voice: 'default', response_format: 'wav' });
await writeFile(speech, Buffer.from(await digits.arrayBuffer()));

// Extensions to OpenAI's API are in the field ualm: here, sound instead of speech.
const dog = await client.audio.speech.create({
  model, input: 'a dog barking', voice: 'default', response_format: 'wav', ualm: { modality: 'audio', seed: 7 },
});
await writeFile(sound, Buffer.from(await dog.arrayBuffer()));
console.log(`${speech} and ${sound} were written`);
