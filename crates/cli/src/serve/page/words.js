// What things are called.

import { isTake } from './reply.js';

const MODES = { generate: 'Generate', reason: 'Reason', speak: 'Speak', ask: 'Ask', transcribe: 'Transcribe' };
const WAYS = { enrich: 'plan, then make', dialogue: 'ask first', reflect: 'draft, criticise, make again' };
const ENDS = {
  limit: 'cut at its limit',
  context: 'cut, as the model’s context is full',
  cancelled: 'stopped',
  failed: 'cut, as the model failed',
};

/** What was wished, in a word or two. */
export function modeName({ mode, settings }) {
  return mode === 'reason' ? `${MODES[mode]}: ${WAYS[settings.way]}` : MODES[mode];
}

/** The prompt of a reply, or what stands for it. */
export function titleOf({ mode, prompt, sound }) {
  return mode === 'transcribe' ? sound.name : prompt || 'What is heard?';
}

/** What `segment` of a reply to `wish` is called. */
export function segmentName(segment, { mode, settings }) {
  const { stage, modality, take } = segment;
  const plain = { audio: 'Sound', speech: 'Speech', text: mode === 'transcribe' ? 'Transcript' : 'Answer' };
  const name = stage ? stage[0].toUpperCase() + stage.slice(1) : plain[modality];
  return settings.takes > 1 && isTake(segment) ? `${name}, take ${take + 1}` : name;
}

/** What there is to know of `segment` in a line. */
export function segmentFacts(segment, ranking) {
  const { end, seconds, seed, sound, modality, take } = segment;
  const facts = [];
  if (modality !== 'text' && end) facts.push(`${(seconds ?? sound?.seconds ?? 0).toFixed(1)} s`);
  if (modality !== 'text' && seed !== undefined) facts.push(`seed ${seed}`);
  if (ENDS[end]) facts.push(ENDS[end]);
  const place = isTake(segment) ? ranking.findIndex((ranked) => ranked.take === take) : -1;
  if (place >= 0) {
    const { caption, score } = ranking[place];
    facts.push(`heard as “${caption}”, ${Math.round(100 * score.total)} %${place === 0 ? ', the best' : ''}`);
  }
  return facts.join(' · ');
}

/** What is being done for a reply, or how it ended. */
export function stateName({ state, segments, seed, wish }) {
  if (state === 'stopped') return 'Stopped. What was made is here.';
  if (state === 'left') return 'The page was closed while this was made.';
  if (state === 'failed') return '';
  if (state === 'done') return seed === null ? 'Done' : `Done, seed ${seed}`;
  const last = segments.findLast((segment) => !segment.end && segment.stage !== 'answer');
  return last ? `${segmentName(last, wish)} is being made …` : 'The model reads …';
}
