/*
 * One restore, watched from outside: starts the server and the restore, gives the task its order
 * when the restore command has ended, and measures until everything is resident and the order
 * carried out.
 *
 *   trial DIR PID PAGES COLD_FILE [SERVER...] -- RESTORE...
 *
 * SERVER writes one byte to descriptor 3 once a restore may begin; without one, the restore is
 * eager. PID has PAGES of anonymous memory at least once it is resident; 0: nobody fills it.
 * COLD_FILE, unless it is "-", is dropped from the page cache before. DIR is that of workload.c.
 * Prints one JSON object.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "processes.h"

#define SAMPLE_NS 2000000ull
#define COPY_NS_MIN 500       /* that two threads take for a page, at least */
#define MEMORY_NS 20000000ull /* between two looks at the server's memory */
#define TRIAL_NS_MAX 90000000000ull
#define STATUS_FD 3

static const char *directory;
static uint64_t began_ns;
static volatile sig_atomic_t interrupted;

/* The clock of accesses.h. */
static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

/* Ends everything that was started, and this with status 1. */
static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  for (;;) {
    struct processes left = {.count = 0};
    add_tree(&left, getpid());
    if (left.count == 1) _exit(1);
    for (unsigned i = 1; i < left.count; ++i) kill(left.pids[i], SIGKILL);
    while (waitpid(-1, NULL, 0) > 0) {
    }
  }
}

static void interrupt(int number) { interrupted = number; }

static void check_time(const char *what) {
  if (interrupted) fail("trial: interrupted");
  if (now_ns() - began_ns > TRIAL_NS_MAX) fail("trial: not in time: %s", what);
}

static void pause_ns(uint64_t nanoseconds) {
  const struct timespec time = {0, (long)nanoseconds};
  nanosleep(&time, NULL);
}

/* Drops a file's pages from the page cache, and makes sure that it did. */
static void drop_cache(const char *path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status)) fail("trial: %s: %s", path, strerror(errno));
  if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) fail("trial: posix_fadvise failed");
  const size_t pages = ((size_t)status.st_size + 4095) / 4096;
  unsigned char *cached = malloc(pages);
  void *at = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (cached == NULL || at == MAP_FAILED || mincore(at, (size_t)status.st_size, cached)) {
    fail("trial: cannot tell what is cached of %s", path);
  }
  size_t left = 0;
  for (size_t page = 0; page < pages; ++page) left += cached[page] & 1;
  if (left > pages / 20) fail("trial: %zu of %zu pages of %s stay cached", left, pages, path);
  munmap(at, (size_t)status.st_size);
  free(cached);
  close(fd);
}

/*
 * Starts a command with /dev/null as its stdio. A server's `status_fd` becomes its descriptor 3,
 * and it keeps stderr.
 */
static pid_t start(char **command, int status_fd) {
  const pid_t child = fork();
  if (child < 0) fail("trial: fork: %s", strerror(errno));
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nowhere = open("/dev/null", O_RDWR);
  dup2(nowhere, 0);
  dup2(nowhere, 1);
  if (status_fd >= 0) {
    dup2(status_fd, STATUS_FD);
    close_range(STATUS_FD + 1, ~0u, 0);
  } else {
    dup2(nowhere, 2);
    close_range(STATUS_FD, ~0u, 0);
  }
  setsid();
  execvp(command[0], command);
  _exit(127);
}

/* Starts the server, and waits until it listens. */
static pid_t start_server(char **command) {
  int fds[2];
  if (pipe(fds)) fail("trial: pipe: %s", strerror(errno));
  fcntl(fds[1], F_SETFD, 0);
  const pid_t server = start(command, fds[1]);
  close(fds[1]);
  struct pollfd ready = {.fd = fds[0], .events = POLLIN};
  char byte;
  if (poll(&ready, 1, 30000) != 1 || read(fds[0], &byte, 1) != 1) fail("trial: no server");
  close(fds[0]);
  return server;
}

/* What a server took, sampled. The control plane, a node process, is counted apart. */
struct usage {
  uint64_t cpu_ns, node_cpu_ns;             /* since the start of the restore */
  uint64_t rss_anon_kib, node_rss_anon_kib; /* at the peak */
  struct processes processes;
  uint64_t first_ns[PROCESSES_MAX], last_ns[PROCESSES_MAX];
  int node[PROCESSES_MAX];
};

static void list_processes(struct usage *usage, pid_t server) {
  add_tree(&usage->processes, server);
  for (unsigned i = 0; i < usage->processes.count; ++i) {
    usage->node[i] = is_node(usage->processes.pids[i]);
    usage->first_ns[i] = usage->last_ns[i] = cpu_ns(usage->processes.pids[i]);
  }
}

static void sample_cpu(struct usage *usage) {
  usage->cpu_ns = usage->node_cpu_ns = 0;
  for (unsigned i = 0; i < usage->processes.count; ++i) {
    const uint64_t found = cpu_ns(usage->processes.pids[i]);
    if (found != 0) usage->last_ns[i] = found;
    *(usage->node[i] ? &usage->node_cpu_ns : &usage->cpu_ns) +=
        usage->last_ns[i] - usage->first_ns[i];
  }
}

static void sample_memory(struct usage *usage) {
  uint64_t sums[2] = {0, 0};
  for (unsigned i = 0; i < usage->processes.count; ++i) {
    sums[usage->node[i] != 0] += status_of(usage->processes.pids[i], "RssAnon:");
  }
  if (sums[0] > usage->rss_anon_kib) usage->rss_anon_kib = sums[0];
  if (sums[1] > usage->node_rss_anon_kib) usage->node_rss_anon_kib = sums[1];
}

static int exists(const char *name) {
  char path[400];
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  return access(path, F_OK) == 0;
}

/*
 * How long to look away: nothing can be over before, and each look takes a CPU from those who are
 * measured.
 */
static uint64_t nap_ns(uint64_t missing_pages) {
  const uint64_t half_ns = missing_pages * COPY_NS_MIN / 2;
  return half_ns > SAMPLE_NS ? half_ns : SAMPLE_NS;
}

/* Watches until the order is carried out and all is resident; returns when it became so. */
static uint64_t watch(pid_t task, uint64_t pages, struct usage *usage) {
  uint64_t resident_ns = 0, napped_ns = MEMORY_NS;
  while (resident_ns == 0 || !exists("result")) {
    sample_cpu(usage);
    const uint64_t found = resident_ns == 0 ? anonymous_pages(task) : pages;
    if (resident_ns == 0 && found >= pages) resident_ns = now_ns();
    if (napped_ns >= MEMORY_NS) {
      sample_memory(usage);
      napped_ns = 0;
    }
    if (kill(task, 0)) fail("trial: the task has ended");
    check_time("residence and result");
    const uint64_t nap = nap_ns(found < pages ? pages - found : 0);
    pause_ns(nap);
    napped_ns += nap;
  }
  return resident_ns;
}

static void end_server(pid_t server) {
  int status;
  while (waitpid(server, &status, WNOHANG) == 0) {
    check_time("the end of the server");
    pause_ns(SAMPLE_NS);
  }
  if (status != 0) fail("trial: the server ended with status 0x%x", status);
}

int main(int argc, char **argv) {
  if (argc < 6 || prctl(PR_SET_CHILD_SUBREAPER, 1)) return 2;
  directory = argv[1];
  const pid_t task = atoi(argv[2]);
  const uint64_t pages = strtoull(argv[3], NULL, 10);
  char **server_command = argv + 5;
  char **restore_command = server_command;
  while (*restore_command != NULL && strcmp(*restore_command, "--") != 0) ++restore_command;
  if (*restore_command == NULL) return 2;
  *restore_command++ = NULL;

  began_ns = now_ns();
  /* Without SA_RESTART: a wait for a command ends too, and everything with it. */
  const struct sigaction end_all = {.sa_handler = interrupt};
  if (sigaction(SIGINT, &end_all, NULL) || sigaction(SIGTERM, &end_all, NULL)) return 2;
  if (strcmp(argv[4], "-") != 0) drop_cache(argv[4]);
  const pid_t server = *server_command == NULL ? 0 : start_server(server_command);
  struct usage usage = {.cpu_ns = 0};
  if (server != 0) list_processes(&usage, server);
  const uint64_t restore_ns = now_ns();
  const pid_t restore = start(restore_command, -1);
  int status;
  if (waitpid(restore, &status, 0) != restore || status != 0 || kill(task, SIGUSR1)) {
    fail("trial: the restore failed with status 0x%x", status);
  }
  const uint64_t restored_ns = now_ns();
  const uint64_t resident_ns = watch(task, pages, &usage);
  kill(task, SIGUSR1);
  while (!exists("verified")) {
    check_time("the look at every page");
    pause_ns(SAMPLE_NS);
  }
  /* Without a fill, pages that nobody touches are missing as long as the task lives. */
  if (pages == 0) kill(task, SIGKILL);
  if (server != 0) end_server(server);
  kill(task, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0) {
  }
  printf(
      "{\"restoreNs\":%llu,\"restoredNs\":%llu,\"residentNs\":%llu,\"cpuNs\":%llu,"
      "\"nodeCpuNs\":%llu,\"rssAnonKib\":%llu,\"nodeRssAnonKib\":%llu}\n",
      (unsigned long long)restore_ns, (unsigned long long)restored_ns,
      (unsigned long long)resident_ns, (unsigned long long)usage.cpu_ns,
      (unsigned long long)usage.node_cpu_ns, (unsigned long long)usage.rss_anon_kib,
      (unsigned long long)usage.node_rss_anon_kib);
  return 0;
}
