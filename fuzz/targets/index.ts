/** All targets, in the order in which `all` runs them. */
import type { FuzzTarget } from '../types.js';
import { commands } from './commands.js';
import { config } from './config.js';
import { frames } from './frames.js';
import { handshake } from './handshake.js';
import { images } from './images.js';
import { logDamage } from './log-damage.js';
import { logRecords } from './log-records.js';
import { modelYaml } from './model-yaml.js';
import { patterns } from './patterns.js';
import { raftMessages } from './raft-messages.js';
import { shell } from './shell.js';
import { streams } from './streams.js';
import { swimPackets } from './swim-packets.js';
import { values } from './values.js';

export const TARGETS: readonly FuzzTarget[] = [
  values,
  frames,
  handshake,
  swimPackets,
  raftMessages,
  logRecords,
  logDamage,
  streams,
  commands,
  config,
  modelYaml,
  patterns,
  images,
  shell,
];
