/**
 * `npm run bench -- [--quick] [--json FILE] [NAME...]`: runs the benchmarks, prints their tables, and
 * writes them with the single measurements to FILE.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { endAll } from '../test/support/criu.js';
import type { Benchmark, BenchmarkTable, Findings } from './benchmark.js';
import { floors } from './floors.js';
import { forms } from './forms.js';
import { growth } from './growth.js';
import { lazy } from './lazy.js';
import { pack } from './pack.js';
import { ready } from './ready.js';
import { scale } from './scale.js';

const BENCHMARKS: readonly Benchmark[] = [lazy, floors, forms, growth, ready, scale, pack];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, json: { type: 'string' } },
});
const unknown = positionals.filter((name) => !BENCHMARKS.some((known) => known.name === name));
if (unknown.length > 0) {
  const names = BENCHMARKS.map(({ name }) => name).join(', ');
  console.error(`bench: expected names of benchmarks (${names}), found ${unknown.join(', ')}`);
  process.exit(2);
}

process.once('SIGINT', () => {
  endAll();
  process.exit(130);
});

const results: Record<string, Findings> = {};
try {
  for (const { name, run, trials, quickTrials } of BENCHMARKS) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const quick = values.quick ?? false;
    const findings = await run(quick ? quickTrials : trials, quick);
    results[name] = findings;
    for (const table of findings.tables) printTable(table);
  }
} finally {
  endAll();
}
const machine = { cpus: cpus().length, model: cpus()[0]?.model ?? 'unknown', kernel: release() };
console.log(`${machine.cpus} × ${machine.model}, Linux ${machine.kernel}`);
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify({ machine, results }, undefined, 1)}\n`);
}

function printTable({ title, rows }: BenchmarkTable): void {
  const head = Object.keys(rows[0] ?? {});
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const row of rows) table.push(head.map((column) => row[column] ?? ''));
  console.log(`${title}\n${table.toString()}`);
}
