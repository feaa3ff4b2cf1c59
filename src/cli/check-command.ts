/**
 * `thaw check`.
 */
import type { Command } from 'commander';
import pc from 'picocolors';
import { checkMachine, type MachineFinding } from '../restore/machine-check.js';
import { EXIT } from './exit-status.js';
import { wrap } from './text.js';

const FACT_INDENT = ' '.repeat(9);
const ADVICE_INDENT = ' '.repeat(11);

/** Adds the command to `program`; its exit status goes to process.exitCode. */
export function addCheckCommand(program: Command): void {
  program
    .command('check')
    .description('say whether this machine can restore lazily, and what to do where it cannot')
    .option('--json', 'print one JSON object instead of text')
    .action(({ json }: { json?: true }) => {
      const report = checkMachine();
      process.exitCode = report.ok ? EXIT.ok : EXIT.failed;
      if (json) {
        process.stdout.write(`${JSON.stringify(report)}\n`);
        return;
      }
      const lines = report.findings.map(toLine);
      lines.push(report.ok ? 'thaw restore works here' : 'thaw restore does not work here');
      process.stdout.write(`${lines.join('\n')}\n`);
    });
}

function toLine({ name, need, ok, found, advice }: MachineFinding): string {
  const colors = pc.createColors(process.stdout.isTTY === true && pc.isColorSupported);
  const fact = wrap(`${name}: ${found}`, FACT_INDENT).trimStart();
  if (ok) return `${colors.green('ok      ')} ${fact}`;
  const mark = need === 'required' ? colors.red('MISSING ') : colors.yellow('absent  ');
  const lines = advice.split('\n').map((line) => wrap(line, ADVICE_INDENT));
  return `${mark} ${fact}\n${lines.join('\n')}`;
}
