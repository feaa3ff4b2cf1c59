/** The LZ4 blocks of all layers of a pagemap as one table. */

import type { LayeredPagemap } from '../image/layered-pagemap.js';
import { sampleBlocks } from '../image/pagemap.js';
import type { BlockColumns } from './restore-plan.js';

/** The blocks of a plan, and the number of the first one of each layer. */
export interface MergedBlocks {
  readonly blocks: BlockColumns;
  readonly firstBlockOfLayer: readonly number[];
}

/** Joins the blocks of all layers; those of a single layer are shared, not copied. */
export function mergeBlocks(pagemap: LayeredPagemap): MergedBlocks {
  const firstBlockOfLayer: number[] = [];
  let blockCount = 0;
  for (const layer of pagemap.layers) {
    firstBlockOfLayer.push(blockCount);
    blockCount += layer.blockSize.length;
  }
  const sole = pagemap.layers.find((layer) => layer.blockSize.length === blockCount);
  if (sole !== undefined) {
    return { blocks: { size: sole.blockSize, sample: sole.blockSample }, firstBlockOfLayer };
  }
  const size = new Uint32Array(blockCount);
  pagemap.layers.forEach((layer, index) => {
    size.set(layer.blockSize, firstBlockOfLayer[index]);
  });
  return { blocks: { size, sample: sampleBlocks(size) }, firstBlockOfLayer };
}
