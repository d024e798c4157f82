#!/usr/bin/env -S UV_THREADPOOL_SIZE=16 node
// The `idunno` command: runs the compiled program, or says how to compile it.
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write('error: idunno is not compiled yet\n  next: run "npm run build" first\n');
  process.exitCode = 2;
}
