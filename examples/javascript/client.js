// The server of these examples: `ualm serve`, or what UALM_ADDRESS and UALM_KEY name.

import OpenAI from 'openai';

export const client = new OpenAI({
  baseURL: `${process.env.UALM_ADDRESS ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.UALM_KEY ?? 'none',
  maxRetries: 2, // the client waits as long as a busy server asks it to
});

/** The name of the model that the server has loaded. */
export const model = (await client.models.list()).data[0].id;
