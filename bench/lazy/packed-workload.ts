/** A dumped workload in other forms, each with a view of it that CRIU can restore. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { writeCriuView } from '../../src/lazy-pages/criu-view.js';
import { type PackOptions, packImage } from '../../src/pack/pack-image.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import { type Driver, thawServing } from './drivers.js';
import { type DumpedWorkload, flush, workloadOfOneGib } from './dumped-workload.js';

const PACKINGS = {
  page: { mode: 'page' },
  region: { mode: { regionPages: 16 } },
} as const satisfies Record<string, PackOptions>;

/** Forms of an image: plain pages, LZ4 page by page, LZ4 in regions of 64 KiB. */
export type FormName = 'raw' | keyof typeof PACKINGS;

/** A workload in one form. */
export interface Form {
  /** Where its pages lie. */
  readonly pagesFile: string;
  /** Restores it through Thaw, with a fill or without. */
  readonly driver: (fills: boolean) => Driver;
}

const made = new Map<FormName, Promise<Form>>();

/** The workload of 1 GiB in a form; made once. */
export function formOfOneGib(name: FormName): Promise<Form> {
  let form = made.get(name);
  if (form === undefined) {
    form = workloadOfOneGib().then((workload) => makeForm(workload, name));
    made.set(name, form);
  }
  return form;
}

async function makeForm(
  { image: plain, directory }: DumpedWorkload,
  name: FormName,
): Promise<Form> {
  const image = name === 'raw' ? plain : join(directory, name);
  if (name !== 'raw') await packImage(plain, image, PACKINGS[name]);
  const view = join(directory, `view-${name}`);
  mkdirSync(view);
  await using checkpoint = await Checkpoint.open(image);
  await writeCriuView(checkpoint, planRestore(checkpoint), view);
  const pagesFile = join(image, 'pages-1.img');
  flush(pagesFile);
  const driver = (fills: boolean): Driver => thawServing(`thaw, ${name}`, { image, view, fills });
  return { pagesFile, driver };
}
