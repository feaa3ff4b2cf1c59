// Threads for work that may wait for a page for as long as nobody brings it.
//
// Why our own: a fixed pool (libuv's has four threads) deadlocks as soon as its threads all wait
// for pages and the page handler needs one of them. Here every piece of work gets a thread at once:
// an idle one, else a new one, up to kThreadsMax; only then does work queue up. Threads that were
// idle for a second end.
//
// Thread-safety: any thread. Lifetime: one pool a process, never destroyed, its threads detached: a
// thread that waits for a page must not delay the end of the process.
#ifndef THAW_NATIVE_CORE_BLOCKING_POOL_H_
#define THAW_NATIVE_CORE_BLOCKING_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace thaw {

class BlockingPool {
 public:
  // Each waiting thread costs a stack of its own; a target process rarely has more threads that
  // fault at once.
  static constexpr size_t kThreadsMax = 512;

  static BlockingPool& Instance();

  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  // False when there is not one thread and none can be started.
  bool Run(std::function<void()> work);

 private:
  BlockingPool() = default;
  static void* ThreadMain(void* pool);
  void Loop();
  bool StartThread();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> queue_;
  size_t threads_ = 0;
  size_t idle_ = 0;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_BLOCKING_POOL_H_
