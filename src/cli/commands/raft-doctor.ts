/** `idunno raft doctor`: the data folder of a node that does not run, explained. */
import { IdunnoError } from '../../base/index.js';
import type { CommandSpec } from '../types.js';

export const RAFT_DOCTOR: CommandSpec = {
  noun: 'raft',
  verb: 'doctor',
  summary: "check a stopped node's data folder and explain it; changes nothing",
  details:
    'Exit code 0: all is sound. 1: something is damaged; the text says what it means and what to do.',
  args: [{ name: 'node', help: 'its name in the config file' }],
  options: [
    {
      flags: '--data <folder>',
      help: "look for the nodes' data below this folder, instead of where the file says",
    },
  ],
  async run(context) {
    const config = await context.config(context.option('data'));
    const name = context.arg('node');
    const node = config.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) {
      const names = config.nodes.map((candidate) => candidate.name).join(', ');
      throw new IdunnoError('NODE_NOT_FOUND', `${config.path} names no node "${name}": ${names}`);
    }
    // It opens databases: no other command should load them.
    const { diagnose } = await import('../../node/index.js');
    const diagnosis = await diagnose(node);
    if (context.out.format === 'json') context.out.item('doctor', diagnosis, []);
    else {
      context.out.line(`${diagnosis.node}: ${diagnosis.folder}`);
      for (const { part, isSound, says, means, next } of diagnosis.findings) {
        context.out.line(`${isSound ? 'ok     ' : 'DAMAGED'} ${part}: ${says}`);
        if (means !== '') context.out.line(`        means: ${means}`);
        if (next !== '') context.out.line(`        next: ${next}`);
      }
    }
    if (diagnosis.isSound) return;
    const broken = diagnosis.findings.filter(({ isSound }) => !isSound);
    const parts = broken.map(({ part }) => part).join(' and ');
    throw new IdunnoError('CORRUPT', `${parts} of ${name} are damaged: ${diagnosis.folder}`, {
      path: diagnosis.folder,
    });
  },
};
