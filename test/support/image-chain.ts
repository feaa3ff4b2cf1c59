/** Makes a chain of a dump: this kind of machine lacks what `criu pre-dump` needs. */
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE } from './image-builder.js';
import {
  decodeFields,
  decodeRecordFile,
  encodeMessage,
  encodeRecordFile,
  type WireField,
} from './image-wire.js';

const PARENT = 1;
/** The field of CRIU 4.2; older ones have the count behind the address. */
const NR_PAGES = 5;
const MAGICS = [0x54564319, 0x56084025];

/**
 * Writes a copy of `image` to `top` in which every second pagemap entry of the tasks is in the
 * parent, which is `image` itself.
 */
export function writeChain(image: string, top: string): void {
  cpSync(image, top, { recursive: true });
  symlinkSync(image, join(top, 'parent'));
  for (const name of readdirSync(image)) {
    if (/^pagemap-\d+\.img$/.test(name)) splitPagemap(image, top, name);
  }
}

function splitPagemap(image: string, top: string, name: string): void {
  const [head, ...entries] = decodeRecordFile(readFileSync(join(image, name)), MAGICS.length);
  if (head === undefined) throw new Error(`${name} is empty`);
  const pages = `pages-${decodeFields(head)[0]?.varint}.img`;
  const payload = readFileSync(join(image, pages));
  const kept: Uint8Array[] = [];
  let offset = 0;
  const records = entries.map((entry, index) => {
    const fields = decodeFields(entry);
    const count = fields.find(({ fieldNumber }) => fieldNumber === NR_PAGES) ?? fields[1];
    const pageCount = Number(count?.varint);
    const start = offset;
    offset += pageCount * PAGE;
    if (index % 2 === 1) kept.push(payload.subarray(start, offset));
    return encodeMessage(
      fields.map(({ fieldNumber, varint }): WireField => {
        const inParent = fieldNumber === 4 && index % 2 === 0;
        return [fieldNumber, inParent ? PARENT : varint];
      }),
    );
  });
  writeFileSync(join(top, name), encodeRecordFile(MAGICS, [head, ...records]));
  writeFileSync(join(top, pages), Buffer.concat(kept));
}
