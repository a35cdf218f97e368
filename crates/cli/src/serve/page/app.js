// The page: connects the form, the replies and the comparison.

import { loadedModel } from './client.js';
import { Comparison } from './comparison.js';
import { Composer } from './composer.js';
import { Replies } from './replies.js';
import { Reply } from './reply.js';

const composer = new Composer();
const replies = new Replies(composer, new Comparison());

composer.addEventListener('wish', ({ detail }) => replies.start(new Reply(detail)));
replies.restore();

const name = document.getElementById('model');
try {
  const model = await loadedModel();
  name.textContent = model.id;
  composer.suit(model);
} catch (error) {
  name.textContent = 'no model';
  composer.refuse(error.message);
}
