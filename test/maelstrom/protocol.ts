/**
 * The Maelstrom protocol: one JSON object per line, `{src, dest, body: {type, msg_id?,
 * in_reply_to?, …}}`, and what of its `lin-kv` workload a node must answer. Lines come from outside:
 * they are parsed or refused.
 */

/** A JSON value; Maelstrom's keys and values are numbers, but any value will do. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [k: string]: Json };

export interface Envelope {
  readonly src: string;
  readonly dest: string;
  readonly body: Body;
}

export interface Body {
  readonly type: string;
  readonly msg_id?: number;
  readonly in_reply_to?: number;
  readonly [field: string]: Json | undefined;
}

/** Error codes of the protocol that this node uses. All but the first are definite: nothing done. */
export const ERRORS = {
  /** Indefinite: it may still take effect. */
  timeout: 0,
  notSupported: 10,
  temporarilyUnavailable: 11,
  malformedRequest: 12,
  keyDoesNotExist: 20,
  preconditionFailed: 22,
} as const;

/** What a client asks of the register `key`. */
export type Operation =
  | { readonly type: 'read'; readonly key: Json }
  | { readonly type: 'write'; readonly key: Json; readonly value: Json }
  | {
      readonly type: 'cas';
      readonly key: Json;
      readonly from: Json;
      readonly to: Json;
      readonly isCreating: boolean;
    };

/** Undefined for what is no message; Maelstrom never sends that, and a test may. */
export function parseEnvelope(line: string): Envelope | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(value) || typeof value['src'] !== 'string') return undefined;
  const { src, dest, body } = value;
  if (typeof dest !== 'string' || !isObject(body) || typeof body['type'] !== 'string') {
    return undefined;
  }
  return { src, dest, body: body as Body };
}

/** Undefined where a field is missing. */
export function parseOperation(body: Body): Operation | undefined {
  const { type, key, value, from, to } = body;
  if (key === undefined) return undefined;
  switch (type) {
    case 'read':
      return { type, key };
    case 'write':
      return value === undefined ? undefined : { type, key, value };
    case 'cas': {
      if (from === undefined || to === undefined) return undefined;
      return { type, key, from, to, isCreating: body['create_if_not_exists'] === true };
    }
    default:
      return undefined;
  }
}

export function errorBody(code: number, text: string): Body {
  return { type: 'error', code, text };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
