// One direction of import: errors, address, limits <- native <- proto <- image <- plan <- servicer <-
// {restore, lazy-pages} <- cli; page-server (above image) and uffd stand beside them.
const rooms = {
  base: '^src/(errors|address|limits|native|executables|readiness|tls-credentials)\\.ts$',
  proto: '^src/proto/',
  image: '^src/image/',
  pack: '^src/pack/',
  plan: '^src/plan/',
  uffd: '^src/uffd/',
  servicer: '^src/servicer/',
  restore: '^src/restore/',
  'lazy-pages': '^src/lazy-pages/',
  'page-server': '^src/page-server/',
  cli: '^src/cli/',
};

/** What each room may import, besides itself and packages. */
const mayImport = {
  base: [],
  proto: ['base'],
  image: ['base', 'proto'],
  pack: ['base', 'proto', 'image'],
  plan: ['base', 'image'],
  uffd: ['base'],
  servicer: ['base', 'plan'],
  restore: ['base', 'image', 'plan', 'servicer', 'uffd'],
  'lazy-pages': ['base', 'proto', 'image', 'pack', 'plan', 'servicer'],
  'page-server': ['base', 'image'],
  cli: [
    'base',
    'image',
    'pack',
    'plan',
    'servicer',
    'restore',
    'lazy-pages',
    'page-server',
    'uffd',
  ],
};

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...Object.entries(mayImport).map(([room, others]) => ({
      name: `${room}-imports-only-what-is-below`,
      severity: 'error',
      from: { path: rooms[room] },
      to: {
        path: '^src/',
        pathNot: [rooms[room], ...others.map((other) => rooms[other])].join('|'),
      },
    })),
    {
      name: 'terminal-packages-only-in-cli',
      severity: 'error',
      from: { path: '^src/', pathNot: rooms.cli },
      to: {
        path: 'node_modules/(commander|cli-progress|cli-table3|picocolors|pretty-bytes)/',
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
  },
};
