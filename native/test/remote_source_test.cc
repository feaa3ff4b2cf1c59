// Pages of a page server: short answers, servers that fail, and targets that change while their
// pages are on the way.
#include "remote_source.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <mutex>
#include <thread>

#include "lazy_target.h"
#include "scripted_server.h"
#include "test_image.h"
#include "testing.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

using Answer = ScriptedServer::Answer;
using Kind = ScriptedServer::Kind;

constexpr uint64_t kSourceId = 77;
constexpr uint64_t kTask = 4711;
constexpr int kBusError = 3;

// A target, its pager, and a page server that has its pages.
class RemoteRig {
 public:
  RemoteRig(TestImage* image, LazyTarget* target, ScriptedServer::Script script,
            RemoteSource::Options options = {})
      : server_(*image, options.header_bytes, std::move(script)) {
    options.id = kSourceId;
    remote_ =
        std::make_shared<RemoteSource>(server_.TakeClient(), options, rig_.sink(), rig_.look());
    EXPECT_TRUE(remote_->Start());
    image->UseRemote(remote_);
    space_ = rig_.Add(1, target, image, true, true, kTask);
  }
  ~RemoteRig() { remote_->Stop(); }

  PagerRig& rig() { return rig_; }
  RemoteSource& remote() { return *remote_; }
  AddressSpace& space() { return *space_; }
  void Fill() { rig_.Fill(space_); }

 private:
  PagerRig rig_;
  ScriptedServer server_;
  std::shared_ptr<RemoteSource> remote_;
  std::shared_ptr<AddressSpace> space_;
};

// Holds a server's thread until it is opened.
class Latch {
 public:
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [this] { return open_; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

Answer Whole(const wire::Header&) { return {}; }

TEST(RemotePagesComeInShortAnswersOfBothLayouts) {
  for (const uint32_t header_bytes : {wire::kNarrowBytes, wire::kWideBytes}) {
    for (const bool fill : {false, true}) {
      TestImage image(500);
      image.AddRaw(200).AddHole(50).AddRaw(250);
      LazyTarget target(image,
                        [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
      RemoteSource::Options options;
      options.header_bytes = header_bytes;
      std::atomic<bool> right_task{true};
      RemoteRig rig(
          &image, &target,
          [&](const wire::Header& request) {
            if (request.task != kTask) right_task = false;
            return Answer{Kind::kPages, 1 + request.vaddr / kPageSize % 5};
          },
          options);
      if (fill) rig.Fill();
      target.Go();
      EXPECT_EQ(target.Wait(), kRight);
      EXPECT_TRUE(right_task);
      // A copy wakes the target before it is counted.
      EXPECT_TRUE(rig.rig().WaitEnd(1));
      EXPECT_EQ(rig.space().figures().missing_pages.load(), 0u);
      EXPECT_EQ(rig.space().figures().poisoned_pages.load(), 0u);
      EXPECT_TRUE(rig.remote().Close());
      EXPECT_TRUE(rig.rig().WaitEvent(PagerEventKind::kSourceClosed, kSourceId));
      const PagerEvent closed = rig.rig().Events(PagerEventKind::kSourceClosed).at(0);
      EXPECT_EQ(closed.error, 0);
      EXPECT_EQ(closed.a, 450 * kPageSize);
      EXPECT_FALSE(rig.remote().Close());
    }
  }
}

// Serves a few pages, then fails; what is missing is poisoned, and all else is right.
void ExpectPoison(Kind failure, int error) {
  for (const bool fill : {false, true}) {
    TestImage image(300);
    image.AddRaw(300);
    LazyTarget target(image, [&](const LazyTarget::Self&) {
      uint32_t poisoned = 0;
      if (CountPoisoned(image, &poisoned) != kRight) return kWrong;
      return poisoned > 0 && poisoned < 300 ? kBusError : kWrong;
    });
    RemoteSource::Options options;
    options.answer_ms = 200;
    std::atomic<int> served{0};
    RemoteRig rig(
        &image, &target,
        [&](const wire::Header&) {
          return ++served <= 3 ? Answer{Kind::kPages, 2} : Answer{failure};
        },
        options);
    if (fill) rig.Fill();
    target.Go();
    EXPECT_TRUE(rig.rig().WaitEvent(PagerEventKind::kSourceLost, kSourceId));
    const PagerEvent lost = rig.rig().Events(PagerEventKind::kSourceLost).at(0);
    EXPECT_EQ(lost.error, error);
    EXPECT_EQ(lost.b, 3u);
    EXPECT_TRUE(lost.c > 0);
    rig.remote().Abandon();
    EXPECT_EQ(target.Wait(), kBusError);
    EXPECT_TRUE(rig.rig().WaitEnd(1));
    EXPECT_EQ(rig.space().figures().missing_pages.load(), 0u);
    EXPECT_EQ(rig.space().figures().poisoned_pages.load(), 300 - lost.a / kPageSize);
  }
}

TEST(RemoteHangUpPoisonsWhatIsMissing) { ExpectPoison(Kind::kHangUp, ECONNRESET); }
TEST(RemoteGarbagePoisonsWhatIsMissing) { ExpectPoison(Kind::kGarbage, EPROTO); }
TEST(RemoteSilencePoisonsWhatIsMissing) { ExpectPoison(Kind::kSilence, ETIMEDOUT); }

TEST(RemoteThatNeverAnswersIsNoticedEarly) {
  TestImage image(4);
  image.AddRaw(4);
  LazyTarget target(image, [&](const LazyTarget::Self&) {
    std::vector<uint8_t> bytes(kPageSize);
    return ReadPage(image.At(0), bytes.data()) ? kWrong : kBusError;
  });
  RemoteSource::Options options;
  options.first_answer_ms = 100;
  RemoteRig rig(
      &image, &target, [](const wire::Header&) { return Answer{Kind::kSilence}; }, options);
  rig.remote().ExpectNoOther();
  target.Go();
  EXPECT_EQ(target.Wait(), kBusError);
  const std::vector<PagerEvent> lost = rig.rig().Events(PagerEventKind::kSourceLost);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].error, ETIMEDOUT);
  EXPECT_EQ(lost[0].b, 0u);
}

TEST(RemoteGoesOnOverAnotherConnection) {
  TestImage image(400);
  image.AddRaw(400);
  LazyTarget target(image,
                    [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
  std::atomic<int> served{0};
  RemoteRig rig(&image, &target, [&](const wire::Header&) {
    return ++served <= 5 ? Answer{Kind::kPages, 3} : Answer{Kind::kHangUp};
  });
  rig.Fill();
  target.Go();
  EXPECT_TRUE(rig.rig().WaitEvent(PagerEventKind::kSourceLost, kSourceId));
  ScriptedServer second(image, wire::kNarrowBytes, Whole);
  rig.remote().Replace(second.TakeClient());
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_EQ(rig.space().figures().poisoned_pages.load(), 0u);
  rig.remote().Stop();
}

// A connection that is replaced before its loss was noticed, in the middle of an answer.
TEST(RemoteConnectionThatStillStandsIsReplacedAsWell) {
  TestImage image(400);
  image.AddRaw(400);
  LazyTarget target(image,
                    [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
  Latch latch, asked;
  std::atomic<int> served{0};
  RemoteRig rig(&image, &target, [&](const wire::Header&) {
    if (++served <= 2) return Answer{Kind::kPages, 3};
    if (served == 3) return Answer{Kind::kHalf};
    asked.Open();
    latch.Wait();
    return Answer{Kind::kHangUp};
  });
  rig.Fill();
  target.Go();
  asked.Wait();
  ScriptedServer second(image, wire::kNarrowBytes, Whole);
  rig.remote().Replace(second.TakeClient());
  EXPECT_EQ(target.Wait(), kRight);
  latch.Open();
  EXPECT_TRUE(rig.rig().WaitEnd(1));
  EXPECT_EQ(rig.space().figures().poisoned_pages.load(), 0u);
  EXPECT_TRUE(rig.rig().Events(PagerEventKind::kSourceLost).empty());
  rig.remote().Stop();
}

// What a worker that took over begins with.
TEST(RemoteThatNeverHadAConnectionPoisonsWhenAbandoned) {
  TestImage image(4);
  image.AddRaw(4);
  LazyTarget target(image, [&](const LazyTarget::Self&) {
    uint32_t poisoned = 0;
    return CountPoisoned(image, &poisoned) == kRight && poisoned == 4 ? kBusError : kWrong;
  });
  PagerRig rig;
  RemoteSource::Options options;
  options.id = kSourceId;
  auto remote = std::make_shared<RemoteSource>(Fd(), options, rig.sink(), rig.look());
  EXPECT_TRUE(remote->Start());
  image.UseRemote(remote);
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image, true, true, kTask);
  rig.Fill(space);
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kSourceLost, kSourceId));
  remote->Abandon();
  target.Go();
  EXPECT_EQ(target.Wait(), kBusError);
  for (const PagerEvent& event : rig.Events(PagerEventKind::kPageError)) {
    EXPECT_EQ(event.error, ECONNRESET);
  }
  remote->Stop();
}

TEST(RemotePagesThatGoAwayUnderWayStayAway) {
  TestImage image(256);
  image.AddRaw(128);
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    self.Meet();  // everything is asked for, nothing has come
    ::madvise(Pointer(image.At(10)), 10 * kPageSize, MADV_DONTNEED);
    void* const moved = ::mremap(Pointer(image.At(40)), 20 * kPageSize, 20 * kPageSize,
                                 MREMAP_MAYMOVE | MREMAP_FIXED, Pointer(image.At(200)));
    if (moved != Pointer(image.At(200))) return 2;
    ::munmap(Pointer(image.At(70)), 5 * kPageSize);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(HoldsPages(image, 80, 128) ? kRight : kWrong);
    self.Meet();  // now it comes
    for (uint32_t page = 10; page < 20; ++page) {
      if (!IsZeroAt(image.At(page))) return 4;
    }
    if (!HoldsPages(image, 40, 60, 160 * static_cast<int64_t>(kPageSize))) return 5;
    if (!HoldsPages(image, 0, 10) || !HoldsPages(image, 20, 40)) return 6;
    if (!HoldsPages(image, 60, 70) || !HoldsPages(image, 75, 128)) return 7;
    return WaitFor(child);
  });
  Latch latch;
  std::atomic<uint64_t> asked{0};
  RemoteRig rig(&image, &target, [&](const wire::Header&) {
    ++asked;
    latch.Wait();
    return Answer{Kind::kPages, 7};
  });
  rig.Fill();
  for (int i = 0; i < 2000 && asked == 0; ++i) ::usleep(1000);
  ::usleep(20'000);  // the rest of the first requests
  target.Go();
  target.Meet();
  target.Meet();
  latch.Open();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(rig.rig().Events(PagerEventKind::kPageError).empty());
}

// A thread that waits for a page, which another thread discards, moves or unmaps.
TEST(RemoteFaultWhosePageGoesAwayIsNotLeftWaiting) {
  TestImage image(64);
  image.AddRaw(64);
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    std::thread waiting([&] {
      if (!IsZeroAt(image.At(20))) ::_exit(kWrong);
    });
    self.Meet();
    ::madvise(Pointer(image.At(20)), kPageSize, MADV_DONTNEED);
    waiting.join();  // although no answer ever comes
    return kRight;
  });
  Latch latch, asked;
  RemoteRig rig(&image, &target, [&](const wire::Header&) {
    asked.Open();
    latch.Wait();
    return Answer{};
  });
  target.Go();
  asked.Wait();
  target.Meet();
  EXPECT_EQ(target.Wait(5), kRight);
  latch.Open();
}

TEST(RemoteBytesForATargetThatIsGoneAreDropped) {
  TestImage image(64);
  image.AddRaw(64);
  LazyTarget target(
      image, [&](const LazyTarget::Self&) { return IsZeroAt(image.At(3)) ? kWrong : kRight; });
  Latch latch, asked;
  RemoteRig rig(&image, &target, [&](const wire::Header&) {
    asked.Open();
    latch.Wait();
    return Answer{};
  });
  target.Go();
  asked.Wait();
  ::kill(target.pid(), SIGKILL);
  EXPECT_TRUE(rig.rig().WaitEvent(PagerEventKind::kGone, 1));
  latch.Open();
  // It has taken all of the answer once it can say farewell.
  EXPECT_TRUE(rig.remote().Close());
  EXPECT_TRUE(rig.rig().WaitEvent(PagerEventKind::kSourceClosed, kSourceId));
  EXPECT_EQ(rig.rig().Events(PagerEventKind::kSourceClosed).at(0).error, 0);
}

TEST(WireHeadersSurviveBothLayouts) {
  Random random(static_cast<uint64_t>(::time(nullptr)));
  for (int i = 0; i < 1000; ++i) {
    const wire::Header header{static_cast<uint32_t>(random.Next()), random.Next() >> 32,
                              random.Next(), random.Next()};
    for (const uint32_t byte_length : {wire::kNarrowBytes, wire::kWideBytes}) {
      uint8_t bytes[wire::kWideBytes];
      wire::Encode(header, byte_length, bytes);
      const wire::Header decoded = wire::Decode(bytes, byte_length);
      EXPECT_EQ(decoded.command, header.command);
      EXPECT_EQ(decoded.page_count, header.page_count);
      EXPECT_EQ(decoded.vaddr, header.vaddr);
      EXPECT_EQ(decoded.task, header.task);
    }
  }
}

// The very bytes that CRIU 4.1.1 and 4.2 send for two pages at 0x7f0000001000 of task 42.
TEST(WireHeadersAreThoseOfCriu) {
  const wire::Header header{wire::kGetPages, 2, 0x7f0000001000, 42};
  uint8_t bytes[wire::kWideBytes];
  const uint8_t narrow[] = {7, 0,    0, 0, 2,  0, 0, 0, 0, 0x10, 0, 0,
                            0, 0x7f, 0, 0, 42, 0, 0, 0, 0, 0,    0, 0};
  wire::Encode(header, wire::kNarrowBytes, bytes);
  EXPECT_EQ(std::memcmp(bytes, narrow, sizeof(narrow)), 0);
  const uint8_t wide[] = {7, 0,    0, 0, 0, 0,    0, 0, 2,  0, 0, 0, 0, 0, 0, 0,
                          0, 0x10, 0, 0, 0, 0x7f, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0};
  wire::Encode(header, wire::kWideBytes, bytes);
  EXPECT_EQ(std::memcmp(bytes, wide, sizeof(wide)), 0);
}

}  // namespace
