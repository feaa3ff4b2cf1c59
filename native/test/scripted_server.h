// A page server in a thread of the test, which answers as a script says.
#ifndef THAW_NATIVE_TEST_SCRIPTED_SERVER_H_
#define THAW_NATIVE_TEST_SCRIPTED_SERVER_H_

#include <cstdint>
#include <functional>
#include <thread>

#include "fd.h"
#include "page_server_wire.h"
#include "test_image.h"

namespace thaw::testing {

class ScriptedServer {
 public:
  // kHalf: the answer breaks off in the middle of a page, and nothing more comes.
  enum class Kind { kPages, kHalf, kHangUp, kGarbage, kSilence };
  struct Answer {
    Kind kind = Kind::kPages;
    uint64_t page_count_max = ~uint64_t{0};
  };
  // Called on the server's thread for each request; may wait.
  using Script = std::function<Answer(const wire::Header& request)>;

  // Serves the pages of `image`, which has to outlive it, with headers of `header_bytes`.
  ScriptedServer(const TestImage& image, uint32_t header_bytes, Script script);
  ~ScriptedServer();

  // The client's end of the connection.
  Fd TakeClient() { return std::move(client_); }

 private:
  void Run();
  bool AnswerOne(const wire::Header& request);
  bool ReadAll(void* buffer, size_t byte_length);
  void WriteAll(const void* bytes, size_t byte_length);

  const TestImage& image_;
  const uint32_t header_bytes_;
  const Script script_;
  Fd client_;
  Fd fd_;
  std::thread thread_;
};

}  // namespace thaw::testing

#endif  // THAW_NATIVE_TEST_SCRIPTED_SERVER_H_
