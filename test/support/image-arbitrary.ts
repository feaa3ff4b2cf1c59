/** Random images: every form and every mixture of forms, with their pages known. */
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { compressSync } from 'lz4-napi';
import {
  type EntrySpec,
  PAGE,
  type PagemapSpec,
  pageBytes,
  type VmaSpec,
  writeImage,
} from './image-builder.js';

export const PID = 77;
export const BASE = 0x7f00_0000_0000n;

const PRESENT = 4;
const LAZY = 2;
const PARENT = 1;
const ALIGNED = 8;

/** What one dump of a chain has for a page. */
type PageState = 'none' | 'stored' | 'zeros' | 'parent' | 'hole';

interface LayerPlan {
  readonly compress: 0 | 1 | 2;
  readonly regionPages: number;
  readonly version1: boolean;
  readonly pages: readonly { state: PageState; cut: boolean; lazy: boolean; old: boolean }[];
  readonly packed: boolean;
}

export interface ImagePlan {
  /** The image itself first, then its parents. */
  readonly layers: readonly LayerPlan[];
  /** VMAs one behind the other: gap in front, length, kind. */
  readonly areas: readonly { gap: number; pages: number; kind: AreaKind; guard: boolean }[];
  readonly absoluteLinks: boolean;
}

type AreaKind = 'lazy' | 'locked' | 'hugetlb' | 'file' | 'vvar';

const AREA_FIELDS: Readonly<Record<AreaKind, { status: number; flags: number }>> = {
  lazy: { status: 0x201, flags: 0x22 },
  locked: { status: 0x201, flags: 0x2022 },
  hugetlb: { status: 0x201, flags: 0x40022 },
  file: { status: 0x41, flags: 0x2 },
  vvar: { status: 0x1201, flags: 0x22 },
};

const PAGES_MAX = 48;

const arbitraryLayer: fc.Arbitrary<LayerPlan> = fc.record({
  compress: fc.constantFrom(0, 1, 2),
  regionPages: fc.integer({ min: 1, max: 5 }),
  version1: fc.boolean(),
  packed: fc.boolean(),
  pages: fc.array(
    fc.record({
      state: fc.constantFrom<PageState[]>('none', 'stored', 'stored', 'zeros', 'parent', 'hole'),
      cut: fc.boolean(),
      lazy: fc.boolean(),
      old: fc.boolean(),
    }),
    { minLength: PAGES_MAX, maxLength: PAGES_MAX },
  ),
});

export const arbitraryImage: fc.Arbitrary<ImagePlan> = fc.record({
  layers: fc.array(arbitraryLayer, { minLength: 1, maxLength: 3 }),
  areas: fc.array(
    fc.record({
      gap: fc.constantFrom(0, 0, 1, 3),
      pages: fc.integer({ min: 1, max: 16 }),
      kind: fc.constantFrom<AreaKind[]>('lazy', 'lazy', 'locked', 'hugetlb', 'file', 'vvar'),
      guard: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  ),
  absoluteLinks: fc.boolean(),
});

function layOutVmas(plan: ImagePlan): VmaSpec[] {
  const areas: VmaSpec[] = [];
  const guards: VmaSpec[] = [];
  let page = 0;
  for (const { gap, pages, kind, guard } of plan.areas) {
    page += gap;
    const start = BASE + BigInt(page * PAGE);
    areas.push({ start, end: start + BigInt(pages * PAGE), ...AREA_FIELDS[kind] });
    if (guard && kind === 'lazy') {
      const from = start + BigInt((pages >> 1) * PAGE);
      guards.push({ start: from, end: from + BigInt(PAGE), status: 0x10000, flags: 0, prot: 0 });
    }
    page += pages;
  }
  const vsyscall = 0xffffffffff600000n;
  const last = { start: vsyscall, end: vsyscall + BigInt(PAGE), status: 0x204, flags: 0x22 };
  return [...areas, last, ...guards];
}

/** States that make sense: nothing outside VMAs on top, and "in the parent" only of what is there. */
function settleStates(plan: ImagePlan): PageState[][] {
  const vmas = layOutVmas(plan);
  const states: PageState[][] = [];
  for (let layer = plan.layers.length - 1; layer >= 0; layer--) {
    const below = states[0];
    const settled = (plan.layers[layer]?.pages ?? []).map(({ state }, page): PageState => {
      const vaddr = BASE + BigInt(page * PAGE);
      const inVma = vmas.some(({ start, end }) => start <= vaddr && vaddr < end);
      if (layer === 0 && !inVma) return 'none';
      if (state !== 'parent') return state;
      return below === undefined || below[page] === 'none' ? 'stored' : 'parent';
    });
    states.unshift(settled);
  }
  return states;
}

function contentOf(layer: number, page: number, state: PageState): Uint8Array {
  return state === 'zeros' ? new Uint8Array(PAGE) : pageBytes(layer * 1000 + page + 1);
}

/** Writes the image below `root`; the directory of the image itself is `root/layer0`. */
export function writeRandomImage(
  root: string,
  plan: ImagePlan,
): { directory: string; pages: Map<bigint, Uint8Array> } {
  const states = settleStates(plan);
  plan.layers.forEach((layer, index) => {
    const pagemap = buildPagemap(layer, index, states[index] ?? []);
    const directory = join(root, `layer${index}`);
    writeImage(directory, {
      version: layer.compress > 0 ? 3 : layer.version1 ? 1 : 2,
      compress: layer.compress,
      regionBytes: layer.regionPages * PAGE,
      tasks: [{ pid: PID, vmas: layOutVmas(plan), pagemap }],
      memoryOnly: index > 0,
    });
    if (index + 1 < plan.layers.length) {
      const name = `layer${index + 1}`;
      const target = plan.absoluteLinks ? join(root, name) : join('..', name);
      symlinkSync(target, join(directory, 'parent'));
    }
  });
  const pages = new Map<bigint, Uint8Array>();
  states[0]?.forEach((_, page) => {
    const owner = states.findIndex((layer) => layer[page] !== 'parent');
    const state = states[owner]?.[page];
    if (states[0]?.[page] === 'none' || (state !== 'stored' && state !== 'zeros')) return;
    pages.set(BASE / BigInt(PAGE) + BigInt(page), contentOf(owner, page, state));
  });
  return { directory: join(root, 'layer0'), pages };
}

function buildPagemap(layer: LayerPlan, index: number, states: readonly PageState[]): PagemapSpec {
  const entries: EntrySpec[] = [];
  const payload: Uint8Array[] = [];
  let offset = 0;
  const groupOf = (page: number): string =>
    ['stored', 'zeros'].includes(states[page] ?? '') ? 'stored' : (states[page] ?? 'none');
  for (let page = 0; page < states.length; ) {
    let end = page + 1;
    while (end < states.length && groupOf(end) === groupOf(page) && !layer.pages[end]?.cut) end++;
    const group = groupOf(page);
    const pageCount = end - page;
    const vaddr = BASE + BigInt(page * PAGE);
    const { lazy, old } = layer.pages[page] ?? { lazy: false, old: false };
    if (group === 'parent') {
      const flags = old ? undefined : PARENT;
      entries.push({
        vaddr,
        pageCount,
        flags,
        ...(old ? { inParent: true, legacyCount: true } : {}),
      });
    } else if (group === 'hole') {
      entries.push({ vaddr, pageCount, flags: 0 });
    } else if (group === 'stored') {
      const contents = [];
      for (let at = page; at < end; at++) contents.push(contentOf(index, at, states[at] ?? 'none'));
      const stored = storeEntry(layer, contents, lazy, old);
      if ((stored.entry.flags ?? 0) & ALIGNED) {
        const padding = (PAGE - (offset % PAGE)) % PAGE;
        payload.push(new Uint8Array(padding));
        offset += padding;
      }
      entries.push({ vaddr, pageCount, ...stored.entry });
      payload.push(...stored.payload);
      offset += stored.payload.reduce((sum, bytes) => sum + bytes.length, 0);
    }
    page = end;
  }
  return { pagesId: 5, entries, payload: Buffer.concat(payload) };
}

function storeEntry(
  layer: LayerPlan,
  contents: readonly Uint8Array[],
  lazy: boolean,
  old: boolean,
): { entry: Omit<EntrySpec, 'vaddr' | 'pageCount'>; payload: Uint8Array[] } {
  const flags = PRESENT | (lazy ? LAZY : 0);
  if (layer.compress === 0) {
    const plain = old ? { flags: undefined, legacyCount: true } : { flags };
    return { entry: plain, payload: [...contents] };
  }
  const blockPages = layer.compress === 1 ? 1 : layer.regionPages;
  const payload: Uint8Array[] = [];
  const blockSizes: number[] = [];
  let firstIsRaw: boolean | undefined;
  for (let page = 0; page < contents.length; page += blockPages) {
    const block = Buffer.concat(contents.slice(page, page + blockPages));
    const packed = compressSync(block).subarray(4);
    const zero = block.every((byte) => byte === 0);
    const raw = !zero && (old || packed.length >= (block.length * 7) / 8);
    const stored = zero ? new Uint8Array(0) : raw ? block : packed;
    if (!zero) firstIsRaw ??= raw;
    blockSizes.push(stored.length);
    payload.push(stored);
  }
  const aligned = firstIsRaw ? ALIGNED : 0;
  const allRaw = blockSizes.every(
    (size, block) => size === Math.min(blockPages, contents.length - block * blockPages) * PAGE,
  );
  if (allRaw) return { entry: { flags: flags | ALIGNED }, payload };
  const region = layer.compress === 2 ? { regionPages: blockPages } : {};
  return {
    entry: { flags: flags | aligned, blockSizes, packed: layer.packed, ...region },
    payload,
  };
}
