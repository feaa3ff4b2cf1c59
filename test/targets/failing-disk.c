/*
 * A disk that errors, for tests: loaded into the pager by LD_PRELOAD, it has reads of pages images
 * fail with EIO for as long as the file that THAW_TEST_FAILING_DISK names is there. All bytes come
 * from the disk: nothing is in the page cache that the pager could map.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_pages_image(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "/pages-") != NULL;
}

ssize_t preadv2(int fd, const struct iovec *vectors, int count, off_t offset, int flags) {
  const char *const switch_path = getenv("THAW_TEST_FAILING_DISK");
  if (switch_path != NULL && is_pages_image(fd) && access(switch_path, F_OK) == 0) {
    errno = EIO;
    return -1;
  }
  return syscall(SYS_preadv2, fd, vectors, count, offset, 0, flags);
}

int mincore(void *start, size_t byte_length, unsigned char *cached) {
  (void)start;
  memset(cached, 0, (byte_length + 4095) / 4096);
  return 0;
}

/* What the same call is named in a program that was built for large files. */
ssize_t preadv64v2(int fd, const struct iovec *vectors, int count, off_t offset, int flags)
    __attribute__((alias("preadv2")));
