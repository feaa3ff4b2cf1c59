/* What the kernel says of other processes: their CPU time and memory, and those of their descendants. */
#ifndef BENCH_TARGETS_PROCESSES_H_
#define BENCH_TARGETS_PROCESSES_H_

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 64

struct processes {
  pid_t pids[PROCESSES_MAX];
  unsigned count;
};

/* Adds `pid` and all that descend from it. */
static void add_tree(struct processes *found, pid_t pid) {
  if (found->count == PROCESSES_MAX) return;
  found->pids[found->count++] = pid;
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  if (tasks == NULL) return;
  for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
    char children[360];
    snprintf(children, sizeof(children), "%s/%s/children", path, task->d_name);
    FILE *file = fopen(children, "re");
    if (file == NULL) continue;
    for (pid_t child; fscanf(file, "%d", &child) == 1;) add_tree(found, child);
    fclose(file);
  }
  closedir(tasks);
}

/* CPU time of all threads that a process has or had; 0 when it is gone. */
static uint64_t cpu_ns(pid_t pid) {
  clockid_t clock;
  struct timespec time;
  if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time)) return 0;
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

/* A number of /proc/PID/status, in its unit there; 0 when there is none. */
static uint64_t status_of(pid_t pid, const char *name) {
  char path[64], line[256];
  snprintf(path, sizeof(path), "/proc/%d/status", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  uint64_t value = 0;
  while (fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) value = strtoull(line + strlen(name), NULL, 10);
  }
  fclose(file);
  return value;
}

/* Pages of anonymous memory that are in. */
static uint64_t anonymous_pages(pid_t pid) {
  char path[64];
  unsigned long long resident = 0, shared = 0;
  snprintf(path, sizeof(path), "/proc/%d/statm", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  if (fscanf(file, "%*u %llu %llu", &resident, &shared) != 2) resident = shared = 0;
  fclose(file);
  return resident - shared;
}

static int is_node(pid_t pid) {
  char path[64], name[16] = "";
  snprintf(path, sizeof(path), "/proc/%d/comm", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  if (fscanf(file, "%15s", name) != 1) name[0] = 0;
  fclose(file);
  return strcmp(name, "node") == 0 || strcmp(name, "MainThread") == 0;
}

#endif /* BENCH_TARGETS_PROCESSES_H_ */
