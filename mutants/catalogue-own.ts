/** Mistakes of our own making. */
import { beside, core } from './kinds.js';
import type { Mutation } from './types.js';

export const OWN: readonly Mutation[] = [
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
  core(
    'X27',
    'a voter is removed though the others do not answer',
    {
      file: 'raft/reconfigure.ts',
      find: 'switch (resultOfRemoval(state, voters, has)) {',
      put: "switch ('won' as VoteResult) {",
    },
    'raft/reconfigure',
  ),
  core(
    'X28',
    'who stays is not asked again when the newcomers have caught up',
    {
      file: 'raft/reconfigure.ts',
      find: "if (resultOfRemoval(state, conf.next, has) !== 'won') return;",
      put: 'void has;',
    },
    'raft/reconfigure',
  ),
  core(
    'X29',
    'a voter that had no time to answer counts as one that did',
    {
      file: 'raft/reconfigure.ts',
      find: 'if (progress.answeredAt >= since) return true;',
      put: 'if (progress.activeAt >= since) return true;',
    },
    'raft/reconfigure',
  ),
];
