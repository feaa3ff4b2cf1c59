#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "attached_fds.h"
#include "env_data.h"
#include "fd.h"
#include "system_error.h"

namespace thaw {

namespace {

// Bounds the buffer of one receive.
constexpr uint64_t kMessageBytesMax = 16 * 1024 * 1024;

// Gives the descriptor to JavaScript, until closeFd or the end of the thread.
int HandOver(Napi::Env env, Fd fd) {
  GetEnvData(env).fds.Add(fd.get());
  return fd.Release();
}

// socketpair(stream): of packets, or a stream, whose ends others may close.
Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  const bool stream = info[0].ToBoolean().Value();
  int fds[2];
  if (socketpair(AF_UNIX, (stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0, fds) != 0) {
    ThrowSystemError(info.Env(), "socketpair", errno);
  }
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  for (const uint32_t i : {0u, 1u}) {
    pair.Set(i, stream ? fds[i] : HandOver(info.Env(), Fd(fds[i])));
  }
  return pair;
}

std::vector<int> ToFds(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsArray()) throw Napi::TypeError::New(info.Env(), "Expected an array of fds");
  const Napi::Array array = info[index].As<Napi::Array>();
  if (array.Length() > kAttachedFdsMax) {
    throw Napi::RangeError::New(info.Env(), "Expected at most 253 descriptors a message");
  }
  std::vector<int> fds;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value element = array.Get(i);
    if (!element.IsNumber()) throw Napi::TypeError::New(info.Env(), "Expected an array of fds");
    fds.push_back(element.As<Napi::Number>().Int32Value());
  }
  return fds;
}

// sendMessage(fd, bytes, fds): true, or false where the socket is full.
Napi::Value SendMessage(const Napi::CallbackInfo& info) {
  const int fd = ToFd(info, 0);
  Napi::Uint8Array bytes = ToBytes(info, 1);
  const std::vector<int> fds = ToFds(info, 2);
  // An empty message could not be told from the end of the stream by its receiver.
  if (bytes.ByteLength() == 0) throw Napi::RangeError::New(info.Env(), "Expected some bytes");

  iovec part{bytes.Data(), bytes.ByteLength()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kAttachedFdsMax)] = {};
  if (!fds.empty()) AttachFds(fds.data(), fds.size(), control, &message);
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno == EAGAIN) return Napi::Boolean::New(info.Env(), false);
  if (sent < 0) ThrowSystemError(info.Env(), "sendmsg", errno);
  if (static_cast<size_t>(sent) != bytes.ByteLength()) {
    ThrowSystemError(info.Env(), "sendmsg", EMSGSIZE);
  }
  return Napi::Boolean::New(info.Env(), true);
}

// receiveMessage(fd, maxBytes): {bytes, fds}, null where nothing waits, 'end' after a hang-up.
Napi::Value ReceiveMessage(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = ToFd(info, 0);
  std::vector<uint8_t> buffer(ToSize(info, 1, kMessageBytesMax));
  alignas(cmsghdr) char control[kAttachedBytes];
  const Received received =
      ReceiveAttached(fd, buffer.data(), buffer.size(), control, sizeof(control), MSG_DONTWAIT);
  if (received.byte_length < 0 && errno == EAGAIN) return env.Null();
  if (received.byte_length < 0) ThrowSystemError(env, "recvmsg", errno);

  AttachedFds attached = TakeAttachedFds(control, received.attached_length);
  // A cut message is no message: what did arrive of its descriptors is closed here.
  if ((received.flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    attached = {};
    ThrowSystemError(env, "recvmsg", EMSGSIZE);
  }
  if (received.byte_length == 0) return Napi::String::New(env, "end");

  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, static_cast<size_t>(received.byte_length));
  memcpy(bytes.Data(), buffer.data(), bytes.ByteLength());
  Napi::Array numbers = Napi::Array::New(env, attached.fds.size());
  for (uint32_t i = 0; i < attached.fds.size(); ++i) {
    numbers.Set(i, HandOver(env, std::move(attached.fds[i])));
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("bytes", bytes);
  result.Set("fds", numbers);
  return result;
}

// peekBytes(fd, byteLength): those that are there.
Napi::Value PeekBytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<uint8_t> buffer(ToSize(info, 1, kMessageBytesMax));
  const ssize_t count = recv(ToFd(info, 0), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
  if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNRESET) {
    ThrowSystemError(env, "recv", errno);
  }
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, count > 0 ? static_cast<size_t>(count) : 0);
  memcpy(bytes.Data(), buffer.data(), bytes.ByteLength());
  return bytes;
}

void ShutdownSend(const Napi::CallbackInfo& info) {
  // ENOTCONN: the peer is gone.
  if (shutdown(ToFd(info, 0), SHUT_WR) != 0 && errno != ENOTCONN) {
    ThrowSystemError(info.Env(), "shutdown", errno);
  }
}

Fd OpenMemfd(const Napi::CallbackInfo& info) {
  const std::string name = info[0].ToString().Utf8Value();
  Fd fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) ThrowSystemError(info.Env(), "memfd_create", errno);
  return fd;
}

Napi::Value CreateMemfd(const Napi::CallbackInfo& info) {
  const uint64_t byte_length = ToSize(info, 1);
  Fd fd = OpenMemfd(info);
  if (ftruncate(fd.get(), static_cast<off_t>(byte_length)) != 0) {
    const int error = errno;
    fd.Reset();
    ThrowSystemError(info.Env(), "ftruncate", error);
  }
  return Napi::Number::New(info.Env(), HandOver(info.Env(), std::move(fd)));
}

void WriteAll(Napi::Env env, int fd, const uint8_t* bytes, size_t byte_length) {
  size_t done = 0;
  while (done < byte_length) {
    const ssize_t written = write(fd, bytes + done, byte_length - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ThrowSystemError(env, "write", errno);
    done += static_cast<size_t>(written);
  }
}

Napi::Value CreateSealedMemfd(const Napi::CallbackInfo& info) {
  if (!info[1].IsArray()) throw Napi::TypeError::New(info.Env(), "Expected an array of bytes");
  const Napi::Array parts = info[1].As<Napi::Array>();
  Fd fd = OpenMemfd(info);
  for (uint32_t i = 0; i < parts.Length(); ++i) {
    const Napi::Value part = parts.Get(i);
    if (!part.IsTypedArray() || part.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
      throw Napi::TypeError::New(info.Env(), "Expected an array of Uint8Array");
    }
    Napi::Uint8Array bytes = part.As<Napi::Uint8Array>();
    WriteAll(info.Env(), fd.get(), bytes.Data(), bytes.ByteLength());
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    ThrowSystemError(info.Env(), "fcntl", errno);
  }
  return Napi::Number::New(info.Env(), HandOver(info.Env(), std::move(fd)));
}

Napi::Value PidfdOpen(const Napi::CallbackInfo& info) {
  const int pid = ToFd(info, 0);
  Fd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by definition
  if (!fd.valid()) ThrowSystemError(info.Env(), "pidfd_open", errno);
  return Napi::Number::New(info.Env(), HandOver(info.Env(), std::move(fd)));
}

// pidfdSendSignal(pidfd, signal): true, or false where the process is gone.
Napi::Value PidfdSendSignal(const Napi::CallbackInfo& info) {
  const int pidfd = ToFd(info, 0);
  const int signal_number = ToFd(info, 1);
  if (syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0) == 0) {
    return Napi::Boolean::New(info.Env(), true);
  }
  if (errno == ESRCH) return Napi::Boolean::New(info.Env(), false);
  ThrowSystemError(info.Env(), "pidfd_send_signal", errno);
}

void CloseFd(const Napi::CallbackInfo& info) {
  const int fd = ToFd(info, 0);
  GetEnvData(info.Env()).fds.Forget(fd);
  // Linux frees the descriptor even where close(2) says EINTR or EIO.
  if (close(fd) != 0 && errno == EBADF) ThrowSystemError(info.Env(), "close", EBADF);
}

}  // namespace

void RegisterChannel(Napi::Env env, Napi::Object exports) {
  exports.Set("socketpair", Napi::Function::New(env, SocketPair));
  exports.Set("sendMessage", Napi::Function::New(env, SendMessage));
  exports.Set("receiveMessage", Napi::Function::New(env, ReceiveMessage));
  exports.Set("peekBytes", Napi::Function::New(env, PeekBytes));
  exports.Set("shutdownSend", Napi::Function::New(env, ShutdownSend));
  exports.Set("createMemfd", Napi::Function::New(env, CreateMemfd));
  exports.Set("createSealedMemfd", Napi::Function::New(env, CreateSealedMemfd));
  exports.Set("pidfdOpen", Napi::Function::New(env, PidfdOpen));
  exports.Set("pidfdSendSignal", Napi::Function::New(env, PidfdSendSignal));
  exports.Set("closeFd", Napi::Function::New(env, CloseFd));
}

}  // namespace thaw
