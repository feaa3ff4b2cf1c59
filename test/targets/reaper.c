/*
 * Runs a command in a session of its own, and waits for it and for every descendant that it leaves
 * behind: their pids are free when this ends. Ends with the command's status.
 *
 *   reaper COMMAND [ARGUMENT...]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2 || prctl(PR_SET_CHILD_SUBREAPER, 1)) return 125;
  const pid_t command = fork();
  if (command < 0) return 125;
  if (command == 0) {
    setsid();
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  int result = 125;
  for (;;) {
    int status;
    const pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno == ECHILD) return result;
    if (pid == command) result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}
