/*
 * What userfaultfd itself takes, without CRIU: a child with missing memory, and the least that can serve
 * it.
 *
 *   floors HOW PAGES_FILE OFFSET PAGES ACCESSES RESULT
 *
 *   textbook   as in userfaultfd(2): poll, read one message, pread a page, copy it
 *   reading    read one message, copy the page from where it is mapped: two switches and a copy
 *   spinning   the same, without ever sleeping
 *   fill       two threads copy everything before it is touched
 *
 * The bytes are those of PAGES pages at OFFSET of PAGES_FILE, as workload.c made them. The child goes
 * through them by ACCESSES (accesses.h) and writes the measurement to RESULT. Prints the nanoseconds
 * that the fill took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accesses.h"

#define LIFE_SECONDS 60
#define FILL_THREADS 2
#define FILL_BYTES (1ul << 20)

static const char *how_to_serve;
static int pages_fd, uffd;
static uint64_t pages_offset, page_count;
static uint8_t *source; /* the mapped bytes */
static uint8_t *memory; /* where the child's memory begins, in the child */

static void check(int good, const char *what) {
  if (good) return;
  perror(what);
  _exit(1);
}

static int is(const char *how) { return strcmp(how_to_serve, how) == 0; }

static void copy(uint64_t offset, const void *bytes, uint64_t size) {
  struct uffdio_copy request = {
      .dst = (uint64_t)memory + offset, .src = (uint64_t)bytes, .len = size};
  check(ioctl(uffd, UFFDIO_COPY, &request) == 0, "UFFDIO_COPY");
}

static void serve_by_the_book(void) {
  static uint8_t page[PAGE_BYTES];
  for (;;) {
    struct pollfd ready = {.fd = uffd, .events = POLLIN};
    check(poll(&ready, 1, -1) == 1, "poll");
    struct uffd_msg message;
    const ssize_t size = read(uffd, &message, sizeof(message));
    if (size < 0 && errno == EAGAIN) continue;
    check(size == sizeof(message) && message.event == UFFD_EVENT_PAGEFAULT, "read");
    const uint64_t offset =
        (message.arg.pagefault.address & ~(PAGE_BYTES - 1)) - (uint64_t)memory;
    check(pread(pages_fd, page, PAGE_BYTES, (off_t)(pages_offset + offset)) == (ssize_t)PAGE_BYTES,
          "pread");
    copy(offset, page, PAGE_BYTES);
  }
}

/* With a blocking descriptor it sleeps in read, with another it never does. */
static void serve_barely(void) {
  for (;;) {
    struct uffd_msg message;
    if (read(uffd, &message, sizeof(message)) != sizeof(message)) continue;
    const uint64_t offset =
        (message.arg.pagefault.address & ~(PAGE_BYTES - 1)) - (uint64_t)memory;
    copy(offset, source + offset, PAGE_BYTES);
  }
}

static void *serve(void *unused) {
  (void)unused;
  if (is("textbook")) serve_by_the_book();
  serve_barely();
  return NULL;
}

static void *fill_part(void *argument) {
  const uint64_t part = page_count * PAGE_BYTES / FILL_THREADS;
  const uint64_t first = *(unsigned *)argument * part;
  for (uint64_t offset = first; offset < first + part; offset += FILL_BYTES) {
    copy(offset, source + offset, FILL_BYTES);
  }
  return NULL;
}

static uint64_t fill(void) {
  pthread_t threads[FILL_THREADS];
  unsigned numbers[FILL_THREADS];
  const uint64_t begin = now_ns();
  for (unsigned i = 0; i < FILL_THREADS; ++i) {
    numbers[i] = i;
    check(pthread_create(&threads[i], NULL, fill_part, &numbers[i]) == 0, "pthread_create");
  }
  for (unsigned i = 0; i < FILL_THREADS; ++i) pthread_join(threads[i], NULL);
  return now_ns() - begin;
}

/* The child: tells its uffd, waits for the word to go, and walks. */
static void walk(const struct accesses *accesses, const char *result, int say, int hear) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(LIFE_SECONDS);
  const int flags = O_CLOEXEC | (is("reading") ? 0 : O_NONBLOCK);
  const int own = (int)syscall(SYS_userfaultfd, flags);
  struct uffdio_api api = {.api = UFFD_API};
  check(own >= 0 && ioctl(own, UFFDIO_API, &api) == 0, "userfaultfd");
  struct uffdio_register registration = {
      .range = {.start = (uint64_t)memory, .len = page_count * PAGE_BYTES},
      .mode = UFFDIO_REGISTER_MODE_MISSING};
  check(ioctl(own, UFFDIO_REGISTER, &registration) == 0, "UFFDIO_REGISTER");
  char go;
  check(write(say, &own, sizeof(own)) == sizeof(own) && read(hear, &go, 1) == 1, "pipe");
  const struct measurement *measured = walk_memory(accesses, memory, page_count);
  check(measured != NULL, "walk");
  const size_t size = measurement_bytes(accesses, page_count);
  const int fd = open(result, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  check(fd >= 0 && write(fd, measured, size) == (ssize_t)size, result);
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  how_to_serve = argv[1];
  pages_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
  pages_offset = strtoull(argv[3], NULL, 10);
  page_count = strtoull(argv[4], NULL, 10);
  const struct accesses *accesses = find_accesses(argv[5]);
  check(pages_fd >= 0, argv[2]);
  if (accesses == NULL) return 2;
  alarm(LIFE_SECONDS);
  const size_t size = page_count * PAGE_BYTES;
  source = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, pages_fd, (off_t)pages_offset);
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
  check(source != MAP_FAILED && memory != MAP_FAILED, "mmap");
  int said[2], heard[2];
  check(pipe(said) == 0 && pipe(heard) == 0, "pipe");
  const pid_t child = fork();
  check(child >= 0, "fork");
  if (child == 0) walk(accesses, argv[6], said[1], heard[0]);
  int number;
  check(read(said[0], &number, sizeof(number)) == sizeof(number), "the child's uffd");
  const int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  uffd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
  check(uffd >= 0, "pidfd_getfd");
  pthread_t server;
  if (is("fill")) {
    printf("%llu\n", (unsigned long long)fill());
  } else {
    check(pthread_create(&server, NULL, serve, NULL) == 0, "pthread_create");
  }
  int status;
  check(write(heard[1], "g", 1) == 1 && waitpid(child, &status, 0) == child, "the child");
  return status == 0 ? 0 : 1;
}
