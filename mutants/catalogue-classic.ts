/** Mistakes that were found in real systems or are named by the papers. */
import { beside, core } from './kinds.js';
import type { Mutation } from './types.js';

export const CLASSIC: readonly Mutation[] = [
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
];
