/** The LZ4 blocks and the checksums of all layers of a pagemap as one table each. */

import type { LayeredPagemap } from '../image/layered-pagemap.js';
import { sampleBlocks } from '../image/pagemap.js';
import type { BlockColumns } from './restore-plan.js';

/** The blocks of a plan, and the numbers of the first one, and the first checksum, of each layer. */
export interface MergedBlocks {
  readonly blocks: BlockColumns;
  readonly firstBlockOfLayer: readonly number[];
  readonly firstChecksumOfLayer: readonly number[];
}

/** Joins the blocks of all layers; those of a single layer are shared, not copied. */
export function mergeBlocks({ layers }: LayeredPagemap): MergedBlocks {
  const sizes = joinColumns(layers.map((layer) => layer.blockSize));
  const checksums = joinColumns(layers.map((layer) => layer.checksums ?? new Uint32Array(0)));
  const sole = layers.find((layer) => layer.blockSize === sizes.joined);
  const sample = sole?.blockSample ?? sampleBlocks(sizes.joined);
  return {
    blocks: { size: sizes.joined, sample, checksum: checksums.joined },
    firstBlockOfLayer: sizes.firstRows,
    firstChecksumOfLayer: checksums.firstRows,
  };
}

/** One column behind the other; the only one that has rows is taken as it is. */
function joinColumns(columns: readonly Uint32Array[]): {
  joined: Uint32Array;
  firstRows: number[];
} {
  const firstRows: number[] = [];
  let length = 0;
  for (const column of columns) {
    firstRows.push(length);
    length += column.length;
  }
  const sole = columns.find((column) => column.length === length);
  if (sole !== undefined) return { joined: sole, firstRows };
  const joined = new Uint32Array(length);
  columns.forEach((column, index) => {
    joined.set(column, firstRows[index]);
  });
  return { joined, firstRows };
}
