/** The C programs of the benchmarks. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDirectory } from '../../test/support/criu.js';

const SOURCES = fileURLToPath(new URL('../targets', import.meta.url));
const FLAGS = ['-O3', '-Wall', '-Wextra', '-Werror', '-pthread'];

let output: string | undefined;

/** The executable of a source of bench/targets, compiled once; `endAll` of criu.ts removes it. */
export function compiled(name: 'workload' | 'trial' | 'floors'): string {
  output ??= makeDirectory();
  const path = join(output, name);
  if (!existsSync(path)) {
    execFileSync('gcc', [...FLAGS, join(SOURCES, `${name}.c`), '-o', path], { stdio: 'inherit' });
  }
  return path;
}
