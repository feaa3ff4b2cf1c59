/** The link to the parent in all the forms in which a chain of dumps arrives. */
import { cpSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { verifyImage } from '../../src/image/verify-image.js';
import { packImage } from '../../src/pack/pack-image.js';
import { fingerprint, readModel } from '../support/image-model.js';
import { fixturePath, removeTemporary, temporaryDirectory } from '../support/restore-fixtures.js';

/** Makes the `parent` of a directory, which shall lead to another one beside it. */
type Linker = (directory: string, name: string, root: string) => void;

const FORMS: Readonly<Record<string, Linker>> = {
  'relative links, as CRIU writes them': (directory, name) =>
    symlinkSync(`../${name}`, join(directory, 'parent')),
  'absolute links': (directory, name, root) =>
    symlinkSync(join(root, name), join(directory, 'parent')),
  'files with relative paths': (directory, name) =>
    writeFileSync(join(directory, 'parent'), `../${name}`),
  'files with absolute paths and a line end': (directory, name, root) =>
    writeFileSync(join(directory, 'parent'), `${join(root, name)}\n`),
};

let root: string;

beforeEach(() => {
  root = temporaryDirectory();
  cpSync(fixturePath('pattern-parent-chain'), root, { recursive: true });
  for (const name of readdirSync(root)) rmSync(join(root, name, 'parent'), { force: true });
});

afterEach(removeTemporary);

function link(form: string): void {
  FORMS[form]?.(join(root, 'top'), 'mid', root);
  FORMS[form]?.(join(root, 'mid'), 'base', root);
}

it.each(Object.keys(FORMS))('%s lead to every page', async (form) => {
  link(form);
  const top = join(root, 'top');
  await using checkpoint = await Checkpoint.open(top);
  expect(checkpoint.parents.map(({ path }) => path)).toEqual([
    join(root, 'mid'),
    join(root, 'base'),
  ]);
  expect(await verifyImage(top)).toMatchObject({ problems: [], pages: 402 });
  await packImage(top, join(root, 'flat'), { flatten: true, jobs: 1 });
  const pattern = fingerprint(readModel(fixturePath('pattern'), '31001'));
  expect(fingerprint(readModel(join(root, 'flat'), '31001'))).toEqual(pattern);
});

it.each([
  ['is empty', ''],
  ['is a blank line', '\n'],
  ['holds something else', 'a\0b'],
  ['is longer than any path', 'x'.repeat(5000)],
  ['leads nowhere', '../nothing'],
  ['leads to a file', 'inventory.img'],
])('a file that %s is no link', async (_, text) => {
  const path = join(root, 'top/parent');
  writeFileSync(path, text);
  await expect(Checkpoint.open(join(root, 'top'))).rejects.toMatchObject({
    code: 'PARENT_MISSING',
    where: path,
  });
});
