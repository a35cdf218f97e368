// A conversation with a recording and a generated sound: node chat.js dog.wav answer.wav

import { readFile, writeFile } from 'node:fs/promises';
import { client, model } from './client.js';

const [recording = 'dog.wav', made = 'answer.wav'] = process.argv.slice(2);

const messages = [{
  role: 'user',
  content: [
    { type: 'text', text: 'What sound is this?' },
    { type: 'input_audio', input_audio: { data: await readFile(recording, 'base64'), format: 'wav' } },
  ],
}];
const heard = await client.chat.completions.create({ model, messages });
console.log(heard.choices[0].message.content);

// The server's messages can be sent back unchanged as history.
messages.push(heard.choices[0].message, { role: 'user', content: 'rain on a roof' });
const reply = await client.chat.completions.create({
  model, messages, seed: 1, modalities: ['audio'], audio: { voice: 'default', format: 'wav' },
});
await writeFile(made, Buffer.from(reply.choices[0].message.audio.data, 'base64'));
console.log(`${made} was written`);
