#include "unix_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "attached_fds.h"
#include "fd.h"
#include "system_error.h"

namespace thaw {

namespace {

constexpr int kBacklog = 16;

// Whether a socket is bound to `address`, without a connection to it: a datagram cannot go there.
bool IsTaken(const sockaddr_un& address) {
  const Fd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto* const name = reinterpret_cast<const sockaddr*>(&address);
  return ::connect(probe.get(), name, sizeof(address)) == 0 || errno == EPROTOTYPE;
}

// A kernel without it (before 6.5) sends no pidfds: the receiver does without.
void PassPidfd(int fd) {
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, kSoPassPidfd, &on, sizeof(on));
}

// unixListen(path): the listening socket.
Napi::Value UnixListen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = info[0].ToString().Utf8Value();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) ThrowSystemError(env, "bind", ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  if (IsTaken(address)) ThrowSystemError(env, "bind", EADDRINUSE);

  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) ThrowSystemError(env, "socket", errno);
  // The name gets the socket's own mode, less the umask.
  if (::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) ThrowSystemError(env, "fchmod", errno);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) ThrowSystemError(env, "unlink", errno);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ThrowSystemError(env, "bind", errno);
  }
  PassPidfd(fd.get());
  if (::listen(fd.get(), kBacklog) != 0) ThrowSystemError(env, "listen", errno);
  return Napi::Number::New(env, fd.Release());
}

// unixAccept(fd): {fd, pid, uid}, or null where nobody waits.
Napi::Value UnixAccept(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Fd fd(::accept4(ToFd(info, 0), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return env.Null();
    ThrowSystemError(env, "accept4", errno);
  }
  PassPidfd(fd.get());
  ucred peer{};
  socklen_t byte_length = sizeof(peer);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &byte_length) != 0) {
    ThrowSystemError(env, "getsockopt", errno);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("fd", fd.Release());
  result.Set("pid", peer.pid);
  result.Set("uid", peer.uid);
  return result;
}

}  // namespace

void RegisterUnixSocket(Napi::Env env, Napi::Object exports) {
  exports.Set("unixListen", Napi::Function::New(env, UnixListen));
  exports.Set("unixAccept", Napi::Function::New(env, UnixAccept));
}

}  // namespace thaw
