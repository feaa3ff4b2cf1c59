/*
 * A task to dump and to resume: fills memory of every kind with content that it can compute again,
 * waits, and after its resume does what it is told and checks every page.
 *
 *   target DIR [TASKS]
 *
 * TASKS (default 1) tasks in a tree, each with two threads, and one zombie where there are several.
 * Each task polls DIR/go. Its content is one word, a scenario (see `scenarios`); each task then
 * writes DIR/result-<index>: "ok <pages checked>", or "bad <what> ...". DIR/ready-<index> appears
 * when a task may be dumped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define WORDS (PAGE / 8)
#define MAIN_PAGES 2048ul
#define OPS_PAGES 256ul
#define SMALL_PAGES 16ul
#define TASKS_MAX 64

enum kind { MAIN, OPS, READONLY, NONE, HEAP, GROWSDOWN, LOCKED, HUGE, SHARED, FILE_PRIVATE,
            FILE_SHARED, MEMFD, REGIONS };

struct region {
  uint8_t *at;
  size_t pages;
  int rights;
};

static struct region regions[REGIONS];
static char directory[256];
static int task_index;
static int task_count = 1;
static char program[512];
static atomic_int thread_go;
static atomic_int thread_ids[2];
static int thread_count;

static uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/* Every eleventh page is written zeros, every thirteenth a hole; the rest is half random. */
static int is_hole(size_t page) { return page % 13 == 12; }
static int is_zero(size_t page) { return page % 11 == 10 || is_hole(page); }

static uint64_t word_of(int region, size_t page, size_t word) {
  if (is_zero(page)) return 0;
  const uint64_t seed = mix(((uint64_t)task_index << 48) ^ ((uint64_t)region << 40) ^ page);
  return word < WORDS / 2 ? mix(seed + word) : seed;
}

static void path_of(char *path, size_t size, const char *name) {
  snprintf(path, size, "%s/%s-%d", directory, name, task_index);
}

/* In one step, so that a reader never sees half of it. */
static void publish(const char *name, const char *format, ...) {
  char path[400], part[420], text[300];
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  path_of(path, sizeof(path), name);
  snprintf(part, sizeof(part), "%s.part", path);
  const int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text, length) != length || close(fd) || rename(part, path)) abort();
}

#define FAIL(...)                  \
  do {                             \
    publish("result", __VA_ARGS__); \
    _exit(1);                      \
  } while (0)

static void fill(int region, int from_hole) {
  for (size_t page = 0; page < regions[region].pages; ++page) {
    if (is_hole(page) && !from_hole) continue;
    uint64_t *words = (uint64_t *)(regions[region].at + page * PAGE);
    for (size_t word = 0; word < WORDS; ++word) words[word] = word_of(region, page, word);
  }
}

static void check_page(const uint8_t *at, int region, size_t page, const char *what) {
  const volatile uint64_t *words = (const volatile uint64_t *)at;
  for (size_t word = 0; word < WORDS; ++word) {
    const uint64_t found = words[word];
    if (found != word_of(region, page, word)) {
      FAIL("bad %s region %d page %zu word %zu: %llx", what, region, page, word,
           (unsigned long long)found);
    }
  }
}

static void check_zero(const uint8_t *at, size_t pages, const char *what) {
  const volatile uint64_t *words = (const volatile uint64_t *)at;
  for (size_t word = 0; word < pages * WORDS; ++word) {
    if (words[word] != 0) FAIL("bad %s: word %zu is not zero", what, word);
  }
}

static size_t check_region(int region, const char *what) {
  for (size_t page = 0; page < regions[region].pages; ++page) {
    check_page(regions[region].at + page * PAGE, region, page, what);
  }
  return regions[region].pages;
}

static void *map(int region, size_t pages, int flags, int fd) {
  void *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (at == MAP_FAILED) abort();
  regions[region] = (struct region){at, pages, PROT_READ | PROT_WRITE};
  return at;
}

static int content_file(const char *name, size_t pages) {
  char path[400];
  path_of(path, sizeof(path), name);
  const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, pages * PAGE)) abort();
  return fd;
}

static void set_up(void) {
  const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  map(MAIN, MAIN_PAGES, anonymous, -1);
  map(OPS, OPS_PAGES, anonymous, -1);
  map(READONLY, SMALL_PAGES, anonymous, -1);
  map(NONE, SMALL_PAGES, anonymous, -1);
  map(GROWSDOWN, SMALL_PAGES, anonymous | MAP_GROWSDOWN, -1);
  mlock(map(LOCKED, SMALL_PAGES, anonymous, -1), SMALL_PAGES * PAGE);
  madvise(map(HUGE, 512, anonymous, -1), 512 * PAGE, MADV_HUGEPAGE);
  map(SHARED, SMALL_PAGES, MAP_SHARED | MAP_ANONYMOUS, -1);
  const int private_file = content_file("private", SMALL_PAGES);
  map(FILE_PRIVATE, SMALL_PAGES, MAP_PRIVATE, private_file);
  const int shared_file = content_file("shared", SMALL_PAGES);
  map(FILE_SHARED, SMALL_PAGES, MAP_SHARED, shared_file);
  const int memfd = memfd_create("target", MFD_CLOEXEC);
  if (memfd < 0 || ftruncate(memfd, SMALL_PAGES * PAGE)) abort();
  map(MEMFD, SMALL_PAGES, MAP_SHARED, memfd);
  close(private_file);
  close(shared_file);
  close(memfd);
  /* Page-aligned inside the brk heap. */
  uint8_t *heap = sbrk((SMALL_PAGES + 1) * PAGE);
  if (heap == (void *)-1) abort();
  heap = (uint8_t *)(((uintptr_t)heap + PAGE - 1) & ~(PAGE - 1));
  regions[HEAP] = (struct region){heap, SMALL_PAGES, PROT_READ | PROT_WRITE};
  for (int region = 0; region < REGIONS; ++region) fill(region, region == FILE_PRIVATE);
  mprotect(regions[READONLY].at, SMALL_PAGES * PAGE, PROT_READ);
  mprotect(regions[NONE].at, SMALL_PAGES * PAGE, PROT_NONE);
}

static size_t check_small(const char *what) {
  size_t pages = 0;
  mprotect(regions[NONE].at, SMALL_PAGES * PAGE, PROT_READ);
  for (int region = READONLY; region < REGIONS; ++region) pages += check_region(region, what);
  mprotect(regions[NONE].at, SMALL_PAGES * PAGE, PROT_NONE);
  return pages;
}

/* --- scenarios: each returns the pages that it checked --- */

static size_t sequential(void) {
  return check_region(MAIN, "sequential") + check_region(OPS, "ops") + check_small("kind");
}

static size_t random_order(void) {
  for (size_t i = 0; i < MAIN_PAGES; ++i) {
    const size_t page = (i * 1223 + 7) % MAIN_PAGES; /* 1223 is odd: a permutation */
    check_page(regions[MAIN].at + page * PAGE, MAIN, page, "random");
  }
  return MAIN_PAGES + check_region(OPS, "ops") + check_small("kind");
}

static void *check_share(void *share) {
  for (size_t page = (size_t)share; page < MAIN_PAGES; page += 4) {
    check_page(regions[MAIN].at + page * PAGE, MAIN, page, "threads");
  }
  return NULL;
}

static size_t threads(void) {
  pthread_t thread[4];
  for (size_t i = 0; i < 4; ++i) {
    if (pthread_create(&thread[i], NULL, check_share, (void *)i)) FAIL("bad pthread_create");
  }
  for (int i = 0; i < 4; ++i) pthread_join(thread[i], NULL);
  return MAIN_PAGES + check_small("kind");
}

static void await_child(pid_t pid, const char *what) {
  int status = 0;
  if (pid < 0) FAIL("bad %s: fork %d", what, errno);
  if (waitpid(pid, &status, 0) != pid || status != 0) FAIL("bad %s: child %x", what, status);
}

/* A child, a grandchild of it, and writes on both sides that the other must not see. */
static size_t fork_nested(void) {
  uint8_t *const at = regions[OPS].at;
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      for (size_t page = OPS_PAGES; page-- > 0;) check_page(at + page * PAGE, OPS, page, "grandchild");
      _exit(0);
    }
    memset(at, 0x5a, 4 * PAGE);
    for (size_t page = 4; page < OPS_PAGES; ++page) check_page(at + page * PAGE, OPS, page, "child");
    await_child(grandchild, "grandchild");
    _exit(0);
  }
  memset(at + 8 * PAGE, 0xa5, 4 * PAGE);
  await_child(child, "fork");
  for (size_t page = 0; page < OPS_PAGES; ++page) {
    if (page < 8 || page >= 12) check_page(at + page * PAGE, OPS, page, "parent");
  }
  return OPS_PAGES + check_region(MAIN, "after fork");
}

/* Children that go on reading while pages are in flight for their parent. */
static size_t fork_storm(void) {
  pid_t children[8];
  for (size_t i = 0; i < 8; ++i) {
    for (size_t page = i * 256; page < i * 256 + 128; ++page) {
      check_page(regions[MAIN].at + page * PAGE, MAIN, page, "storm");
    }
    children[i] = fork();
    if (children[i] == 0) {
      check_region(MAIN, "storm child");
      _exit(0);
    }
  }
  for (int i = 0; i < 8; ++i) await_child(children[i], "storm");
  return check_region(MAIN, "after storm");
}

static void remap(size_t pages, int flags, void *to) {
  void *at = mremap(regions[OPS].at, OPS_PAGES * PAGE, pages * PAGE, flags, to);
  if (at == MAP_FAILED) FAIL("bad mremap: errno %d", errno);
  regions[OPS].at = at;
  regions[OPS].pages = pages < OPS_PAGES ? pages : OPS_PAGES;
}

static size_t mremap_grow(void) {
  remap(OPS_PAGES * 2, MREMAP_MAYMOVE, NULL);
  check_zero(regions[OPS].at + OPS_PAGES * PAGE, OPS_PAGES, "grown part");
  return check_region(OPS, "grown");
}

static size_t mremap_shrink(void) {
  remap(OPS_PAGES / 2, 0, NULL);
  return check_region(OPS, "shrunk") + check_region(MAIN, "after shrink");
}

static size_t mremap_move(void) {
  uint8_t *to = mmap(NULL, OPS_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (to == MAP_FAILED) FAIL("bad mmap");
  remap(OPS_PAGES, MREMAP_MAYMOVE | MREMAP_FIXED, to);
  if (regions[OPS].at != to) FAIL("bad place");
  return check_region(OPS, "moved");
}

/* The middle goes, and new memory in its place is zero. */
static size_t unmap(void) {
  uint8_t *const hole = regions[OPS].at + 64 * PAGE;
  if (munmap(hole, 128 * PAGE)) FAIL("bad munmap");
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap(hole, 128 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) != hole) FAIL("bad mmap");
  check_zero(hole, 128, "mapped anew");
  for (size_t page = 0; page < OPS_PAGES; page = page == 63 ? 192 : page + 1) {
    check_page(regions[OPS].at + page * PAGE, OPS, page, "beside the hole");
  }
  return OPS_PAGES;
}

static size_t discard(int advice, const char *what) {
  uint8_t *const from = regions[OPS].at + 64 * PAGE;
  if (madvise(from, 128 * PAGE, advice)) FAIL("bad madvise: errno %d", errno);
  for (size_t page = 64; page < 192; ++page) {
    const uint8_t *const at = regions[OPS].at + page * PAGE;
    /* Of what is there, the kernel keeps freed pages until it needs the memory. */
    const int kept = advice == MADV_FREE && *(const volatile uint64_t *)at != 0;
    if (kept) check_page(at, OPS, page, what);
    else check_zero(at, 1, what);
  }
  for (size_t page = 0; page < OPS_PAGES; page = page == 63 ? 192 : page + 1) {
    check_page(regions[OPS].at + page * PAGE, OPS, page, what);
  }
  return OPS_PAGES + check_region(MAIN, "after madvise");
}

static size_t dont_need(void) { return discard(MADV_DONTNEED, "discarded"); }
static size_t free_lazily(void) { return discard(MADV_FREE, "freed"); }

static size_t exec_self(void) {
  char index[16];
  snprintf(index, sizeof(index), "%d", task_index);
  execl(program, program, directory, "exec", index, NULL);
  FAIL("bad exec: errno %d", errno);
}

/* Tasks with an odd index end at once; the others check everything. */
static size_t exit_half(void) {
  if (task_index % 2 == 1) {
    publish("result", "ok 0");
    _exit(0);
  }
  return sequential();
}

static sigjmp_buf bus_error;

static void escape(int signal) { siglongjmp(bus_error, signal); }

/* Whether a page of MAIN, with the right content, is there; otherwise it is SIGBUS. */
static int is_there(size_t page) {
  if (sigsetjmp(bus_error, 1) != 0) return 0;
  check_page(regions[MAIN].at + page * PAGE, MAIN, page, "survey");
  return 1;
}

/*
 * Pages of MAIN before `end` that are there; runs of the others, whatever holes are in them, go to
 * `runs`: " 7-9 30-30".
 */
static size_t survey_pages(size_t end, char *runs, size_t size) {
  size_t there = 0, length = 0, run = 0;
  for (size_t page = 0; page < end; ++page) {
    if (is_there(page)) {
      ++there;
      if (!is_hole(page)) run = 0;
      continue;
    }
    if (++run > 1) length = strrchr(runs, '-') - runs;
    length += run > 1 ? snprintf(runs + length, size - length, "-%zu", page)
                      : snprintf(runs + length, size - length, " %zu-%zu", page, page);
    if (length >= size) FAIL("bad survey: too many runs");
  }
  return there;
}

static void nap(void);
static int take_order(char *order, size_t size);

/*
 * Says where MAIN is (main-<index>), waits for the order "look", then reads MAIN, in which pages may be
 * SIGBUS: survey-<index> has their runs. All else that it needs has been touched by then.
 */
static size_t survey(void) {
  char runs[250] = "", order[64] = "";
  struct sigaction action = {.sa_handler = escape};
  sigaction(SIGBUS, &action, NULL);
  if (sigsetjmp(bus_error, 1) == 0) raise(SIGBUS);
  survey_pages(1, runs, sizeof(runs));
  publish("main", "%zu", (size_t)regions[MAIN].at);
  while (!take_order(order, sizeof(order)) || strcmp(order, "look") != 0) nap();
  const size_t right = survey_pages(MAIN_PAGES, runs, sizeof(runs));
  publish("survey", "%s", runs);
  return right;
}

/* Touches nothing. */
static size_t idle(void) { return 0; }

static const struct {
  const char *name;
  size_t (*run)(void);
} scenarios[] = {
    {"sequential", sequential}, {"random", random_order},   {"threads", threads},
    {"fork", fork_nested},      {"storm", fork_storm},      {"grow", mremap_grow},
    {"shrink", mremap_shrink},  {"move", mremap_move},      {"munmap", unmap},
    {"dontneed", dont_need},    {"free", free_lazily},      {"exec", exec_self},
    {"exit-half", exit_half},   {"idle", idle},             {"survey", survey},
};

static void nap(void) {
  const struct timespec time = {0, 2 * 1000 * 1000};
  nanosleep(&time, NULL);
}

/* True once; false when there is nothing to do yet. */
static int take_order(char *order, size_t size) {
  char path[400];
  snprintf(path, sizeof(path), "%s/go", directory);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t length = read(fd, order, size - 1);
  close(fd);
  if (length <= 0) return 0;
  order[length] = '\0';
  return 1;
}

static int is_traced(pid_t tid) {
  char path[64], status[512];
  snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) abort();
  const ssize_t length = read(fd, status, sizeof(status) - 1);
  close(fd);
  if (length < 0) abort();
  status[length] = '\0';
  const char *const tracer = strstr(status, "TracerPid:\t");
  return tracer == NULL || tracer[strlen("TracerPid:\t")] != '0';
}

/* A restore fails if a thread ends before CRIU has let go of every thread of its task. */
static void await_release(void) {
  while (is_traced(gettid())) nap();
  for (int i = 0; i < thread_count; ++i) {
    while (is_traced(thread_ids[i])) nap();
  }
}

static void serve(void) {
  publish("ready", "%d", getpid());
  char order[64];
  while (!take_order(order, sizeof(order))) nap();
  await_release();
  for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); ++i) {
    if (strcmp(order, scenarios[i].name) != 0) continue;
    const size_t pages = scenarios[i].run();
    atomic_store(&thread_go, 1);
    publish("result", "ok %zu", pages);
    for (;;) pause();
  }
  FAIL("bad order %s", order);
}

/* Stands on a stack of its own until the scenario is done. */
static void *second_thread(void *id) {
  *(atomic_int *)id = gettid();
  while (!atomic_load(&thread_go)) nap();
  return NULL;
}

static void start_threads(void) {
  pthread_t thread;
  for (; thread_count < 2; ++thread_count) {
    atomic_int *const id = &thread_ids[thread_count];
    if (pthread_create(&thread, NULL, second_thread, id)) abort();
    while (atomic_load(id) == 0) nap();
  }
}

/* A chain of four tasks; the others are children of its last. */
static void grow_tree(void) {
  while (task_index < 3 && task_index + 1 < task_count) {
    const pid_t child = fork();
    if (child < 0) abort();
    if (child > 0) return;
    ++task_index;
  }
  if (task_index != 3) return;
  for (int index = 4; index < task_count; ++index) {
    const pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
      task_index = index;
      return;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  snprintf(directory, sizeof(directory), "%s", argv[1]);
  if (argc == 4) { /* after exec */
    task_index = atoi(argv[3]);
    publish("result", "ok 0");
    for (;;) pause();
  }
  snprintf(program, sizeof(program), "%s", argv[0]);
  if (argc == 3) task_count = atoi(argv[2]);
  if (task_count < 1 || task_count > TASKS_MAX) return 2;
  grow_tree();
  if (task_index == 0 && task_count > 1 && fork() == 0) _exit(0); /* never waited for */
  set_up();
  if (task_count > 1) start_threads();
  serve();
}
