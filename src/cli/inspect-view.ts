/**
 * What a person sees of `thaw inspect`: tasks as a tree, areas, bytes by kind. Fits 80 columns, but for
 * long file names.
 */
import type {
  ExtentDescription,
  ImageDescription,
  SharedDescription,
  StoredBytes,
  TaskDescription,
  VmaDescription,
} from '../image/describe-image.js';
import { alignColumns, formatBytes, formatNumberOf, printable } from './text.js';

/** The whole text, without a final line break. */
export function describeForPeople(image: ImageDescription): string {
  const { version, compress } = image.inventory;
  const pages = compress === 'off' ? 'plain pages' : `LZ4 pages, ${describeMode(compress)}`;
  return [
    `${printable(image.directory)}: CRIU image version ${version}, ${pages}`,
    ...image.parents.map(({ path }, i) => `${'  '.repeat(i + 1)}parent ${printable(path)}`),
    '',
    ...describeTree(image.tasks),
    ...image.tasks.filter(({ state }) => state === 'alive').flatMap(describeTask),
    ...image.shared.flatMap(describeShared),
  ].join('\n');
}

function describeMode(compress: 'page' | 'region'): string {
  return compress === 'page' ? 'one block a page' : 'in regions';
}

/** The process tree, children indented below their parents. */
function describeTree(tasks: readonly TaskDescription[]): string[] {
  const pids = new Set(tasks.map(({ pid }) => pid));
  const lines: string[] = [];
  const add = (task: TaskDescription, depth: number): void => {
    const state =
      task.state === 'dead' ? 'dead' : `${formatNumberOf(task.threads.length, 'thread')}`;
    lines.push(`${'  '.repeat(depth)}${task.pid} ${printable(task.comm)} (${state})`);
    // A task is not its own child, whatever a damaged pstree says.
    const children = tasks.filter(({ ppid, pid }) => ppid === task.pid && pid !== task.pid);
    if (depth < tasks.length) for (const child of children) add(child, depth + 1);
  };
  for (const task of tasks) if (!pids.has(task.ppid) || task.ppid === task.pid) add(task, 0);
  return lines;
}

function describeTask(task: TaskDescription): string[] {
  const { bytes } = task;
  if (bytes === null) return [];
  // vsyscall is the same in every process, and its address would make every line long.
  const areas = task.vmas.filter((vma) => vma.class !== 'vsyscall');
  const rows = areas.map((vma) => [
    `${vma.start.slice(2)}-${vma.end.slice(2)}`,
    vma.prot,
    vma.lazy ? 'lazy' : '',
    vma.stored === 0 ? '-' : formatBytes(vma.stored),
    describeBacking(vma),
  ]);
  return [
    '',
    `task ${task.pid} ${printable(task.comm)}: ${formatBytes(bytes.mapped)} mapped`,
    `  ${describeStored(bytes)}`,
    `  ${formatBytes(bytes.lazy)} lazy, ${formatBytes(bytes.eager)} eager, ` +
      `${formatBytes(bytes.hole)} holes`,
    ...alignColumns([['address', 'prot', '', 'stored', 'backed by'], ...rows], [3]).map(
      (line) => `  ${line}`,
    ),
    ...describeExtents(task.extents),
  ];
}

function describeShared(object: SharedDescription): string[] {
  const name = object.name === null ? '' : ` ${printable(object.name)}`;
  return [
    '',
    `shared memory ${object.shmid}${name}: ${formatBytes(object.size)}`,
    `  ${describeStored(object.bytes)}`,
    ...describeExtents(object.extents),
  ];
}

function describeStored(bytes: StoredBytes): string {
  const parts = [`${formatBytes(bytes.data)} stored`];
  if (bytes.inParent > 0) parts.push(`${formatBytes(bytes.inParent)} of it in parents`);
  parts.push(`${formatBytes(bytes.payload)} payload here`);
  if (bytes.checksummed > 0) {
    const share = bytes.checksummed === bytes.data ? 'all' : formatBytes(bytes.checksummed);
    parts.push(`${share} with checksums`);
  }
  if (bytes.compressionRatio !== null && bytes.compressionRatio !== 1) {
    parts.push(`ratio ${bytes.compressionRatio.toFixed(2)}`);
  }
  return parts.join(', ');
}

function describeBacking(vma: VmaDescription): string {
  if (vma.backing !== null) return printable(vma.backing);
  if (vma.shmid !== null) return `shared memory ${vma.shmid}`;
  return vma.class;
}

function describeExtents(extents: readonly ExtentDescription[] | undefined): string[] {
  if (extents === undefined) return [];
  const rows = extents.map((extent) => [
    extent.vaddr,
    `${extent.pages}`,
    extent.kind === 'hole' ? 'hole' : extent.lazy ? 'lazy' : 'eager',
    extent.layer === 0 ? 'here' : `parent ${extent.layer}`,
    `pages-${extent.pagesId}.img`,
    `${extent.fileOffset}`,
    extent.blockPages === 0 ? 'raw' : `LZ4, ${formatNumberOf(extent.blockPages, 'page')} a block`,
  ]);
  const head = ['address', 'pages', '', 'layer', 'file', 'byte', 'form'];
  return ['', ...alignColumns([head, ...rows], [1, 5]).map((line) => `  ${line}`)];
}
