/** The reference part of docs/cli.md, rendered from the commands themselves. A test compares. */
import type { ArgumentSpec, CommandSpec } from './types.js';

/** Markdown: one section per noun, one entry per command. */
export function renderReference(
  commands: readonly CommandSpec[],
  nouns: Readonly<Record<string, string>>,
): string {
  const sections = [renderSection('The cluster', commands, undefined)];
  for (const [noun, about] of Object.entries(nouns)) {
    sections.push(renderSection(`\`${noun}\`: ${about}`, commands, noun));
  }
  return sections.join('\n');
}

function renderSection(
  title: string,
  commands: readonly CommandSpec[],
  noun: string | undefined,
): string {
  const own = commands.filter((command) => command.noun === noun);
  return `### ${title}\n\n${own.map(renderCommand).join('\n')}`;
}

function renderCommand(command: CommandSpec): string {
  const words = ['idunno', command.noun, command.verb, ...(command.args ?? []).map(renderArgument)];
  const usage = words.filter((word) => word !== undefined).join(' ');
  const lines = [`**\`${usage}\`**: ${command.summary}.`];
  if (command.details !== undefined) lines.push('', '```text', command.details, '```');
  for (const option of command.options ?? []) {
    const standard = typeof option.default === 'string' ? ` (default ${option.default})` : '';
    lines.push(`- \`${option.flags}\` ${option.help}${standard}`);
  }
  return `${lines.join('\n')}\n`;
}

function renderArgument({ name, optional, variadic }: ArgumentSpec): string {
  const shown = variadic === true ? `${name}...` : name;
  return optional === true ? `[${shown}]` : `<${shown}>`;
}
