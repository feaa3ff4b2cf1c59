/** What a process and its descendants take. */
import { readdirSync, readFileSync } from 'node:fs';
import { childrenOf } from '../../test/support/process-facts.js';

/** Sums over all threads. */
export interface ProcessLoad {
  readonly cpuNs: number;
  readonly switches: number;
  readonly rssAnonMib: number;
}

/** The load of `pid` and all that descend from it. */
export function loadOf(pid: number): ProcessLoad {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  let cpuNs = 0;
  let switches = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const directory = `/proc/${pid}/task/${task}`;
    cpuNs += Number(readFileSync(`${directory}/schedstat`, 'latin1').split(' ')[0]);
    const counts = readFileSync(`${directory}/status`, 'latin1');
    for (const match of counts.matchAll(/ctxt_switches:\s+(\d+)/g)) switches += Number(match[1]);
  }
  const own = { cpuNs, switches, rssAnonMib: numberOf(status, /^RssAnon:\s+(\d+)/m) / 1024 };
  return childrenOf(pid).map(loadOf).reduce(add, own);
}

function add(a: ProcessLoad, b: ProcessLoad): ProcessLoad {
  return {
    cpuNs: a.cpuNs + b.cpuNs,
    switches: a.switches + b.switches,
    rssAnonMib: a.rssAnonMib + b.rssAnonMib,
  };
}

function numberOf(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? Number.NaN);
}
