// Names and labels.

import { isTake } from './reply.js';

const MODES = { generate: 'Generate', reason: 'Reason', speak: 'Speak', ask: 'Ask', transcribe: 'Transcribe' };
const WAYS = { enrich: 'plan, then make', dialogue: 'ask first', reflect: 'draft, criticise, revise' };
const ENDS = {
  limit: 'cut off at the limit',
  context: 'cut off: the model’s context is full',
  cancelled: 'stopped',
  failed: 'cut off: the model failed',
};

/** Returns a short name of the request. */
export function modeName({ mode, settings }) {
  return mode === 'reason' ? `${MODES[mode]}: ${WAYS[settings.way]}` : MODES[mode];
}

/** Returns the title of a reply. */
export function titleOf({ mode, prompt, sound }) {
  return mode === 'transcribe' ? sound.name : prompt || 'What is heard?';
}

/** Returns the name of `segment` in a reply to `wish`. */
export function segmentName(segment, { mode, settings }) {
  const { stage, modality, take } = segment;
  const plain = { audio: 'Sound', speech: 'Speech', text: mode === 'transcribe' ? 'Transcript' : 'Answer' };
  const name = stage ? stage[0].toUpperCase() + stage.slice(1) : plain[modality];
  return settings.takes > 1 && isTake(segment) ? `${name}, take ${take + 1}` : name;
}

/** Returns the facts about `segment` in a line. */
export function segmentFacts(segment, ranking) {
  const { end, seconds, seed, sound, modality, take } = segment;
  const facts = [];
  if (modality !== 'text' && end) facts.push(`${(seconds ?? sound?.seconds ?? 0).toFixed(1)} s`);
  if (modality !== 'text' && seed !== undefined) facts.push(`seed ${seed}`);
  if (ENDS[end]) facts.push(ENDS[end]);
  const rank = isTake(segment) ? ranking.findIndex((ranked) => ranked.take === take) : -1;
  if (rank >= 0) {
    const { caption, score } = ranking[rank];
    facts.push(`heard as “${caption}”, ${Math.round(100 * score.total)} %${rank === 0 ? ', the best' : ''}`);
  }
  return facts.join(' · ');
}

/** Returns the state of a reply in words. */
export function stateName({ state, segments, seed, wish }) {
  if (state === 'stopped') return 'Stopped. The reply is incomplete.';
  if (state === 'left') return 'The page was closed before the reply was complete.';
  if (state === 'failed') return '';
  if (state === 'done') return seed === null ? 'Done' : `Done, seed ${seed}`;
  const last = segments.findLast((segment) => !segment.end && segment.stage !== 'answer');
  return last ? `${segmentName(last, wish)} is being made …` : 'The model is reading …';
}
