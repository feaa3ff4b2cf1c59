#include "scripted_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace thaw::testing {

ScriptedServer::ScriptedServer(const TestImage& image, uint32_t header_bytes, Script script)
    : image_(image), header_bytes_(header_bytes), script_(std::move(script)) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) ::abort();
  client_ = Fd(fds[0]);
  fd_ = Fd(fds[1]);
  thread_ = std::thread([this] { Run(); });
}

ScriptedServer::~ScriptedServer() {
  ::shutdown(fd_.get(), SHUT_RDWR);
  thread_.join();
}

void ScriptedServer::Run() {
  std::vector<uint8_t> bytes(header_bytes_);
  while (ReadAll(bytes.data(), bytes.size())) {
    const wire::Header request = wire::Decode(bytes.data(), header_bytes_);
    if (request.command == wire::kClose) {
      const int32_t status = 0;
      WriteAll(&status, sizeof(status));
      break;
    }
    if (!AnswerOne(request)) break;
  }
  ::shutdown(fd_.get(), SHUT_RDWR);
}

bool ScriptedServer::AnswerOne(const wire::Header& request) {
  const Answer answer = script_(request);
  if (answer.kind == Kind::kSilence) return true;
  if (answer.kind == Kind::kHangUp) return false;
  wire::Header header = request;
  header.command = wire::kAddPages | wire::kPagesPresent << 16;
  header.page_count = std::min(request.page_count, answer.page_count_max);
  if (answer.kind == Kind::kGarbage) header.vaddr ^= kPageSize;
  std::vector<uint8_t> bytes(header_bytes_);
  wire::Encode(header, header_bytes_, bytes.data());
  const uint64_t first = (request.vaddr - image_.start()) / kPageSize;
  for (uint64_t i = 0; i < header.page_count; ++i) {
    const PageBytes page = ContentOf(first + i);
    bytes.insert(bytes.end(), page.begin(), page.end());
  }
  const size_t missing = answer.kind == Kind::kHalf ? kPageSize / 3 : 0;
  WriteAll(bytes.data(), bytes.size() - missing);
  return true;
}

bool ScriptedServer::ReadAll(void* buffer, size_t byte_length) {
  return ::recv(fd_.get(), buffer, byte_length, MSG_WAITALL) == static_cast<ssize_t>(byte_length);
}

// In two parts, so that a page is often cut.
void ScriptedServer::WriteAll(const void* bytes, size_t byte_length) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  const size_t first = byte_length * 2 / 3;
  ::send(fd_.get(), from, first, MSG_NOSIGNAL);
  std::this_thread::yield();
  ::send(fd_.get(), from + first, byte_length - first, MSG_NOSIGNAL);
}

}  // namespace thaw::testing
