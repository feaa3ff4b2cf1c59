/**
 * `npm run bench -- [--quick] [--json FILE] [NAME...]`: runs the benchmarks, prints their tables, and
 * writes them with the single measurements to FILE.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
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
/** Of them, what --quick runs by itself: the pager's bars, in two minutes. */
const QUICK: readonly Benchmark[] = [lazy, floors, growth];

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

for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.once(signal, () => {
    endAll();
    process.exit(128 + number);
  });
}

/** What else is at work: beside it, times tell little. */
const loadBefore = loadavg()[0] ?? Number.NaN;
const results: Record<string, Findings> = {};
try {
  const quick = values.quick ?? false;
  const named = BENCHMARKS.filter(({ name }) => positionals.includes(name));
  const all = quick ? QUICK : BENCHMARKS;
  for (const { name, run, trials, quickTrials } of named.length > 0 ? named : all) {
    console.error(`${name} ...`);
    const findings = await run(quick ? quickTrials : trials, quick);
    results[name] = findings;
    for (const table of findings.tables) printTable(table);
  }
} finally {
  endAll();
}
const machine = {
  cpus: cpus().length,
  model: cpus()[0]?.model ?? 'unknown',
  kernel: release(),
  loadBefore,
};
console.log(
  `${machine.cpus} × ${machine.model}, Linux ${machine.kernel}, load ${loadBefore.toFixed(1)} before`,
);
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify({ machine, results }, undefined, 1)}\n`);
}

function printTable({ title, rows }: BenchmarkTable): void {
  const head = Object.keys(rows[0] ?? {});
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const row of rows) table.push(head.map((column) => row[column] ?? ''));
  console.log(`${title}\n${table.toString()}`);
}
