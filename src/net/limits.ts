/**
 * Bounds of the network code: what each protects, and what happens there. The sum of what one
 * connection may make us hold is a few hundred MiB at worst, and only for an authenticated peer.
 */
import { KIB, MIB } from '../base/index.js';

/** Version of the messages within frames; both ends must speak the same. */
export const PROTOCOL_VERSION = 1;

/** A greeting is small; before it, a stranger can make us hold no more. Beyond: closed. */
export const HELLO_BYTES_MAX = 4 * KIB;

/** From accepting to the greeting, and from the greeting to its answer. Beyond: closed. */
export const HANDSHAKE_TIMEOUT_MS = 5000;

/** Accepted connections without a greeting so far. Beyond: closed at once. */
export const HANDSHAKES_MAX = 256;

/** Accepted connections in all: a node's peers on each lane, and clients. Beyond: closed. */
export const CONNECTIONS_MAX = 4096;

/** Calls of one peer being handled, on one connection; long polls count. Beyond: BUSY. */
export const INCOMING_CALLS_MAX = 1024;

/** Our unanswered calls on one connection. Beyond: BUSY at once, without sending. */
export const OUTGOING_CALLS_MAX = 4096;

/** Bodies being received at once on one connection. Beyond: BUSY. */
export const INCOMING_STREAMS_MAX = 256;

/** Longer bodies are streamed; shorter ones travel in the frame of the call or answer. */
export const INLINE_BODY_BYTES_MAX = 64 * KIB;

/** One frame of a streamed body: short enough for others to get their turn in between. */
export const STREAM_CHUNK_BYTES = 256 * KIB;

/** What a sender may send of a body before the receiver has said more. */
export const INITIAL_WINDOW_BYTES = 256 * KIB;

/** What a receiver lets one sender be ahead of its reader: a round trip at 10 Gbit/s and 3 ms. */
export const WINDOW_BYTES_MAX = 4 * MIB;

/** Shared by all bodies being received on one connection, beyond an initial window each. */
export const WINDOW_BUDGET_BYTES = 64 * MIB;

/** Unsent bytes above which new calls are BUSY, notices are dropped and answers wait. */
export const UNSENT_BYTES_BUSY = 8 * MIB;

/** Unsent bytes above which a peer counts as not reading at all. Beyond: closed. */
export const UNSENT_BYTES_MAX = 64 * MIB;

/** How long a peer may take none of what waits for it. Beyond: closed. */
export const STALL_TIMEOUT_MS = 30_000;

/** How long a doubted connection may stay without any sign of life. */
export const PROBE_TIMEOUT_MS = 2000;

/** To read what may have come while we slept ourselves. */
export const PROBE_GRACE_MS = 100;

/** A hint for those who got BUSY. */
export const RETRY_AFTER_MS = 50;
