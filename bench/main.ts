/**
 * `npm run bench -- [--quick] [--json] [NAME...]`: runs the benchmarks and prints their tables.
 */
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import type { Benchmark, Row } from './benchmark.js';
import { pack } from './pack.js';
import { ready } from './ready.js';
import { scale } from './scale.js';

const BENCHMARKS: readonly Benchmark[] = [ready, scale, pack];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } },
});
const unknown = positionals.filter((name) => !BENCHMARKS.some((known) => known.name === name));
if (unknown.length > 0) {
  const names = BENCHMARKS.map(({ name }) => name).join(', ');
  console.error(`bench: expected names of benchmarks (${names}), found ${unknown.join(', ')}`);
  process.exit(2);
}

const results: Record<string, Row[]> = {};
for (const { name, run, trials, quickTrials } of BENCHMARKS) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const rows = await run(values.quick ? quickTrials : trials);
  results[name] = rows;
  if (!values.json) printTable(name, rows);
}
const machine = { cpus: cpus().length, model: cpus()[0]?.model ?? 'unknown', kernel: release() };
if (values.json) console.log(JSON.stringify({ machine, results }));
else console.log(`${machine.cpus} × ${machine.model}, Linux ${machine.kernel}`);

function printTable(name: string, rows: readonly Row[]): void {
  const head = Object.keys(rows[0] ?? {});
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const row of rows) table.push(head.map((column) => row[column] ?? ''));
  console.log(`${name}\n${table.toString()}`);
}
