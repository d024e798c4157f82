export * from './assert.js';
export * from './errors.js';
export * from './ids.js';
export * from './runtime.js';
export * from './config-types.js';
