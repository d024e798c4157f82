export * from './codec.js';
export * from './config.js';
export * from './core.js';
export * from './members.js';
export * from './messages.js';
export * from './protocol.js';
export * from './types.js';
