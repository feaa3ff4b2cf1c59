#include "remote_source.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "address_space.h"
#include "clock.h"
#include "thread_name.h"

namespace thaw {
namespace {

// Received at a time; a request may be larger.
constexpr uint32_t kBufferPages = 64;
// Background pages in flight: a fault waits behind them. Little after a fault, more while nobody
// waits.
constexpr uint32_t kBackgroundPagesMin = 64;
constexpr uint32_t kBackgroundPagesMax = 1024;
// How often an installation is tried while an event of the target is unread, and the pause between.
// Its pages are given back then, and asked for again.
constexpr int kAttemptsMax = 50;
constexpr unsigned kPauseUs = 200;
// Longest wait for the server's farewell.
constexpr uint64_t kFarewellMs = 10'000;
constexpr uint64_t kNsPerMs = 1'000'000;

}  // namespace

RemoteSource::RemoteSource(Fd fd, const Options& options, PagerEventSink sink, Look look)
    : options_(options),
      sink_(std::move(sink)),
      look_(std::move(look)),
      background_pages_max_(kBackgroundPagesMin),
      replacement_(std::move(fd)),
      pages_(kBufferPages * kPageSize) {}

bool RemoteSource::Start() {
  wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return false;
  connected_ = replacement_.valid();
  if (!connected_) error_ = ECONNRESET;
  thread_ = std::thread([this] { Run(); });
  return true;
}

void RemoteSource::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
}

void RemoteSource::Wake() { ::eventfd_write(wake_.get(), 1); }

int RemoteSource::Ask(Request request) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (abandoned_ || ended_ || stopping_) return error_ != 0 ? error_ : ENOTCONN;
    if (request.demand()) {
      background_pages_max_ = kBackgroundPagesMin;
    } else {
      background_pages_ += request.page_count;
    }
    Queue(std::move(request), false);
  }
  Wake();
  return 0;
}

// With the lock held.
void RemoteSource::Queue(Request request, bool first) {
  std::deque<Request>& queue = request.demand() ? demand_ : background_;
  if (first) {
    queue.push_front(std::move(request));
  } else {
    queue.push_back(std::move(request));
  }
}

void RemoteSource::Replace(Fd fd) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    replacement_ = std::move(fd);
  }
  Wake();
}

void RemoteSource::Abandon() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    abandoned_ = true;
  }
  Wake();
}

void RemoteSource::ExpectNoOther() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    no_other_ = true;
  }
  Wake();
}

bool RemoteSource::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ended_) return false;
    close_wanted_ = true;
  }
  Wake();
  return true;
}

void RemoteSource::Run() {
  NameThread("thaw-remote");
  if (!connected_) sink_({PagerEventKind::kSourceLost, error_, options_.id, 0, 0, 0});
  while (TakeOrders()) {
    if (fd_.valid()) Flush();
    const short events = static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT);
    pollfd polls[] = {{wake_.get(), POLLIN, 0}, {fd_.get(), events, 0}};
    int wait_ms = -1;  // nothing is outstanding: orders wake it
    if (fd_.valid() && expecting()) {
      const uint64_t now_ns = MonotonicNs(), end_ns = silence_end_ns();
      wait_ms = now_ns >= end_ns ? 0 : static_cast<int>((end_ns - now_ns) / kNsPerMs + 1);
    }
    ::poll(polls, 2, wait_ms);
    eventfd_t ignored;
    if (polls[0].revents != 0) ::eventfd_read(wake_.get(), &ignored);
    if (fd_.valid() && (polls[1].revents & ~POLLOUT) != 0) Receive();
    if (fd_.valid() && expecting() && MonotonicNs() >= silence_end_ns()) Lose(ETIMEDOUT);
  }
  fd_.Reset();
  std::deque<Request> left;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::deque<Request>* queue : {&demand_, &background_, &sent_}) queue->clear();
}

uint64_t RemoteSource::silence_end_ns() const {
  uint64_t limit_ms = answers_ == 0 ? options_.first_answer_ms : options_.answer_ms;
  if (sent_.empty() && close_sent_) limit_ms = kFarewellMs;
  return heard_ns_ + limit_ms * kNsPerMs;
}

// Goes on with the connection that Replace() brought, if it did.
void RemoteSource::TakeReplacement() {
  Fd fd;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ended_ || abandoned_) return;
    fd = std::move(replacement_);
  }
  if (!fd.valid()) return;
  // Its loss may not have been noticed yet.
  Disconnect(ECONNRESET);
  fd_ = std::move(fd);
  MakeNonBlocking(fd_.get());
  const int on = 1;  // a socket that is no TCP socket does without
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// Carries out what the other threads want; false when the thread is to end.
bool RemoteSource::TakeOrders() {
  TakeReplacement();
  std::deque<Request> taken;
  bool give_up = false, close = false, final = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return false;
    final = no_other_ && !final_;
    final_ = no_other_;
    if (no_other_ && !fd_.valid()) abandoned_ = true;
    give_up = abandoned_;
    if (fd_.valid() && !give_up) {
      taken.swap(demand_);
      // While the socket is full, background requests would only stand in the way.
      if (out_.empty()) {
        for (Request& request : background_) taken.push_back(std::move(request));
        background_.clear();
      }
    }
    close = close_wanted_ && !ended_;
  }
  for (Request& request : taken) Send(std::move(request));
  // What was told as lost is lost for good by now.
  if (final && !fd_.valid()) sink_({PagerEventKind::kSourceLost, error_, options_.id, 0, 0, 0});
  if (give_up) {
    Disconnect(ECONNABORTED);
    PoisonAll();
  }
  if (close && !close_sent_) SendClose();
  return true;
}

void RemoteSource::Send(Request request) {
  if (!expecting()) heard_ns_ = MonotonicNs();
  const wire::Header header{wire::kGetPages, request.page_count,
                            request.extent.vaddr + request.page * kPageSize,
                            request.space->image_pid()};
  uint8_t bytes[wire::kWideBytes];
  wire::Encode(header, options_.header_bytes, bytes);
  out_.insert(out_.end(), bytes, bytes + options_.header_bytes);
  sent_.push_back(std::move(request));
}

void RemoteSource::SendClose() {
  if (!fd_.valid()) return End(ENOTCONN);
  if (!expecting()) heard_ns_ = MonotonicNs();
  uint8_t bytes[wire::kWideBytes];
  wire::Encode({options_.close_command, 0, 0, 0}, options_.header_bytes, bytes);
  out_.insert(out_.end(), bytes, bytes + options_.header_bytes);
  close_sent_ = true;
}

void RemoteSource::Flush() {
  while (!out_.empty()) {
    const ssize_t count = ::send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    // What the server said before it hung up is still to be read: that tells.
    if (count < 0) return;
    out_.erase(out_.begin(), out_.begin() + count);
  }
}

// Reads for as long as there is something; orders are carried out in between.
void RemoteSource::Receive() {
  while (fd_.valid()) {
    const int error = answer_pages_ == 0 ? ReceiveHeader() : ReceivePages();
    if (error == EAGAIN) {
      DeliverPages();
      return;
    }
    if (error != 0) {
      DeliverPages();
      return Lose(error);
    }
    if (fd_.valid() && !TakeOrders()) return;
    if (fd_.valid()) Flush();
  }
}

namespace {

// Reads some bytes; 0 or an errno (ECONNRESET at the end of the stream).
int ReadSome(int fd, void* buffer, size_t byte_length, size_t* done) {
  ssize_t count;
  do {
    count = ::read(fd, buffer, byte_length);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return errno;
  if (count == 0) return ECONNRESET;
  *done = static_cast<size_t>(count);
  return 0;
}

}  // namespace

int RemoteSource::ReceiveHeader() {
  const bool farewell = sent_.empty() && close_sent_;
  const size_t wanted = farewell ? wire::kStatusBytes : options_.header_bytes;
  size_t count = 0;
  const int error = ReadSome(fd_.get(), header_ + header_bytes_, wanted - header_bytes_, &count);
  if (error != 0) return error;
  heard_ns_ = MonotonicNs();
  header_bytes_ += count;
  if (header_bytes_ < wanted) return 0;
  header_bytes_ = 0;
  if (!farewell) return BeginAnswer();
  int32_t status;
  std::memcpy(&status, header_, sizeof(status));
  End(status == 0 ? 0 : EREMOTEIO);
  return 0;
}

int RemoteSource::BeginAnswer() {
  if (sent_.empty()) return EPROTO;
  const wire::Header header = wire::Decode(header_, options_.header_bytes);
  const Request& request = sent_.front();
  const bool right = (header.command & 0xffff) == wire::kAddPages &&
                     ((header.command >> 16) & wire::kPagesPresent) != 0 && header.page_count > 0 &&
                     header.page_count <= request.page_count &&
                     header.vaddr == request.extent.vaddr + request.page * kPageSize &&
                     header.task == request.space->image_pid();
  if (!right) return EPROTO;
  answer_pages_ = static_cast<uint32_t>(header.page_count);
  ++answers_;
  return 0;
}

int RemoteSource::ReceivePages() {
  const size_t room = std::min<size_t>(pages_.size(), answer_pages_ * kPageSize) - pages_bytes_;
  size_t count = 0;
  const int error = ReadSome(fd_.get(), pages_.data() + pages_bytes_, room, &count);
  if (error != 0) return error;
  heard_ns_ = MonotonicNs();
  pages_bytes_ += count;
  bytes_ += count;
  if (count == room) DeliverPages();
  return 0;
}

// Installs the whole pages that have come.
void RemoteSource::DeliverPages() {
  const uint32_t page_count = static_cast<uint32_t>(pages_bytes_ / kPageSize);
  if (page_count == 0) return;
  Request& request = sent_.front();
  Install(request, page_count, reinterpret_cast<uint64_t>(pages_.data()), 0);
  const size_t used = page_count * kPageSize;
  std::copy(pages_.begin() + used, pages_.begin() + pages_bytes_, pages_.begin());
  pages_bytes_ -= used;
  answer_pages_ -= page_count;
  request.page += page_count;
  request.page_count -= page_count;
  if (answer_pages_ == 0) EndAnswer();
}

void RemoteSource::EndAnswer() {
  Request request = std::move(sent_.front());
  sent_.pop_front();
  if (request.page_count == 0) return;
  // A short answer: the server stops where its own run of pages ends.
  const std::lock_guard<std::mutex> lock(mutex_);
  Queue(std::move(request), true);
}

// Installs the first `page_count` pages of the request from `bytes`, or poisons them for `error`.
void RemoteSource::Install(const Request& request, uint32_t page_count, uint64_t bytes, int error) {
  const PageRun run{request.page, page_count, false, bytes, error};
  AddressSpace* const space = request.space.get();
  if (error == 0) thaw::Add(space->figures().remote_bytes, page_count * kPageSize);
  Outcome outcome = Outcome::kDeferred;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    outcome = space->Deliver(request.extent, run, request.demand(), attempt == 0);
    // Pages whose range is not registered yet cannot get in now, nor hold up the others.
    if (outcome != Outcome::kDeferred || !space->ranges_ready()) break;
    ::usleep(kPauseUs);
  }
  if (!request.demand()) {
    background_pages_ -= page_count;
    background_pages_max_ = std::min(background_pages_max_ + page_count, kBackgroundPagesMax);
  } else if (request.fault_page - request.page < page_count && outcome == Outcome::kDone) {
    space->figures().demand_latency.Record(MonotonicNs() - request.asked_ns);
  }
  const bool gone = outcome == Outcome::kGone;
  if (outcome != Outcome::kDone || space->complete() || space->has_errors()) {
    look_(request.space, gone);
  }
}

// Nobody will bring what is asked for.
void RemoteSource::PoisonAll() {
  std::deque<Request> requests;
  int error;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    requests.swap(demand_);
    for (Request& request : background_) requests.push_back(std::move(request));
    background_.clear();
    error = error_;
  }
  for (const Request& request : requests) Install(request, request.page_count, 0, error);
}

// Ends the connection; what is not in of the requests goes back to the queues. Harmless without a
// connection.
void RemoteSource::Disconnect(int error) {
  if (!fd_.valid()) return;
  fd_.Reset();
  out_.clear();
  pages_bytes_ = answer_pages_ = 0;
  header_bytes_ = 0;
  close_sent_ = false;
  const std::lock_guard<std::mutex> lock(mutex_);
  error_ = error;
  for (; !sent_.empty(); sent_.pop_back()) Queue(std::move(sent_.back()), true);
}

void RemoteSource::Lose(int error) {
  const bool leaving = close_sent_ && sent_.empty();
  const uint64_t unanswered = sent_.size();
  Disconnect(error);
  if (leaving) return End(error);
  sink_({PagerEventKind::kSourceLost, error, options_.id, bytes_, answers_, unanswered});
}

void RemoteSource::End(int error) {
  fd_.Reset();
  close_sent_ = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
  }
  sink_({PagerEventKind::kSourceClosed, error, options_.id, bytes_, answers_, 0});
}

}  // namespace thaw
