export * from './chaos.js';
export * from './cluster.js';
export * from './measure.js';
export * from './study.js';
