// Request bodies for the server.

import { base64Of } from './base64.js';

/** Returns whether `mode` makes sound. */
export function makesSound(mode) {
  return mode === 'generate' || mode === 'speak' || mode === 'reason';
}

/**
 * Returns the request to `model` for `wish`: { mode, prompt, sound: a File or null, settings, plan: a text or null }. With
 * `from`, the request resumes at a segment: { record, segment: its number }, optionally with another `seed` or `plan`, or
 * with the `answer` in a dialogue.
 */
export async function requestOf({ wish, from }, model) {
  const seed = from?.seed ?? wish.settings.seed;
  const plan = from ? from.plan : wish.plan;
  const { mode, settings } = wish;
  const body = {
    model: model.id,
    stream: true,
    messages: from ? answerOf(from) : [{ role: 'user', content: await contentOf(wish, model) }],
    ualm: { record: true, ...sampling(mode, settings, model) },
  };
  if (seed !== null) body.seed = seed;
  if (from) body.ualm.from = { record: from.record, segment: from.segment };
  if (makesSound(mode)) askForSound(body, mode, settings, model);
  if (mode === 'reason') body.ualm.reasoning = reasoning(settings, plan);
  return body;
}

function answerOf({ answer }) {
  return answer === undefined ? [] : [{ role: 'user', content: answer }];
}

async function contentOf({ mode, prompt, sound }, model) {
  if (makesSound(mode)) return prompt;
  const words = (text) => ({ type: 'text', text });
  const heard = async (modality) => {
    const format = sound.name.split('.').pop().toLowerCase();
    return { type: 'input_audio', input_audio: { data: await base64Of(sound), format }, modality };
  };
  const { prompts } = model.ualm;
  return mode === 'ask'
    ? [await heard('audio'), words(prompt || prompts.ask)]
    : [words(prompts.transcribe), await heard('speech')];
}

function askForSound(body, mode, { takes, best }, model) {
  body.modalities = mode === 'reason' ? ['text', 'audio'] : ['audio'];
  body.audio = { format: 'wav', voice: 'default' };
  body.n = takes;
  body.ualm.sample_rate = model.ualm.sample_rate;
  if (mode === 'speak') body.ualm.force = ['speech'];
  else if (takes > 1) body.ualm.best = best;
}

function reasoning({ way, rounds, listen }, plan) {
  const chain = way === 'reflect' ? { mode: way, rounds, listen } : { mode: way };
  return plan ? { ...chain, plan } : chain;
}

/** Returns the settings from the form, for sound or for text. */
function sampling(mode, { temperature, topK, guidance, seconds }, model) {
  const steps = seconds === null ? null : Math.ceil(seconds * model.ualm.steps_per_second[mode === 'speak' ? 'speech' : 'audio']);
  const ofSound = makesSound(mode) ? { guidance, max_steps: steps } : {};
  const given = Object.entries({ temperature, top_k: topK, ...ofSound }).filter(([, value]) => value !== null);
  return { [makesSound(mode) ? 'audio' : 'text']: Object.fromEntries(given) };
}
