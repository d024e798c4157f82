export { sdfsModule } from './module.js';
export * from './types.js';
