/*
 * A task to dump and to resume: fills memory, waits, and after its resume goes through it as it is
 * told.
 *
 *   workload DIR PAGES
 *
 * DIR/ready appears, with the pid in it, when the task may be dumped. At SIGUSR1 it reads the name of
 * its accesses (accesses.h) from DIR/order, and writes the measurement to DIR/result. At the next one
 * it looks at every page, and writes to DIR/verified how many are wrong.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "accesses.h"

#define LIFE_SECONDS 120

static const char *directory;

static void path_of(char *path, size_t size, const char *name) {
  snprintf(path, size, "%s/%s", directory, name);
}

/* In one step, so that a reader never sees half of it. */
static void publish(const char *name, const void *bytes, size_t size) {
  char path[400], part[410];
  path_of(path, sizeof(path), name);
  snprintf(part, sizeof(part), "%s.part", path);
  const int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || close(fd) || rename(part, path)) abort();
}

static void publish_number(const char *name, uint64_t number) {
  char text[32];
  publish(name, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)number));
}

static const struct accesses *read_order(void) {
  char path[400], name[64] = "";
  path_of(path, sizeof(path), "order");
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, name, sizeof(name) - 1) <= 0 || close(fd)) abort();
  return find_accesses(name);
}

static uint64_t count_wrong(const uint8_t *memory, uint64_t pages) {
  uint64_t wrong = 0;
  for (uint64_t page = 0; page < pages; ++page) {
    wrong += !page_is_right((const uint64_t *)(memory + page * PAGE_BYTES), page);
  }
  return wrong;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  directory = argv[1];
  const uint64_t pages = strtoull(argv[2], NULL, 10);
  uint8_t *memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return 1;
  for (uint64_t page = 0; page < pages; ++page) {
    make_page((uint64_t *)(memory + page * PAGE_BYTES), page);
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  publish_number("ready", (uint64_t)getpid());
  while (sigwaitinfo(&signals, NULL) != SIGUSR1) {
  }
  alarm(LIFE_SECONDS);
  const struct accesses *how = read_order();
  struct measurement *measured = how == NULL ? NULL : walk_memory(how, memory, pages);
  if (measured == NULL) abort();
  publish("result", measured, measurement_bytes(how, pages));
  while (sigwaitinfo(&signals, NULL) != SIGUSR1) {
  }
  publish_number("verified", count_wrong(memory, pages));
  for (;;) pause();
}
