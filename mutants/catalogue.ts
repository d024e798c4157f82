/**
 * The mistakes. M1 to M20 are classic ones, found in real systems or named by the papers; the
 * others are ours. Each is a few characters that a tired person could write, in a place where it
 * matters. Code that moves takes its mutation with it: a test checks that every one still fits.
 */
import type { Edit, Mutation } from './types.js';

/** In the consensus core: the simulator runs it. */
function core(id: string, mistake: string, edit: Edit | Edit[], ...tests: string[]): Mutation {
  return { id, mistake, edits: [edit].flat(), tests, isSimulated: true };
}

/** In a driver, a store or the state machine: named tests have to notice. */
function beside(id: string, mistake: string, edit: Edit | Edit[], ...tests: string[]): Mutation {
  return { id, mistake, edits: [edit].flat(), tests, isSimulated: false };
}

export const CATALOGUE: readonly Mutation[] = [
  core(
    'M1',
    'earlier-term entries are committed by counting',
    {
      file: 'raft/replication.ts',
      find: 'if (index <= state.commit || state.log.term(index) !== state.term) return false;',
      put: 'if (index <= state.commit) return false;',
    },
    'raft/paper/safety',
    'raft/scripts',
  ),
  core(
    'M2',
    'a vote is not written to the disk',
    {
      file: 'raft/state.ts',
      find: '{ hardState: { term: this.term, vote: this.vote } }',
      put: '{ hardState: { term: this.term, vote: undefined } }',
    },
    'raft/paper/elections',
  ),
  core(
    'M3',
    'entries are acknowledged before they are on disk',
    {
      file: 'raft/follower.ts',
      find: 'else state.sendDurable(to, reply);',
      put: 'else state.send(to, reply);',
    },
    'raft/paper/safety',
  ),
  core(
    'M4',
    'a follower truncates without a conflict',
    { file: 'raft/follower.ts', find: 'if (ours === entry.term) continue;', put: '' },
    'raft/paper/replication',
    'raft/scripts',
  ),
  core(
    'M5',
    'a follower commits whatever the leader says',
    {
      file: 'raft/follower.ts',
      find: 'state.commitTo(Math.min(leaderCommit, state.verified));',
      put: 'state.commitTo(Math.min(leaderCommit, state.log.lastIndex));',
    },
    'raft/paper/replication',
    'raft/scripts',
  ),
  core(
    'M6',
    'votes compare the index only',
    {
      file: 'raft/log.ts',
      find: 'if (lastTerm !== this.lastTerm) return lastTerm > this.lastTerm;',
      put: '',
    },
    'raft/log',
    'raft/paper/safety',
  ),
  beside(
    'M7',
    'a request that is tried again takes effect again',
    {
      file: 'store/executor.ts',
      find: "if (admission.kind === 'answered') return admission.outcome;",
      put: "if (admission.kind === 'answered') return this.#execute(request, context, changes).outcome;",
    },
    'store/sessions',
  ),
  core(
    'M8',
    'a new leader writes no no-op',
    {
      file: 'raft/roles.ts',
      find:
        "  const noop = appendOwn(state, leading, 'noop', 0, new Uint8Array(0));\n" +
        '  leading.uncommittedBytes += entryBytes(noop);\n',
      put: '',
    },
    'raft/paper/safety',
    'raft/scripts',
  ),
  core(
    'M9',
    'a read trusts answers that are merely recent',
    {
      file: 'raft/replication.ts',
      find: 'Math.max(progress.readAck, Math.min(reply.read, leading.reads.number));',
      put: 'leading.reads.number;',
    },
    'raft/paper/clients',
    'raft/scripts',
  ),
  beside(
    'M10',
    'a lease runs out on the leader alone, beside the log',
    {
      file: 'idunno/leading-term.ts',
      find: "void this.#deps.local.propose('idunno.lease.release', args, options).catch(() => undefined);",
      put: 'void [args, options];',
    },
    'idunno/world',
  ),
  beside(
    'M11',
    'the applied index is not written with what was applied',
    {
      file: 'store/state-machine.ts',
      find: '    this.#world.sessions.flush();\n    writePosition(this.#world);\n',
      put:
        '    this.#world.sessions.flush();\n' +
        '    queueMicrotask(() => writePosition(this.#world));\n',
    },
    'store/state-machine',
  ),
  core(
    'M12',
    'one vote too few is a quorum',
    {
      file: 'raft/quorum.ts',
      find: 'return Math.floor(voterCount / 2) + 1;',
      put: 'return Math.max(1, Math.floor(voterCount / 2));',
    },
    'raft/quorum',
    'raft/paper/elections',
  ),
  core(
    'M13',
    'members are changed before the leader has committed in its own term',
    [
      {
        file: 'raft/reconfigure.ts',
        find:
          '  if (state.commit < leading.firstIndex) {\n' +
          "    return { reason: 'not-ready', why: 'this term has committed nothing yet' };\n" +
          '  }\n',
        put: '',
      },
      {
        file: 'raft/reconfigure.ts',
        find: 'if (state.commit < leading.firstIndex || !state.isConfCommitted) return;',
        put: 'if (!state.isConfCommitted) return;',
      },
    ],
    'raft/scripts',
  ),
  beside(
    'M14',
    'the checksum of a log entry is not looked at',
    {
      file: 'raft/log-record.ts',
      find: 'if (crc32c(record.subarray(CHECKSUM_BYTES)) !== record.readUInt32BE(0)) {',
      put: 'if (record.length === 0) {',
    },
    'raft/log-store',
  ),
  beside(
    'M15',
    'a snapshot is sent without the session table',
    {
      file: 'store/state-machine.ts',
      find: 'open: () => encodeSnapshot({ index, term }, image.scan()),',
      put:
        'open: () => encodeSnapshot({ index, term }, (async function* () {\n' +
        '  for await (const row of image.scan()) if (row[0].charCodeAt(0) !== 1) yield row;\n' +
        '})()),',
    },
    'store/state-machine',
  ),
  beside(
    'M16',
    'a wiped node comes back as its old self',
    { file: 'raft/first-boot.ts', find: '    if (isFounded) return false;\n', put: '' },
    'raft/driver',
  ),
  core(
    'M17',
    'a read is answered without a confirmed quorum',
    {
      file: 'raft/read-index.ts',
      find: '(progress.get(voter)?.readAck ?? 0)',
      put: 'reads.number',
    },
    'raft/paper/clients',
    'raft/scripts',
  ),
  core(
    'M18',
    'a transfer never ends',
    {
      file: 'raft/transfer.ts',
      find: 'if (leading.transfer === undefined || state.now < leading.transfer.deadline) return;',
      put: 'if (leading.transfer === undefined || leading.transfer.deadline > 0) return;',
    },
    'raft/paper/clients',
    'raft/scripts',
  ),
  core(
    'M19',
    'the leader counts itself before its disk',
    {
      file: 'raft/replication.ts',
      find: 'voter === state.self ? state.log.stable :',
      put: 'voter === state.self ? state.log.lastIndex :',
    },
    'raft/paper/safety',
  ),
  core(
    'M20',
    'the log forgets what the state machine has not made durable',
    {
      file: 'raft/raft.ts',
      find: 'const { log, limits, appliedDurable } = state;',
      put: 'const { log, limits, applied: appliedDurable } = state;',
    },
    'raft/paper/clients',
  ),
  core(
    'X1',
    "a read before the term's first commit",
    {
      file: 'raft/raft.ts',
      find: 'if (state.commit < leading.firstIndex) {',
      put: 'if (state.commit < 0) {',
    },
    'raft/paper/clients',
    'raft/scripts',
  ),
  core(
    'X2',
    'a message reveals a term that is not on disk yet',
    {
      file: 'raft/state.ts',
      find: "if (this.durableTerm === this.term) this.emit({ kind: 'send', to, message });",
      put: "if (this.term > 0) this.emit({ kind: 'send', to, message });",
    },
    'raft/paper/safety',
  ),
  core(
    'X3',
    'lost appends are not sent again',
    {
      file: 'raft/replication.ts',
      find: 'if (!progress.isOverdue(state.now, state.timing.heartbeatMs)) return;',
      put: 'if (progress.inflightCount > 0) return;',
    },
    'raft/core',
    'raft/scripts',
  ),
  core(
    'X4',
    'completions of an earlier term count',
    { file: 'raft/raft.ts', find: 'if (hardTerm !== state.term) return;', put: '' },
    'raft/scripts',
  ),
  core(
    'X5',
    'a node that may have lost entries votes all the same',
    {
      file: 'raft/election.ts',
      find: 'return !state.isSuspect;',
      put: 'return state.term > 0;',
    },
    'raft/core',
    'raft/scripts',
  ),
  core(
    'X6',
    'such a node is trusted when it has committed an entry of the term, whatever it lost above',
    {
      file: 'raft/suspicion.ts',
      find:
        '  if (!state.isSuspect || goal === undefined) return;\n' +
        '  if (state.commit < goal || state.log.stable < goal) return;\n',
      put:
        '  if (!state.isSuspect || state.log.stable < state.commit) return;\n' +
        '  if (state.log.term(state.commit) !== state.term) return;\n',
    },
    'raft/core',
    'raft/scripts',
  ),
  core(
    'X7',
    'requests for votes are answered although a leader lives',
    {
      file: 'raft/raft.ts',
      find: 'if (hasLiveLeader(state) && !message.transfer) {',
      put: 'if (false) {',
    },
    'raft/paper/elections',
    'raft/scripts',
  ),
  core(
    'X8',
    'a leader takes proposals while it hands over',
    {
      file: 'raft/raft.ts',
      find: "if (leading.transfer !== undefined || isLeaving(state)) return 'transferring';",
      put: "if (isLeaving(state)) return 'transferring';",
    },
    'raft/paper/clients',
    'raft/scripts',
  ),
  core(
    'X9',
    'a leader stays that no quorum answers',
    {
      file: 'raft/replication.ts',
      find: "if (!isQuorumActive(state, leading)) return 'no quorum answers';",
      put: '',
    },
    'raft/paper/clients',
    'raft/scripts',
  ),
  core(
    'X10',
    'an older snapshot replaces what is newer',
    {
      file: 'raft/follower.ts',
      find: '  if (meta.index <= state.commit) {\n    accept(state, from, state.commit);',
      put: '  if (meta.index < 0) {\n    accept(state, from, state.commit);',
    },
    'raft/paper/clients',
  ),
  core(
    'X11',
    "entries are applied before the node's own disk has them",
    {
      file: 'raft/state.ts',
      find: 'const end = Math.min(this.commit, this.log.stable, window);',
      put: 'const end = Math.min(this.commit, window);',
    },
    'raft/paper/replication',
  ),
  core(
    'X12',
    'a leader whose disk is stuck goes on',
    {
      file: 'raft/replication.ts',
      find: "if (isDiskStalled(state, leading)) return 'the disk is stuck';",
      put: '',
    },
    'raft/core',
  ),
  beside(
    'X13',
    'the watermark is not compared with the log',
    {
      file: 'raft/recovery.ts',
      find: 'if (scan.summary.seq >= seq && hardState.term >= term && !isVoteLost) return undefined;',
      put: 'if (scan.summary.seq >= 0) return undefined;',
    },
    'raft/log-store',
  ),
  beside(
    'X14',
    'a gap in the log is not noticed at boot',
    {
      file: 'raft/log-scan.ts',
      find: 'if (found !== index + 1) return',
      put: 'if (found <= index) return',
    },
    'raft/log-store',
  ),
  beside(
    'X15',
    'the checksum of a snapshot is not looked at',
    {
      file: 'store/snapshot-stream.ts',
      find: "if (!hash.digest().equals(trailer.subarray(8))) throw corrupt('its checksum does not match');",
      put: '',
    },
    'store/state-machine',
  ),
  beside(
    'X16',
    'sessions are evicted by number instead of by use',
    {
      file: 'store/sessions.ts',
      find: '    this.#byId.delete(id);\n    this.#byId.set(id, session);\n    this.#dirty.add(id);',
      put: '    this.#dirty.add(id);',
    },
    'store/sessions',
  ),
  beside(
    'X17',
    'a result is accepted twice',
    {
      file: 'idunno/task-machine.ts',
      find: "if (task.state === 'Success' || task.state === 'Dead') return 'already';",
      put: '',
    },
    'idunno/commands',
  ),
  core(
    'X18',
    'a node that may have lost entries is trusted before it has what the leader has',
    {
      file: 'raft/suspicion.ts',
      find: 'if (state.commit < goal || state.log.stable < goal) return;',
      put: '',
    },
    'raft/core',
    'raft/scripts',
  ),
  core(
    'X19',
    'a vote leaves before it is on disk',
    {
      file: 'raft/election.ts',
      find: "state.sendDurable(from, { type: 'vote-reply', term: state.term, granted: true });",
      put: "state.send(from, { type: 'vote-reply', term: state.term, granted: true });",
    },
    'raft/paper/elections',
    'raft/paper/safety',
  ),
  core(
    'X20',
    'while members change, the new majority commits alone',
    {
      file: 'raft/quorum.ts',
      find:
        'conf.outgoing.length === 0 ? Number.POSITIVE_INFINITY : ' +
        'majorityValue(conf.outgoing, reachedBy)',
      put: 'Number.POSITIVE_INFINITY',
    },
    'raft/quorum',
  ),
  core(
    'X21',
    'while members change, the new majority elects alone',
    {
      file: 'raft/quorum.ts',
      find: 'if (conf.outgoing.length === 0) return incoming;',
      put: 'if (conf.voters.length > 0) return incoming;',
    },
    'raft/quorum',
  ),
  core(
    'X22',
    'a second change of members begins before the first is committed',
    {
      file: 'raft/reconfigure.ts',
      find: 'if (!state.isConfCommitted || isJoint(conf)) {',
      put: 'if (isJoint(conf)) {',
    },
    'raft/scripts',
  ),
  core(
    'X23',
    'the joint configuration is left before it is committed',
    {
      file: 'raft/reconfigure.ts',
      find: 'if (state.commit < leading.firstIndex || !state.isConfCommitted) return;',
      put: 'if (state.commit < leading.firstIndex) return;',
    },
    'raft/scripts',
  ),
  core(
    'X24',
    'a leader that was removed goes on leading',
    { file: 'raft/reconfigure.ts', find: '    maybeLeave(state, leading);\n', put: '' },
    'raft/scripts',
  ),
  core(
    'X25',
    'a new voter votes before it has caught up',
    {
      file: 'raft/reconfigure.ts',
      find: '!conf.voters.includes(name) && !hasCaughtUp(state, leading, name)',
      put: 'name.length === 0',
    },
    'raft/scripts',
  ),
  beside(
    'X26',
    'a suspect node is trusted when it starts once more',
    {
      file: 'raft/recovery.ts',
      find: 'const reason = problem ?? note?.reason;',
      put: 'const reason = problem;',
    },
    'raft/log-store',
  ),
];
