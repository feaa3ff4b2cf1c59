// Descriptors that end with the JavaScript thread that they belong to, when it does not close them:
// a worker that is terminated runs no more JavaScript.
//
// Thread-safety: JavaScript thread only.
#ifndef THAW_NATIVE_NAPI_THREAD_FDS_H_
#define THAW_NATIVE_NAPI_THREAD_FDS_H_

#include <set>

namespace thaw {

class ThreadFds {
 public:
  ThreadFds() = default;
  ThreadFds(const ThreadFds&) = delete;
  ThreadFds& operator=(const ThreadFds&) = delete;
  // Closes what is left. A pidfd of a child is closed once the child has been reaped, which nobody
  // else does any more.
  ~ThreadFds();

  void Add(int fd) { fds_.insert(fd); }
  // The owner closes it.
  void Forget(int fd) { fds_.erase(fd); }

 private:
  std::set<int> fds_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_THREAD_FDS_H_
