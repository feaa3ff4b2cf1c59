// What ends with the JavaScript thread that it belongs to: a worker that is terminated runs no more
// JavaScript, not even between two calls.
//
// Thread-safety: JavaScript thread only.
#ifndef THAW_NATIVE_NAPI_THREAD_FDS_H_
#define THAW_NATIVE_NAPI_THREAD_FDS_H_

#include <set>

namespace thaw {

// Descriptors that the addon has made for JavaScript.
class ThreadFds {
 public:
  ThreadFds() = default;
  ThreadFds(const ThreadFds&) = delete;
  ThreadFds& operator=(const ThreadFds&) = delete;
  // Closes what is left, and has processes of ours that this thread started reaped: nobody else
  // does any more.
  ~ThreadFds();

  void Add(int fd) { fds_.insert(fd); }
  // The owner closes it.
  void Forget(int fd) { fds_.erase(fd); }

 private:
  std::set<int> fds_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_THREAD_FDS_H_
