// Tasks that CRIU hands to a whole pager, by a peer that says what CRIU says, and worse.
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "attached_fds.h"
#include "kill_point.h"
#include "pager_processes.h"
#include "testing.h"

// Clones of a process that ThreadSanitizer watches are none of its business.
#ifndef __SANITIZE_THREAD__

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

constexpr uint32_t kPages = 400;
constexpr uint32_t kSource = 1, kFirst = 1, kSecond = 2, kHandoff = 7;
constexpr int32_t kFirstPid = 100, kSecondPid = 200, kZombiePid = 300;
constexpr int32_t kRestored = 0x52535446;
constexpr uint64_t kPatienceMs = 20'000;

// The end of a connection that `criu restore` has.
class Peer {
 public:
  Peer() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ours_ = Fd(fds[0]);
    theirs_ = Fd(fds[1]);
  }

  Fd TakeConnection() { return std::move(theirs_); }
  void Send(const void* bytes, size_t byte_length, const std::vector<int>& fds = {}) const {
    iovec part{const_cast<void*>(bytes), byte_length};
    alignas(cmsghdr) char control[kAttachedBytes] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) AttachFds(fds.data(), fds.size(), control, &message);
    EXPECT_EQ(::sendmsg(ours_.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(byte_length));
  }
  void Say(int32_t word) const { Send(&word, sizeof(word)); }
  void Announce(int32_t pid, const std::vector<int>& fds) const {
    Say(pid);
    Send("", 1, fds);
  }
  // Nobody has the uffd afterwards but the pager, or the connection.
  void HandOver(int32_t pid, LazyTarget* target) const {
    const Fd uffd = target->TakeUffd();
    Announce(pid, {uffd.get()});
    target->Go();
  }
  void HangUp() { ours_.Reset(); }
  bool IsHungUp() const {
    const timeval limit{10, 0};
    ::setsockopt(ours_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    char byte;
    // A reset: it had not read everything.
    return ::recv(ours_.get(), &byte, 1, 0) == 0 || errno == ECONNRESET;
  }

 private:
  Fd ours_, theirs_;
};

// A restore of two tasks and a zombie, which the pager is told of.
class Restore {
 public:
  explicit Restore(uint64_t patience_ms = kPatienceMs)
      : image_(kPages),
        body_([this](const LazyTarget::Self&) { return HoldsAll(image_) ? kRight : kWrong; }),
        first_((image_.AddMixed(), image_), body_),
        second_(image_, body_) {
    EXPECT_TRUE(pager_.Ask(RequestOp::kOutlive, 0, {STDERR_FILENO}));
    EXPECT_TRUE(pager_.Ask(RequestOp::kAddSource, kSource, {image_.source_fd()}));
    Expect(kFirst, kFirstPid);
    Expect(kSecond, kSecondPid);
    descriptors_ = CountDescriptors();
    Begin(patience_ms);
  }

  void Expect(uint32_t id, int32_t pid) {
    const int plan = image_.plan()->fd();
    EXPECT_TRUE(pager_.Ask(RequestOp::kAddTarget, id, {plan}, pid, {kSource}));
  }
  void Begin(uint64_t patience_ms) {
    const Fd connection = peer_.TakeConnection();
    EXPECT_TRUE(pager_.Ask(RequestOp::kHandoff, kHandoff, {connection.get()}, 1, {kFirst, kSecond},
                           patience_ms));
  }
  // All that CRIU says.
  void SayAll() {
    peer_.HandOver(kFirstPid, &first_);
    peer_.Say(-kZombiePid);
    peer_.HandOver(kSecondPid, &second_);
    peer_.Say(kRestored);
  }
  void ExpectRestored() {
    const ControlPacket* const end = pager_.WaitEvent(PagerEventKind::kHandoffEnd, kHandoff);
    ASSERT_TRUE(end != nullptr);
    EXPECT_EQ(end->a, static_cast<uint64_t>(HandoffEnd::kRestored));
    EXPECT_EQ(end->b, 3u);
    ExpectRight();
    EXPECT_TRUE(pager_.WaitEnd(kFirst));
    EXPECT_TRUE(pager_.WaitEnd(kSecond));
    EXPECT_TRUE(pager_.WaitEvent(PagerEventKind::kHandedOver, kFirst) != nullptr);
    EXPECT_TRUE(pager_.WaitEvent(PagerEventKind::kHandedOver, kSecond) != nullptr);
  }
  void ExpectRight() {
    EXPECT_EQ(first_.Wait(), kRight);
    EXPECT_EQ(second_.Wait(), kRight);
  }
  // How it ended, with what was announced by then.
  HandoffEnd WaitEnd(uint64_t announced) {
    const ControlPacket* const end = pager_.WaitEvent(PagerEventKind::kHandoffEnd, kHandoff);
    if (end == nullptr) return HandoffEnd::kNotServed;
    EXPECT_EQ(end->b, announced);
    return static_cast<HandoffEnd>(end->a);
  }
  size_t CountDescriptors() const {
    const std::string path = "/proc/" + std::to_string(pager_.processes().worker_pid) + "/fd";
    DIR* const directory = ::opendir(path.c_str());
    size_t count = 0;
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count;
  }

  PagerProcesses& pager() { return pager_; }
  Peer& peer() { return peer_; }
  LazyTarget& first() { return first_; }
  LazyTarget& second() { return second_; }
  size_t descriptors() const { return descriptors_; }

 private:
  TestImage image_;
  LazyTarget::Body body_;
  LazyTarget first_, second_;
  PagerProcesses pager_;
  Peer peer_;
  size_t descriptors_ = 0;  // of the worker, before the connection
};

TEST(HandoffServesWhatItBrings) {
  Restore restore;
  restore.SayAll();
  restore.ExpectRestored();
  EXPECT_TRUE(restore.peer().IsHungUp());
  EXPECT_TRUE(restore.pager().Ask(RequestOp::kDropTarget, kFirst));
  EXPECT_TRUE(restore.pager().Ask(RequestOp::kDropTarget, kSecond));
  EXPECT_TRUE(restore.pager().Ask(RequestOp::kDropHandoff, kHandoff));  // over already
  EXPECT_TRUE(restore.pager().Close());
}

// What CRIU says before, in the middle and after the end of the control plane.
TEST(HandoffGoesOnWithoutTheControlPlane) {
  for (int before = 0; before <= 2; ++before) {
    Restore restore;
    if (before == 0) restore.pager().Vanish();
    restore.peer().HandOver(kFirstPid, &restore.first());
    if (before == 1) restore.pager().Vanish();
    restore.peer().Say(-kZombiePid);
    restore.peer().HandOver(kSecondPid, &restore.second());
    restore.peer().Say(kRestored);
    if (before == 2) restore.pager().Vanish();
    restore.ExpectRight();
    EXPECT_TRUE(restore.peer().IsHungUp());
    EXPECT_TRUE(restore.pager().WaitNone());
  }
}

TEST(HandoffLeftByTheControlPlane) {
  Restore restore;
  restore.peer().HandOver(kFirstPid, &restore.first());
  EXPECT_TRUE(restore.pager().WaitEvent(PagerEventKind::kHandedOver, kFirst) != nullptr);
  EXPECT_TRUE(restore.pager().Ask(RequestOp::kLeave, 0));
  const size_t told = restore.pager().events().size();
  restore.peer().Say(-kZombiePid);
  restore.peer().HandOver(kSecondPid, &restore.second());
  restore.peer().Say(kRestored);
  restore.ExpectRight();
  EXPECT_TRUE(restore.pager().Close());
  EXPECT_EQ(restore.pager().events().size(), told);
}

// Its tasks do not run yet, and can go on where their pages are.
TEST(HandoffEndsWithThePageServerOfNobody) {
  constexpr uint64_t kRemote = 5, kCloseCommand = 0x1023, kFirstAnswerMs = 10'000;
  for (const bool lost_before : {false, true}) {
    Restore restore;
    Peer server;
    const Fd connection = server.TakeConnection();
    EXPECT_TRUE(restore.pager().Ask(RequestOp::kAddRemoteSource, kRemote, {connection.get()},
                                    kCloseCommand, {}, kFirstAnswerMs));
    restore.peer().Say(-kZombiePid);
    if (lost_before) {
      server.HangUp();
      // Somebody might connect again.
      EXPECT_TRUE(restore.pager().WaitEvent(PagerEventKind::kSourceLost, kRemote) != nullptr);
    }
    restore.pager().Vanish();
    if (!lost_before) server.HangUp();
    EXPECT_TRUE(restore.peer().IsHungUp());
    EXPECT_TRUE(restore.pager().WaitNone());
  }
}

TEST(HandoffKilledAtEachPoint) {
  for (const KillPoint next : {KillPoint::kNone, KillPoint::kRecovered}) {
    for (const KillPoint point : {KillPoint::kAnnouncementReceived, KillPoint::kUffdReceived,
                                  KillPoint::kAttached, KillPoint::kReleased}) {
      Restore restore;
      restore.pager().Arm(point, next);
      restore.SayAll();
      restore.ExpectRestored();
      EXPECT_TRUE(restore.pager().WaitHits(next == KillPoint::kNone ? 1 : 2));
      EXPECT_TRUE(restore.pager().Close());
    }
  }
}

// One word of each kind in hand: the task's, the zombie's, the second task's, the last.
TEST(HandoffKilledAtEachWord) {
  for (int word = 0; word < 4; ++word) {
    Restore restore;
    const std::function<void()> words[] = {
        [&] { restore.peer().HandOver(kFirstPid, &restore.first()); },
        [&] { restore.peer().Say(-kZombiePid); },
        [&] { restore.peer().HandOver(kSecondPid, &restore.second()); },
        [&] { restore.peer().Say(kRestored); },
    };
    for (int i = 0; i < 4; ++i) {
      if (i == word) restore.pager().Arm(KillPoint::kAnnouncementReceived);
      words[i]();
      if (i == word) EXPECT_TRUE(restore.pager().WaitHits(1));
    }
    restore.ExpectRestored();
    EXPECT_TRUE(restore.pager().Close());
  }
}

struct Lie {
  HandoffEnd end;
  uint64_t announced;
  std::function<void(Restore*)> say;
};

// Whatever is said, nothing of it stays, and the next is served.
TEST(HandoffRefusesLies) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe2(pipe_fds, O_CLOEXEC), 0);
  const Fd pipe(pipe_fds[0]), other(pipe_fds[1]);
  const Lie lies[] = {
      {HandoffEnd::kHungUp, 0, [](Restore* it) { it->peer().HangUp(); }},
      {HandoffEnd::kHungUp, 1,
       [](Restore* it) {
         it->peer().Say(-kZombiePid);
         it->peer().HangUp();
       }},
      {HandoffEnd::kHalfMessage, 0, [](Restore* it) { it->peer().Send("ab", 2); }},
      {HandoffEnd::kHalfMessage, 0,
       [](Restore* it) {
         it->peer().Say(kFirstPid);
         it->peer().HangUp();
       }},
      {HandoffEnd::kStrayFds, 0,
       [&](Restore* it) { it->peer().Send(&kFirstPid, sizeof(kFirstPid), {pipe.get()}); }},
      {HandoffEnd::kNotOneFd, 0, [](Restore* it) { it->peer().Announce(kFirstPid, {}); }},
      {HandoffEnd::kNotOneFd, 0,
       [&](Restore* it) {
         it->peer().Announce(kFirstPid, {pipe.get(), pipe.get()});
       }},
      {HandoffEnd::kNotOneFd, 0,
       [&](Restore* it) {
         it->peer().Announce(kFirstPid, std::vector<int>(kAttachedFdsMax, pipe.get()));
       }},
      {HandoffEnd::kNotUffd, 0, [&](Restore* it) { it->peer().Announce(kFirstPid, {pipe.get()}); }},
      {HandoffEnd::kStranger, 0, [](Restore* it) { it->peer().Say(0); }},
      {HandoffEnd::kStranger, 0, [](Restore* it) { it->peer().Say(kFirstPid + 1); }},
      {HandoffEnd::kStranger, 0, [](Restore* it) { it->peer().Say(-kFirstPid); }},
      {HandoffEnd::kStranger, 1,
       [](Restore* it) {
         it->peer().Say(-kZombiePid);
         it->peer().Say(-kZombiePid);
       }},
      {HandoffEnd::kTooEarly, 1,
       [](Restore* it) {
         it->peer().Say(-kZombiePid);
         it->peer().Say(kRestored);
       }},
      {HandoffEnd::kSilent, 0, [](Restore*) {}},
  };
  for (const Lie& lie : lies) {
    Restore restore(lie.end == HandoffEnd::kSilent ? 50 : kPatienceMs);
    lie.say(&restore);
    EXPECT_EQ(restore.WaitEnd(lie.announced), lie.end);
    if (lie.end != HandoffEnd::kHungUp && lie.end != HandoffEnd::kHalfMessage) {
      EXPECT_TRUE(restore.peer().IsHungUp());
    }
    EXPECT_TRUE(restore.pager().Ask(RequestOp::kDropHandoff, kHandoff));  // all is done by then
    EXPECT_EQ(restore.CountDescriptors(), restore.descriptors());
    EXPECT_TRUE(restore.pager().Ask(RequestOp::kDropTarget, kFirst));
    EXPECT_FALSE(restore.pager().Ask(RequestOp::kDropTarget, kFirst));
    EXPECT_TRUE(restore.pager().Close());
  }
}

TEST(HandoffRefusesATaskTwice) {
  Restore restore;
  restore.peer().HandOver(kFirstPid, &restore.first());
  restore.peer().Say(kFirstPid);
  EXPECT_EQ(restore.WaitEnd(1), HandoffEnd::kStranger);
  EXPECT_EQ(restore.first().Wait(), kRight);  // what has come is served on
  EXPECT_TRUE(restore.pager().Close());
}

TEST(HandoffOfUnknownTargetsIsRefused) {
  Restore restore;
  Peer peer;
  const Fd connection = peer.TakeConnection();
  const auto ask = [&](uint64_t id, const std::vector<uint32_t>& targets) {
    return restore.pager().Ask(RequestOp::kHandoff, id, {connection.get()}, 0, targets,
                               kPatienceMs);
  };
  EXPECT_FALSE(ask(8, {kFirst}));  // another's
  EXPECT_FALSE(ask(8, {9}));
  EXPECT_FALSE(ask(kHandoff, {}));
  EXPECT_TRUE(ask(8, {}));
  peer.HangUp();
  restore.SayAll();
  restore.ExpectRestored();
  EXPECT_TRUE(restore.pager().Close());
}

// Targets that have not come can be handed over again.
TEST(HandoffDroppedMayBeginAgain) {
  Restore restore;
  restore.peer().Say(-kZombiePid);
  EXPECT_TRUE(restore.pager().Ask(RequestOp::kDropHandoff, kHandoff));
  EXPECT_TRUE(restore.peer().IsHungUp());
  restore.peer() = Peer();
  restore.Begin(kPatienceMs);
  restore.SayAll();
  restore.ExpectRestored();
  EXPECT_TRUE(restore.pager().Close());
}

}  // namespace

#endif  // __SANITIZE_THREAD__
