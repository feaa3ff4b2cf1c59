#include "blocking_pool.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <utility>

namespace thaw {

namespace {
constexpr size_t kStackBytes = 256 * 1024;
constexpr std::chrono::seconds kIdleLimit{1};
}  // namespace

BlockingPool& BlockingPool::Instance() {
  static auto* pool = new BlockingPool();
  return *pool;
}

bool BlockingPool::Run(std::function<void()> work) {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(work));
  if (queue_.size() > idle_ && threads_ < kThreadsMax && !StartThread() && threads_ == 0) {
    queue_.pop_back();
    return false;
  }
  ready_.notify_one();
  return true;
}

// Called with the lock held.
bool BlockingPool::StartThread() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  // Signals are for the threads of the program; a thread inherits the mask of its maker.
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGSEGV);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, ThreadMain, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) return false;
  threads_ += 1;
  return true;
}

void* BlockingPool::ThreadMain(void* pool) {
  static_cast<BlockingPool*>(pool)->Loop();
  return nullptr;
}

void BlockingPool::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    if (queue_.empty()) {
      idle_ += 1;
      const bool woken = ready_.wait_for(lock, kIdleLimit, [this] { return !queue_.empty(); });
      idle_ -= 1;
      if (!woken) break;
    }
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds ends here, outside the lock
    lock.lock();
  }
  threads_ -= 1;
}

}  // namespace thaw
