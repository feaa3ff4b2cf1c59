/** The ways to restore that are compared. */
import { fileURLToPath } from 'node:url';
import { criuPath } from '../../test/support/criu.js';
import type { DumpedWorkload } from './dumped-workload.js';

const SERVE = fileURLToPath(new URL('./serve.ts', import.meta.url));
const THAW = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** The commands of one way to restore. */
export interface Driver {
  readonly name: string;
  /** Whether it brings in what nobody touches. */
  readonly fills: boolean;
  /** Writes a byte to descriptor 3 when it listens; empty: none is needed. */
  readonly server: (workload: DumpedWorkload) => readonly string[];
  /** Ends when the task runs. */
  readonly restore: (workload: DumpedWorkload) => readonly string[];
}

type Paths = Pick<DumpedWorkload, 'image' | 'directory'>;

function serverArgs({ image, directory }: Paths): readonly string[] {
  return ['lazy-pages', '-D', image, '-W', directory, '-o', 'lazy.log', '--status-fd', '3'];
}

function restoreArgs({ image, directory }: Paths, lazy: boolean): readonly string[] {
  const common = ['restore', '-D', image, '-W', directory, '-o', 'restore.log', '-d'];
  return [criuPath(), ...common, ...(lazy ? ['--lazy-pages'] : []), '--manage-cgroups=ignore'];
}

/** `thaw lazy-pages`. */
export const thawLazy: Driver = {
  name: 'thaw lazy-pages',
  fills: true,
  server: (workload) => [process.execPath, THAW, ...serverArgs(workload)],
  restore: (workload) => restoreArgs(workload, true),
};

/** `criu lazy-pages`, on the same image and with the same restore command. */
export const criuLazy: Driver = {
  name: 'criu lazy-pages',
  fills: true,
  server: (workload) => [criuPath(), ...serverArgs(workload)],
  restore: (workload) => restoreArgs(workload, true),
};

/** `criu restore` that reads everything before the task runs. */
export const criuEager: Driver = {
  name: 'criu restore, eager',
  fills: true,
  server: () => [],
  restore: (workload) => restoreArgs(workload, false),
};

/**
 * Thaw as a library, for images that CRIU cannot read: the pages come from `image`, all else from
 * `view`, which `writeCriuView` wrote.
 */
export function thawServing(
  name: string,
  { image, view, fills }: { image: string; view: string; fills: boolean },
): Driver {
  const node = [process.execPath, '--import', 'tsx', SERVE];
  return {
    name,
    fills,
    server: ({ directory }) => [...node, image, directory, fills ? 'fill' : 'demand'],
    restore: ({ directory }) => restoreArgs({ image: view, directory }, true),
  };
}
