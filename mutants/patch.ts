/**
 * Applies a mutation to the text of its source files. Refuses what does not fit exactly, and what
 * is no TypeScript afterwards: a mutant that does not even compile proves nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import type { Edit, Mutation } from './types.js';

export interface PatchedFile {
  /** Under `src`, as in the mutation. */
  readonly file: string;
  readonly javascript: string;
}

/** A mutation that cannot be made: the code moved, or the patch is no code. */
export class PatchError extends Error {
  constructor(mutation: Pick<Mutation, 'id'>, message: string) {
    super(`${mutation.id}: ${message}`);
    this.name = 'PatchError';
  }
}

/** `root` is the checkout. Throws PatchError. */
export function patch(root: string, mutation: Mutation): readonly PatchedFile[] {
  const texts = new Map<string, string>();
  for (const edit of mutation.edits) {
    const before = texts.get(edit.file) ?? readFileSync(join(root, 'src', edit.file), 'utf8');
    texts.set(edit.file, applyEdit(mutation, before, edit));
  }
  return [...texts].map(([file, text]) => ({ file, javascript: compile(mutation, file, text) }));
}

function applyEdit(mutation: Mutation, text: string, { file, find, put }: Edit): string {
  const parts = text.split(find);
  if (parts.length !== 2) {
    throw new PatchError(
      mutation,
      `src/${file} contains ${parts.length - 1} times, not once: ${JSON.stringify(find)}`,
    );
  }
  return parts.join(put);
}

/** As the build does it, one file at a time: types are not checked, syntax is. */
function compile(mutation: Mutation, file: string, text: string): string {
  const { outputText, diagnostics = [] } = ts.transpileModule(text, {
    fileName: file,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  });
  const [first] = diagnostics;
  if (first === undefined) return outputText;
  const message = ts.flattenDiagnosticMessageText(first.messageText, ' ');
  throw new PatchError(mutation, `src/${file} does not compile afterwards: ${message}`);
}
