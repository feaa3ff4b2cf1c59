// Takes over the tasks that `criu restore --lazy-pages` announces, each with its userfaultfd.
//
// The pager itself reads CRIU's connections: a uffd that nobody has received yet exists nowhere but
// in there, and the connection lives as long as one of the pager's processes does. Protocol:
// docs/criu.md, "The socket". Thread-safety: one thread, but for Abandon().
#ifndef THAW_NATIVE_PAGER_HANDOFFS_H_
#define THAW_NATIVE_PAGER_HANDOFFS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "address_space.h"
#include "arena.h"
#include "fd.h"
#include "pager_event.h"

namespace thaw {

class Handoffs {
 public:
  struct Handlers {
    // A target has come; 0 or a positive errno.
    std::function<int(std::shared_ptr<AddressSpace>)> serve;
    // The ranges of a target are registered.
    std::function<void(AddressSpace&, bool fill)> release;
    PagerEventSink tell;
  };

  Handoffs(Arena* arena, Handlers handlers) : arena_(arena), handlers_(std::move(handlers)) {}

  // Before all else. Goes on with what another process left in the arena: connections, and the
  // targets of those, come or not. 0 or a positive errno.
  int Start(const std::vector<std::shared_ptr<AddressSpace>>& spaces = {});

  // A target that has not come yet.
  void Expect(std::shared_ptr<AddressSpace> space);
  std::shared_ptr<AddressSpace> FindExpected(uint64_t id) const;
  // False when it is not expected.
  bool Forget(uint64_t id);
  // Of all that no handoff brings.
  void ForgetOthers() { expected_.clear(); }

  struct Request {
    uint64_t id;
    bool fill;
    uint32_t zombies;
    uint64_t silence_ns_max;        // before everything is announced
    std::vector<uint32_t> targets;  // expected ones
  };
  // 0, ENOENT: a target is not expected, EEXIST, ENOSPC: too many at once, or another positive
  // errno.
  int Begin(const Request& request, Fd connection);
  // False when it is unknown, or over.
  bool Drop(uint64_t id);
  bool Has(uint64_t id) const { return handoffs_.count(id) != 0; }

  // Readable when Serve() has something to do.
  int fd() const { return epoll_.get(); }
  // When it has something to do at the latest, in milliseconds from now; -1: whenever.
  int WaitMsMax() const;
  void Serve();
  bool empty() const { return handoffs_.empty(); }

  // Any thread: all that are not over fail, with the next Serve().
  void Abandon();

 private:
  struct Handoff {
    HandoffRecord* record;
    Fd fd;
    std::unordered_map<uint64_t, std::shared_ptr<AddressSpace>> tasks;  // by image pid
    uint64_t heard_ns = 0;                                              // when it said something
  };
  // What there is to tell of an end.
  struct End {
    HandoffEnd how;
    int32_t word = 0;
    size_t fds = 0;
    int error = 0;
  };

  enum class Step { kTaken, kNothing, kEnded };

  static size_t CountAnnounced(const Handoff& handoff);
  static bool IsAllAnnounced(const Handoff& handoff);
  static bool AwaitsMore(const Handoff& handoff);
  static bool IsKnown(const Handoff& handoff, int32_t word);
  void RecoverWord(Handoff* handoff);
  void ServeOne(Handoff* handoff);
  Step TakeWord(Handoff* handoff, End* end);
  Step CarryOut(Handoff* handoff, End* end);
  Step TakeTask(Handoff* handoff, End* end);
  Step EndRestored(Handoff* handoff, End* end);
  static bool MustWaitForCriu(const Handoff& handoff);
  void ForgetWord(HandoffRecord* record);
  void TellHandedOver(const AddressSpace& space);
  void Finish(Handoff* handoff, const End& end);
  void Close(Handoff* handoff);

  Arena* const arena_;
  const Handlers handlers_;
  Fd epoll_, wake_;
  std::atomic<bool> abandoned_{false};
  std::unordered_map<uint64_t, std::shared_ptr<AddressSpace>> expected_;  // in no handoff yet
  std::unordered_map<uint64_t, Handoff> handoffs_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_HANDOFFS_H_
