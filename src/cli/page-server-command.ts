/**
 * `thaw page-server`: in the place of `criu page-server --lazy-pages`.
 */
import { type PageServerFlags, parsePageServerArguments } from './page-server-arguments.js';
import { servePageServer } from './page-server-service.js';
import type { ServiceCommand } from './service-command.js';

const HELP = `Usage: thaw page-server --lazy-pages -D DIR --port P [options]

Serves the pages of an image, of whatever form, to \`criu lazy-pages\` and
\`thaw lazy-pages\` with --page-server on other machines, as
\`criu page-server --lazy-pages\` does. Takes every option of CRIU; these have an
effect:

  --lazy-pages            required: pages are handed out, never stored
  -D, --images-dir DIR    directory of the image (default: .)
  --address A             address or name to listen at (default: every address)
  --port P                port to listen at; 0, the default, takes a free one:
                          the log says which
  --ps-socket FD          serve a connected socket instead
  --ps-header 24|32|auto  headers of the clients: of CRIU before 4.2, of later
                          ones, or as their first request tells (default)
  --tls                   speak TLS; clients show a certificate, which has to
                          name A of --address
  --tls-cert, --tls-key FILE      our certificate and key (default: in
                          /etc/pki/criu)
  --tls-cacert, --tls-cacrl FILE  authorities, revoked ones (default: in
                          /etc/pki/CA)
  --tls-no-cn-verify      let a client's certificate name what it likes
  --persist               serve any number of clients, also at once, until
                          SIGTERM; without it, one
  -W, --work-dir DIR      directory of log and pidfile (default: that of the
                          image)
  -o, --log-file FILE     log to FILE, or with - to stdout (default: stderr)
  -v[N], --verbosity[=N]  0 nothing, 1 errors, 2 warnings (default), 3 what
                          happens, 4 all
  -d, --daemon            go to the background once the socket is there
  --pidfile FILE          with --daemon: write the pid to FILE, which must not
                          exist
  --status-fd FD          write one zero byte to FD once the socket is there,
                          and close it
  --action-script F       run the program F once the socket is there; its
                          failure ends the server
  --config FILE           options from FILE, instead of /etc/criu/default.conf
                          and ~/.criu/default.conf
  -h, --help              show this text
  -V, --version           show the version
`;

/** The command. */
export const pageServerCommand: ServiceCommand<PageServerFlags> = {
  name: 'page-server',
  description: 'serve the pages of an image to lazy clients, instead of criu page-server',
  help: HELP,
  parse: parsePageServerArguments,
  serve: servePageServer,
};
