// A page server at the other end of a stream socket: where the bytes of pages come from when no
// file here has them.
//
// One thread: it sends what is asked for, demand before background, and installs what comes back,
// in the order of the requests. Nobody waits for the network here: a page that is asked for stays
// in flight (page_state.h) until its bytes are in, its target is gone, or the source is given up.
// A lost connection is told (kSourceLost); what was asked for waits until Replace() brings another
// connection, or Abandon() has it poisoned.
// Thread-safety: all public calls from any thread. Lifetime: Stop() ends the thread; until then the
// source is kept by whoever stops it.
#ifndef THAW_NATIVE_CORE_REMOTE_SOURCE_H_
#define THAW_NATIVE_CORE_REMOTE_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fd.h"
#include "page_server_wire.h"
#include "pager_event.h"
#include "plan.h"

namespace thaw {

class AddressSpace;

class RemoteSource {
 public:
  struct Options {
    uint64_t id = 0;  // what its events name
    uint32_t header_bytes = wire::kNarrowBytes;
    uint32_t close_command = wire::kClose;
    // Longest silence while pages are asked for, in milliseconds: before the first answer (a server
    // that reads the other layout never answers), and later.
    uint32_t first_answer_ms = 10'000;
    uint32_t answer_ms = 30'000;
  };
  // Tells whoever reports on targets that this one has changed (`gone`: it is no more).
  using Look = std::function<void(const std::shared_ptr<AddressSpace>& space, bool gone)>;

  // Pages that are in flight and wanted.
  struct Request {
    std::shared_ptr<AddressSpace> space;
    Extent extent;
    uint32_t page;  // of the extent
    uint32_t page_count;
    uint32_t fault_page;  // the page somebody waits for, or kNoFault
    uint64_t asked_ns;
    bool demand() const { return fault_page != kNoFault; }
  };
  static constexpr uint32_t kNoFault = ~uint32_t{0};

  // Without a connection (`fd` invalid) it begins as after a loss, and says so.
  RemoteSource(Fd fd, const Options& options, PagerEventSink sink, Look look);
  ~RemoteSource() { Stop(); }

  // Begins to serve; false without a thread or an eventfd to wait with.
  bool Start();
  // Ends the connection without a word, and the thread. What was asked for stays in flight.
  void Stop();

  // Takes a request over. 0, or the errno for which its pages cannot be produced any more.
  int Ask(Request request);
  // Whether background requests may be added now.
  bool HasRoom() const {
    return background_pages_.load(std::memory_order_relaxed) <
           background_pages_max_.load(std::memory_order_relaxed);
  }

  // Goes on with another connection; requests that were not answered in full are sent again.
  void Replace(Fd fd);
  // After a loss: what is asked for, now and later, is poisoned.
  void Abandon();
  // From now on a loss is final, as after Abandon().
  void ExpectNoOther();
  // Takes leave of the server once everything asked for is in; kSourceClosed tells how it went.
  // False when that is over already.
  bool Close();

 private:
  void Run();
  void TakeReplacement();
  bool TakeOrders();
  void Send(Request request);
  void SendClose();
  void Flush();
  void Receive();
  int ReceiveHeader();
  int ReceivePages();
  int BeginAnswer();
  void DeliverPages();
  void EndAnswer();
  void Install(const Request& request, uint32_t page_count, uint64_t bytes, int error);
  void PoisonAll();
  void Disconnect(int error);
  void Lose(int error);
  void End(int error);
  void Queue(Request request, bool first);
  bool expecting() const { return !sent_.empty() || close_sent_; }
  uint64_t silence_end_ns() const;
  void Wake();

  const Options options_;
  const PagerEventSink sink_;
  const Look look_;
  std::thread thread_;
  Fd wake_;
  std::atomic<uint32_t> background_pages_{0};  // asked for and not in yet
  std::atomic<uint32_t> background_pages_max_;

  std::mutex mutex_;  // guards everything up to fd_
  std::deque<Request> demand_;
  std::deque<Request> background_;
  Fd replacement_;
  bool stopping_ = false;
  bool abandoned_ = false;
  bool no_other_ = false;
  bool final_ = false;  // own thread: no_other_ was heeded
  bool close_wanted_ = false;
  bool ended_ = false;
  int error_ = 0;  // of the last loss

  bool connected_ = false;  // when it was started
  Fd fd_;  // the thread's own, as is what follows; invalid while there is no connection
  std::deque<Request> sent_;
  std::vector<uint8_t> out_;  // headers that the socket has not taken yet
  std::vector<uint8_t> pages_;
  size_t pages_bytes_ = 0;     // received of them and not installed
  uint32_t answer_pages_ = 0;  // of the answer, not installed
  uint8_t header_[wire::kWideBytes];
  size_t header_bytes_ = 0;  // received of it
  uint64_t heard_ns_ = 0;
  uint64_t bytes_ = 0;
  uint64_t answers_ = 0;
  bool close_sent_ = false;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_REMOTE_SOURCE_H_
