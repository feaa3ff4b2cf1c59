/**
 * `thaw lazy-pages`: in the place of `criu lazy-pages`.
 */
import { type LazyPagesFlags, parseLazyPagesFlags } from './lazy-pages-flags.js';
import { serveLazyPages } from './lazy-pages-service.js';
import type { ServiceCommand } from './service-command.js';

const HELP = `Usage: thaw lazy-pages -D DIR [options]

Serves the lazy pages of a dump to \`criu restore --lazy-pages\`, as
\`criu lazy-pages\` does. Takes every option of CRIU; these have an effect:

  -D, --images-dir DIR    directory of the image (default: .)
  -W, --work-dir DIR      directory of socket, log and pidfile (default: that of
                          the image)
  -o, --log-file FILE     log to FILE, or with - to stdout (default: stderr)
  -v[N], --verbosity[=N]  0 nothing, 1 errors, 2 warnings (default), 3 what
                          happens, 4 all
  -d, --daemon            go to the background once the socket is there
  --pidfile FILE          with --daemon: write the pid to FILE, which must not
                          exist
  --status-fd FD          write one zero byte to FD once the socket is there,
                          and close it
  --auto-dedup            free the pages of a restore in the image when it is
                          over
  --action-script F       run the program F once the socket is there; its
                          failure ends the daemon
  --config FILE           options from FILE, instead of /etc/criu/default.conf
                          and ~/.criu/default.conf
  --page-server           pages come from a page server: criu dump --lazy-pages,
                          or a page-server --lazy-pages
  --address A, --port P   where it listens (default address: localhost)
  --ps-socket FD          a connected socket to it instead
  --ps-header 24|32|auto  its headers: of CRIU before 4.2, of later ones, or as
                          the image tells (default)
  --tls                   speak TLS with it; --tls-cacert, --tls-cacrl,
                          --tls-cert and --tls-key name PEM files (default:
                          CRIU's, under /etc/pki), --tls-no-cn-verify leaves
                          the name in its certificate unchecked
  --persist               go on after a restore, and serve any number at once;
                          -D may be repeated
  --fill on|off           bring in behind the tasks what they do not touch
                          (default: on)
  --fill-rate SIZE        most bytes a second of that, such as 100M (default:
                          unlimited)
  --fill-threads N        threads of that, 1 to 4 (default: 2, or 1 on one CPU)
  --window SIZE           most bytes at one fault, 4K to 64K (default: 64K; with
                          --fill off 4K)
  --on-error POLICY       what becomes of a task whose pages cannot be produced:
                          poison (default; a touch is SIGBUS), or also stop or
                          kill
  -h, --help              show this text
  -V, --version           show the version
`;

/** The command. */
export const lazyPagesCommand: ServiceCommand<LazyPagesFlags> = {
  name: 'lazy-pages',
  description: 'serve the lazy pages of a dump to criu restore, instead of criu lazy-pages',
  help: HELP,
  parse: parseLazyPagesFlags,
  serve: serveLazyPages,
};
