/*
 * Memory whose content tells itself, and the ways in which a benchmark goes through it.
 *
 * A page's words add up to a number that belongs to the page, so one pass over them finds any byte
 * that is not what it should be. A third of the pages does not compress; the others are like a heap.
 */
#ifndef BENCH_TARGETS_ACCESSES_H_
#define BENCH_TARGETS_ACCESSES_H_

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE_BYTES 4096ul
#define PAGE_WORDS (PAGE_BYTES / 8)
#define RUN_PAGES 16ul
#define THREADS_MAX 4

/* CRIU gives a resumed task a monotonic clock of its own; this one is the same for all. */
static inline uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static inline uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

static inline uint64_t sum_of_page(uint64_t page) { return mix(~page); }

/* Of a page that compresses, half the words are zero, and half point into a megabyte. */
static inline uint64_t word_of(uint64_t page, uint64_t word) {
  const uint64_t random = mix(page * PAGE_WORDS + word + 1);
  if (page % 3 == 0) return random;
  return word % 2 == 0 ? 0 : (random & 0xFFFF0) | 0x00007F3A00000000ull;
}

static inline void make_page(uint64_t *words, uint64_t page) {
  uint64_t sum = 0;
  for (uint64_t word = 0; word < PAGE_WORDS - 1; ++word) sum += words[word] = word_of(page, word);
  words[PAGE_WORDS - 1] = sum_of_page(page) - sum;
}

static inline int page_is_right(const uint64_t *words, uint64_t page) {
  uint64_t sum = 0;
  for (uint64_t word = 0; word < PAGE_WORDS; ++word) sum += words[word];
  return sum == sum_of_page(page);
}

/* How a benchmark goes through its pages. */
struct accesses {
  const char *name;
  enum { IN_ORDER, SCATTERED, IN_RUNS } order;
  uint64_t thousandths; /* of the pages; 0: `count` pages */
  uint64_t count;
  unsigned threads;
  int write;
};

static const struct accesses kAccesses[] = {
    {"sequential", IN_ORDER, 1000, 0, 1, 0},
    {"random", SCATTERED, 0, 20000, 1, 0},
    {"scattered", SCATTERED, 10, 0, 1, 0},
    {"runs", IN_RUNS, 10, 0, 1, 0},
    {"threads-random", SCATTERED, 0, 20000, 4, 0},
    {"threads-sweep", IN_ORDER, 1000, 0, 4, 0},
    {"writes", SCATTERED, 0, 20000, 1, 1},
    {"idle", IN_ORDER, 0, 0, 1, 0},
};

/* A page and how long its first touch took; written by one thread each. */
struct measurement {
  uint64_t start_ns;
  uint64_t end_ns;
  uint64_t wrong; /* pages whose content is not what it should be */
  uint64_t count;
  uint32_t latency_ns[]; /* of `count` pages, in the order of their touches */
};

struct walk {
  const struct accesses *how;
  uint8_t *memory;
  uint64_t pages; /* a power of two */
  struct measurement *measured;
  uint64_t first, end, wrong;
};

static inline uint64_t count_of(const struct accesses *how, uint64_t pages) {
  if (how->thousandths == 0) return how->count < pages ? how->count : pages;
  const uint64_t count = pages * how->thousandths / 1000;
  return how->order == IN_RUNS ? count / RUN_PAGES * RUN_PAGES : count;
}

/* One to one on the numbers below `size`, a power of two, without any regularity. */
static inline uint64_t shuffled(uint64_t index, uint64_t size) {
  const int bits = __builtin_ctzll(size);
  const uint64_t mask = size - 1;
  for (int round = 0; round < 3; ++round) {
    index = (index * 0x9E3779B97F4A7C15ull + 0x7F4A7C15ull) & mask;
    index ^= index >> (bits / 2 + 1);
  }
  return index;
}

static inline uint64_t page_at(const struct walk *walk, uint64_t index) {
  switch (walk->how->order) {
    case IN_ORDER: return index;
    case SCATTERED: return shuffled(index, walk->pages);
    default:
      return shuffled(index / RUN_PAGES, walk->pages / RUN_PAGES) * RUN_PAGES + index % RUN_PAGES;
  }
}

static void *walk_part(void *argument) {
  struct walk *walk = argument;
  for (uint64_t index = walk->first; index < walk->end; ++index) {
    const uint64_t page = page_at(walk, index);
    volatile uint64_t *words = (volatile uint64_t *)(walk->memory + page * PAGE_BYTES);
    const uint64_t begin = now_ns();
    if (walk->how->write) {
      words[0] = word_of(page, 0);
    } else {
      (void)words[0];
    }
    const uint64_t took = now_ns() - begin;
    walk->measured->latency_ns[index] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    walk->wrong += !page_is_right((const uint64_t *)words, page);
  }
  return NULL;
}

/*
 * Goes through `memory`. The measurement lies in memory of its own that is all there; the caller
 * unmaps measurement_bytes() of it. NULL when there is no memory or thread.
 */
static inline size_t measurement_bytes(const struct accesses *how, uint64_t pages) {
  return sizeof(struct measurement) + count_of(how, pages) * sizeof(uint32_t);
}

static inline struct measurement *walk_memory(const struct accesses *how, uint8_t *memory,
                                              uint64_t pages) {
  const uint64_t count = count_of(how, pages);
  struct measurement *measured =
      mmap(NULL, measurement_bytes(how, pages), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (measured == MAP_FAILED) return NULL;
  struct walk walks[THREADS_MAX];
  pthread_t threads[THREADS_MAX];
  measured->count = count;
  measured->start_ns = now_ns();
  for (unsigned i = 0; i < how->threads; ++i) {
    walks[i] = (struct walk){.how = how, .memory = memory, .pages = pages, .measured = measured,
                             .first = count * i / how->threads,
                             .end = count * (i + 1) / how->threads};
    if (how->threads == 1) {
      walk_part(&walks[i]);
    } else if (pthread_create(&threads[i], NULL, walk_part, &walks[i])) {
      return NULL;
    }
  }
  for (unsigned i = 0; i < how->threads; ++i) {
    if (how->threads > 1) pthread_join(threads[i], NULL);
    measured->wrong += walks[i].wrong;
  }
  measured->end_ns = now_ns();
  return measured;
}

static inline const struct accesses *find_accesses(const char *name) {
  for (size_t i = 0; i < sizeof(kAccesses) / sizeof(kAccesses[0]); ++i) {
    if (strcmp(kAccesses[i].name, name) == 0) return &kAccesses[i];
  }
  return NULL;
}

#endif /* BENCH_TARGETS_ACCESSES_H_ */
