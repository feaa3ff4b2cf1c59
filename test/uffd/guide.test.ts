import { readdirSync, readFileSync } from 'node:fs';
import * as library from 'thaw-restore';
import ts from 'typescript';
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

/** Runs a block of TypeScript as its reader would, and returns what it prints. */
async function run(code: string): Promise<string[]> {
  const source = code.replace(/^import (\{.*\}) from 'thaw-restore';$/m, 'const $1 = library;');
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const AsyncFunction = (async () => undefined).constructor as FunctionConstructor;
  const lines: string[] = [];
  const console = { log: (line: string) => lines.push(line) };
  await new AsyncFunction('library', 'console', outputText)(library, console);
  return lines;
}

describe('docs/uffd.md', () => {
  it('has a first example that works', async () => {
    const [, code = ''] = /^```ts\n([\s\S]*?)^```/m.exec(GUIDE) ?? [];
    expect(await run(code)).toEqual([expect.stringMatching(/^page at 0x[0-9a-f]+\np/)]);
  });

  it('names tests that exist', () => {
    const all = references();
    expect(all.length).toBeGreaterThan(50);
    const missing = all.filter(({ file, test }) => !pattern(test).test(FILES.get(file) ?? ''));
    expect(missing).toEqual([]);
  });
});
