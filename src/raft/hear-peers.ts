/**
 * What a coordinator hears from the others by itself, as inputs of the core: their Raft messages,
 * and that they came or went. A message that cannot be read is dropped and named in the log.
 */
import { isIdunnoError, type Logger, nodeId } from '../base/index.js';
import type { Peer, Rpc } from '../net/index.js';
import type { TimelessInput } from './core-loop.js';
import { decodeMessage, RAFT_NOTICE } from './wire.js';

export interface HearPeersParts {
  readonly rpc: Rpc;
  readonly log: Logger;
}

export function hearPeers(
  { rpc, log }: HearPeersParts,
  feed: (input: TimelessInput) => void,
): void {
  const onPeer = (kind: 'peer-up' | 'peer-down', peer: Peer): void => {
    if (peer.kind === 'node') feed({ kind, peer: nodeId(peer.name) });
  };
  rpc.handleNotice(RAFT_NOTICE, (args, body, peer) => {
    if (peer.kind !== 'node') return;
    try {
      feed({ kind: 'message', from: nodeId(peer.name), message: decodeMessage(args, body) });
    } catch (error) {
      if (!isIdunnoError(error)) throw error;
      log.warn('raft.bad-message', { from: peer.name, error });
    }
  });
  rpc.onPeer({
    up: (peer) => onPeer('peer-up', peer),
    down: (peer, reason) => {
      // A closed connection alone proves nothing: it may be reopened at once.
      if (reason !== 'closed') onPeer('peer-down', peer);
    },
  });
}
