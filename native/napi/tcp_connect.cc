#include "tcp_connect.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "blocking_pool.h"
#include "env_data.h"
#include "fd.h"
#include "system_error.h"

namespace thaw {

namespace {

// Connects to a numeric address, for at most `limit_ms`; 0 or a positive errno.
int Connect(const std::string& address, const std::string& port, int limit_ms, Fd* connected) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.c_str(), port.c_str(), &hints, &found) != 0) return EINVAL;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  Fd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno;
  if (::connect(fd.get(), found->ai_addr, found->ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return errno;
    pollfd poll{fd.get(), POLLOUT, 0};
    const int ready = ::poll(&poll, 1, limit_ms);
    if (ready == 0) return ETIMEDOUT;
    int error = errno;
    socklen_t byte_length = sizeof(error);
    if (ready > 0) ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &byte_length);
    if (error != 0) return error;
  }
  *connected = std::move(fd);
  return 0;
}

// connectTcp(address, port, limitMs): a promise of the connected descriptor, or of a negated errno.
Napi::Value ConnectTcp(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string address = info[0].ToString().Utf8Value();
  const std::string port = std::to_string(ToSize(info, 1, 65535));
  const int limit_ms = static_cast<int>(ToSize(info, 2, INT32_MAX));
  const std::shared_ptr<Completions> completions = GetEnvData(env).completions;
  const auto deferred = Napi::Promise::Deferred::New(env);
  const bool started =
      BlockingPool::Instance().Run([address, port, limit_ms, completions, deferred] {
        // Shared, so that it is closed where nobody is left to be told.
        auto fd = std::make_shared<Fd>();
        const int error = Connect(address, port, limit_ms, fd.get());
        completions->Post([deferred, fd, error](Napi::Env arrival) {
          const int answer = error == 0 ? fd->Release() : -error;
          deferred.Resolve(Napi::Number::New(arrival, answer));
        });
      });
  if (!started) ThrowSystemError(env, "pthread_create", EAGAIN);
  completions->Begin(env);
  return deferred.Promise();
}

}  // namespace

void RegisterTcpConnect(Napi::Env env, Napi::Object exports) {
  exports.Set("connectTcp", Napi::Function::New(env, ConnectTcp));
}

}  // namespace thaw
