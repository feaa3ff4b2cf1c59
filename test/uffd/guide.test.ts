import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const GUIDE = readFileSync(new URL('../../docs/uffd.md', import.meta.url), 'utf8');
const FILES = new Map(
  readdirSync(new URL('.', import.meta.url))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => [
      name.replace('.test.ts', ''),
      readFileSync(new URL(name, import.meta.url), 'utf8'),
    ]),
);

/** What stands in italics outside of code: `file: test`, `test`, or `file` for those that follow. */
function references(): { file: string; test: string }[] {
  const prose = GUIDE.replaceAll(/^```[\s\S]*?^```/gm, '')
    .replaceAll('**', '')
    .replaceAll(/\s+/g, ' ');
  let file = '';
  const found: { file: string; test: string }[] = [];
  for (const [, words = ''] of prose.matchAll(/\*([^*|]+)\*/g)) {
    const [first = '', ...rest] = words.split(': ');
    if (FILES.has(first)) file = first;
    const test = FILES.has(first) ? rest.join(': ') : words;
    if (test !== '') found.push({ file, test });
  }
  return found;
}

/** The test's name as a pattern; `…` stands for any words. */
function pattern(test: string): RegExp {
  const parts = test
    .split('…')
    .map((part) => part.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`it\\('${parts.join('.*')}'`);
}

describe('docs/uffd.md', () => {
  it('names tests that exist', () => {
    const all = references();
    expect(all.length).toBeGreaterThan(50);
    const missing = all.filter(({ file, test }) => !pattern(test).test(FILES.get(file) ?? ''));
    expect(missing).toEqual([]);
  });
});
