// Runs the native tests: `native-test [PART-OF-A-NAME]`, every test whose name contains it.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "testing.h"

namespace thaw::testing {

namespace {
// A test that waits for a page that nobody brings ends by SIGALRM, its name printed last.
constexpr unsigned kDeadlineSeconds = 60;

std::atomic<int> failures{0};

int RunTests(const char* filter) {
  int run = 0;
  int failed = 0;
  for (const Test& test : Tests()) {
    if (strstr(test.name, filter) == nullptr) continue;
    printf("%s ", test.name);
    fflush(stdout);
    const int before = failures;
    alarm(kDeadlineSeconds);
    test.run();
    alarm(0);
    const bool ok = failures == before;
    printf("%s\n", ok ? "ok" : "FAILED");
    run += 1;
    failed += ok ? 0 : 1;
  }
  printf("%d tests, %d failed\n", run, failed);
  return run > 0 && failed == 0 ? 0 : 1;
}
}  // namespace

std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}

void Fail(const char* file, int line, const std::string& message) {
  failures += 1;
  printf("\n  %s:%d: %s\n", file, line, message.c_str());
}

}  // namespace thaw::testing

int main(int argc, char** argv) { return thaw::testing::RunTests(argc > 1 ? argv[1] : ""); }
