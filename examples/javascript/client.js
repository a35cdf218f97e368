// The client of these examples: connects to `ualm serve` on this machine, or to UALM_ADDRESS with UALM_KEY.

import OpenAI from 'openai';

export const client = new OpenAI({
  baseURL: `${process.env.UALM_ADDRESS ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.UALM_KEY ?? 'none',
  maxRetries: 2, // the client waits for the server's Retry-After
});

/** The name of the server's model. */
export const model = (await client.models.list()).data[0].id;
