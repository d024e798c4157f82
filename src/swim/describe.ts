/**
 * One stable line of text per packet, claim and change: for traces, golden scripts and logs. The
 * form is part of the golden files in test/swim/scripts; change both together.
 */
import { assertNever } from '../base/index.js';
import type { MemberRecord, Message, Packet, Sender } from './messages.js';
import type { Member, MemberState } from './types.js';

/** `n2/1 i3`: name, boot epoch, incarnation. */
export function describeSender(sender: Sender): string {
  const role = sender.isObserver ? ' (observer)' : '';
  return `${sender.name}/${sender.epoch} i${sender.incarnation}${role}`;
}

/** `n2/1 i3 suspicious 120ms of 1000ms by n1`. */
export function describeRecord(record: MemberRecord): string {
  const parts = [`${record.name}/${record.epoch} i${record.incarnation} ${record.state}`];
  if (record.state !== 'active') parts.push(`${Math.round(record.ageMs)}ms`);
  if (record.state === 'suspicious') {
    parts.push(`of ${Math.round(record.holdMs ?? 0)}ms by ${record.accuser}`);
  }
  if (record.stalledMs > 0) parts.push(`stalled ${Math.round(record.stalledMs)}ms`);
  return parts.join(' ');
}

export function describeMessage(message: Message): string {
  switch (message.type) {
    case 'ping': {
      const epoch = message.targetEpoch === 0 ? '' : `/${message.targetEpoch}`;
      return `ping #${message.seq} ${message.target}${epoch}${message.introduce ? ' hello' : ''}`;
    }
    case 'ping-req':
      return `ping-req #${message.seq} ${message.target}/${message.targetEpoch}`;
    case 'indirect-ack':
      return `indirect-ack #${message.seq} ${describeSender(message.target)}`;
    case 'ack':
    case 'nack':
    case 'misdirected':
      return `${message.type} #${message.seq}`;
    case 'gossip':
    case 'sync-push':
      return message.type;
    case 'sync':
      return `sync ${message.hashes.length / 2} buckets`;
    case 'sync-reply':
      return `sync-reply ${message.buckets.length} of ${message.bucketCount} buckets`;
    default:
      return assertNever(message, 'message');
  }
}

/** The message, then its rumours in brackets. */
export function describePacket(packet: Packet): string {
  const rumours = packet.rumours.map(describeRecord).join(', ');
  return describeMessage(packet.message) + (rumours === '' ? '' : ` [${rumours}]`);
}

/** `n2/1 active → suspicious i1`. */
export function describeChange(member: Member, before: MemberState | undefined): string {
  const stalled = member.stalledMs > 0 ? ' stalled' : '';
  const identity = `${member.name}/${member.bootEpoch}`;
  return `${identity} ${before ?? 'unknown'} → ${member.state} i${member.incarnation}${stalled}`;
}
