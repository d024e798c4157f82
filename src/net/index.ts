export * from './codec.js';
export * from './memory-network.js';
export * from './real-network.js';
export * from './types.js';
